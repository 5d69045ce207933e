"""
The one procedure of the first law: stop, read out, destroy, create again, go on.

A closed set of objects is captured as records: what and where each is, its bits as bytes, its links by address. From
nothing but the records the set is made anew, with the same hashes at the same addresses. Links lead inside the set, or
to objects that stay: the root space and the ports of devices. What a record cannot say is lost by intention: kept
stacks, translations, requests in flight.

Order matters in two places. All threads stop before anything is read or destroyed, so that nobody notices what goes on;
and all objects stand with their links before the first thread starts. Threads start in the order of their waits, since
those in calls to devices ask anew as they start.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from fluke_async.abi.codes import WORD_SIZE, ObjectType, ThreadFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.objects.base import KernelObject, Links
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mapping import Mapping as MemoryMapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread

if TYPE_CHECKING:
    from fluke_async.kernel.account import Account
    from fluke_async.kernel.core import Core

KINDS: dict[ObjectType, type[KernelObject]] = {
    kind.type: kind for kind in (Space, Region, MemoryMapping, Portset, Port, Mutex, Cond, Reference, Thread)
}
RANK = {type_: rank for rank, type_ in enumerate(KINDS)}  # what links lead to is loaded before what has the links
STOPPED = int(ThreadFlags.STOPPED)
FLAGS_AT = THREAD_STATE.offset_of("flags")


@dataclass(frozen=True, slots=True)
class Record:
    """
    One object's state. `links` are addresses by name, None for a null link; a reference has the one link `target`.

    `account` is a space's, which stays: what a program may still execute is known to its host alone.
    """

    type: ObjectType
    address: int
    hash: int
    bits: bytes | None
    links: dict[str, int | None]
    account: Account | None = None

    @property
    def words(self) -> dict[str, int | tuple[int, ...]]:
        """The bits by name."""
        layout = KINDS[self.type].layout
        assert layout is not None
        assert self.bits is not None
        return layout.unpack(self.bits)

    @property
    def flags(self) -> int:
        """A thread's."""
        assert self.bits is not None
        return int.from_bytes(self.bits[FLAGS_AT : FLAGS_AT + WORD_SIZE], "little")

    @property
    def wait(self) -> tuple[int, int, int] | None:
        """A thread's continuation record, as it follows from the bytes: entry point, waiting for, order."""
        waiting_for = self.links.get("waiting_for")
        if waiting_for is None:
            return None
        words = self.words
        x, wait_order = words["x"], words["wait_order"]
        assert isinstance(x, tuple)
        assert isinstance(wait_order, int)
        return x[ENTRY_POINT], waiting_for, wait_order


def closed_set(core: Core) -> list[KernelObject]:
    """Everything in a kernel but what stays: the ports of devices, and the root, which is no object of a program."""
    return [each for each in core.objects.values() if not (isinstance(each, Port) and each.receiver is not None)]


def capture(core: Core, objects: Sequence[KernelObject]) -> list[Record]:
    """
    Stop the threads of a closed set and read out its state.

    A record's STOPPED says whether a program had stopped the thread before.
    """
    threads = [each for each in objects if isinstance(each, Thread)]
    were_stopped = {thread for thread in threads if thread.stopped}
    for thread in threads:
        core.stop(thread)
    return [_read_out(core, each, was_stopped=each in were_stopped) for each in objects]


def _read_out(core: Core, each: KernelObject, *, was_stopped: bool) -> Record:
    bits = None
    if each.layout is not None:
        words = dict(each.export_bits())
        if isinstance(each, Thread) and not was_stopped:
            flags = words["flags"]
            assert isinstance(flags, int)
            words["flags"] = flags & ~STOPPED
        bits = each.layout.pack(words)
    if isinstance(each, Reference):
        targets = {"target": each.target}
    else:
        targets = {link.name: each.export_link(link.name) for link in each.links}
    links = {name: None if target is None else target.address for name, target in targets.items()}
    return Record(each.type, each.address, each.hash, bits, links, each.account if isinstance(each, Space) else None)


def destroy(core: Core, objects: Iterable[KernelObject]) -> None:
    """Destroy a set of which every thread is stopped."""
    for each in objects:
        assert not isinstance(each, Thread) or each.stopped, f"{each} would notice"
        core.destroy(each)


def without_waits(records: Iterable[Record]) -> list[Record]:
    """The same state with every call issued again from the registers, instead of parked where it was."""
    return [_reissued(record) if record.type is ObjectType.THREAD else record for record in records]


def _reissued(record: Record) -> Record:
    """A thread's record without its wait: it does not ask about its mistake, but makes it again."""
    layout = Thread.layout
    words = record.words
    if record.links["waiting_for"] is not None and words["exception"]:
        words |= {"exception": 0, "exception_subcode": 0, "wait_order": 0}
    return replace(record, bits=layout.pack(words), links=record.links | {"waiting_for": None})


def restore(
    core: Core, records: Sequence[Record], standing: Mapping[int, KernelObject] | None = None
) -> dict[int, KernelObject]:
    """
    Make a captured set again and let its threads go on; the new objects by address.

    Those of the set that were stopped but not destroyed are `standing`: they are loaded again, for their links may lead
    to what was.
    """
    made: dict[int, KernelObject] = dict(standing or {})
    for record in records:
        if record.address in made:
            continue
        created = core.create(KINDS[record.type], record.address, record.hash)
        assert created is not None, "the quota held the same objects before"
        made[record.address] = created
    for record in sorted(records, key=lambda record: RANK[record.type]):
        _load(core, made, record)
    threads = [thread for record in records if isinstance(thread := made[record.address], Thread)]
    running = {record.address for record in records if record.type is ObjectType.THREAD and not _was_stopped(record)}
    for thread in sorted(threads, key=lambda thread: (thread.wait_order, thread.hash)):
        if thread.address in running:
            core.start(thread)
    return made


def _was_stopped(record: Record) -> bool:
    return bool(record.flags & STOPPED)


def _load(core: Core, made: dict[int, KernelObject], record: Record) -> None:
    def at(address: int | None) -> KernelObject | None:
        if address is None:
            return None
        return core.root if address == core.root.address else made.get(address) or core.objects[address]

    target = made[record.address]
    links: Links = {name: at(address) for name, address in record.links.items()}
    if isinstance(target, Reference):
        target.target = links["target"]
        return
    if isinstance(target, Space):
        assert record.account is not None
        target.account = record.account
    words = record.words
    if isinstance(target, Thread):
        flags = words["flags"]
        assert isinstance(flags, int)
        words["flags"] = flags | STOPPED
    target.import_state(core, None, words, links)
