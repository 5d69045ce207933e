"""
The rows that images have to show: what a thread can be in the middle of when its process is written down.

For every call: each type of object that it waits for, its marked points, and its faults, in its own memory or in that
of its peer; the waits for the keepers of regions and of spaces; what a thread that a program has stopped was in; and
connections, as each side of them stands, in a wait or at rest.

A call that was cut off at a marked point goes on before any program does, so none can stop its thread there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from fluke_async.abi.codes import FAULT_IN_CALL, ObjectType, ThreadFlags
from fluke_async.abi.entry_points import BY_NUMBER, ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.image.image import Image
from fluke_async.image.manifest import Manifest, ObjectRecord
from fluke_async.kernel.objects.thread import WAITABLE, Thread
from fluke_async.kernel.objects.thread_connections import connection_flags
from fluke_async.kernel.objects.thread_state import Mistake

IDEMPOTENT = ("client of an idempotent call", "server of an idempotent call")
CONNECTIONS = tuple(
    f"{role} of a connection, {side}, {how}"
    for role in ("client", "server")
    for side in ("sending", "receiving")
    for how in ("in a wait", "at rest")
)


@dataclass(frozen=True, slots=True)
class Standing:
    """How a thread stands, in a kernel or in an image: its call, what type it waits for, its question, its links."""

    call: str
    kind: str | None
    fault_access: int
    has_mistake: bool
    flags: int
    has_client: bool
    has_server: bool
    is_stopped: bool

    def rows(self) -> Iterator[str]:
        """The rows that it is."""
        if self.kind is not None:
            yield from self._waits(self.kind)
        if self.flags & ThreadFlags.IN_CALL:
            yield f"{self.call} marked"
        how = "at rest" if self.kind is None else "in a wait"
        if self.flags & ThreadFlags.IDEMPOTENT:
            yield IDEMPOTENT[1]
        elif self.has_client:
            yield f"server of a connection, {_side(self.flags & ThreadFlags.SERVER_SENDER)}, {how}"
        if self.has_server:
            yield f"client of a connection, {_side(self.flags & ThreadFlags.CLIENT_SENDER)}, {how}"

    def _waits(self, kind: str) -> Iterator[str]:
        if self.is_stopped:
            yield f"stopped wait on {kind}"
        if self.has_mistake:
            yield f"exception wait on {kind}"
        elif self.fault_access:
            yield f"fault wait on {kind}"
            if self.fault_access & FAULT_IN_CALL:
                yield f"{self.call} hard fault"
        else:
            yield f"{self.call} wait on {kind}"
            if kind == "thread" and self.call == "ipc_call":
                yield IDEMPOTENT[0]


def rows() -> Iterator[str]:
    """Every row, as text."""
    for entry in ENTRY_POINTS:
        for type_ in entry.waits_on:
            yield f"{entry.name} wait on {type_.name.lower()}"
        if entry.has_points:
            yield f"{entry.name} marked"
        if entry.touches_memory:
            yield f"{entry.name} hard fault"
    for type_ in (ObjectType.PORT, ObjectType.THREAD):
        yield f"fault wait on {type_.name.lower()}"
        yield f"exception wait on {type_.name.lower()}"
    for type_ in sorted(WAITABLE):
        yield f"stopped wait on {type_.name.lower()}"
    yield from IDEMPOTENT
    yield from CONNECTIONS


def rows_in(image: Image) -> set[str]:
    """What the threads of an image are in the middle of."""
    manifest = image.manifest
    types = {each.offset: each.type for each in manifest.objects}
    running = set(manifest.running)
    return {
        row
        for each in manifest.objects
        if each.type == "thread"
        for row in _standing_in(manifest, types, each, each.offset not in running).rows()
    }


def rows_of(thread: Thread, *, is_cut: bool = False) -> Iterator[str]:
    """What a thread of a kernel is in the middle of; `is_cut` is whether it is to be cut off in its call."""
    target, question, fault = thread.waiting_for, thread.question, thread.fault
    return Standing(
        _call(thread.registers[ENTRY_POINT]),
        None if target is None else target.type.name.lower(),
        0 if fault is None else fault.access | FAULT_IN_CALL * fault.in_call,
        isinstance(question, Mistake),
        connection_flags(thread) | ThreadFlags.IN_CALL * (thread.in_call or is_cut),
        thread.export_link("client") is not None,
        thread.export_link("server") is not None,
        thread.stopped,
    ).rows()


def _standing_in(manifest: Manifest, types: dict[int, str], thread: ObjectRecord, is_stopped: bool) -> Standing:
    registers = thread.state["x"]
    assert isinstance(registers, tuple)
    target = thread.links["waiting_for"]
    kind = manifest.outside[target].type if isinstance(target, str) else None if target is None else types[target]
    return Standing(
        _call(registers[ENTRY_POINT]),
        kind,
        thread.word("fault_access"),
        bool(thread.word("exception")),
        thread.word("flags"),
        thread.links["client"] is not None,
        thread.links["server"] is not None,
        is_stopped,
    )


def _side(is_sender: int) -> str:
    return "sending" if is_sender else "receiving"


def _call(number: int) -> str:
    entry = BY_NUMBER.get(number)
    return "none" if entry is None else entry.name
