"""
Mistakes that are planted in the kernel to see whether random hostile calls find them.

They are of the kind that no program in its right mind comes across: a check that is missing, something that is not
given back, a link that is left behind, memory of somebody else's that is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel import buffers, ipc, reliable, user_memory
from fluke_async.kernel.core import Core
from fluke_async.kernel.hold import Hold
from fluke_async.kernel.memory import Quota
from fluke_async.kernel.objects import mapping, region
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.root import RootSpace
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.ordered_queue import OrderedQueue
from fluke_async.kernel.params import SLAB_SIZE
from fluke_async.kernel.scheduler import Scheduler
from fluke_async.kernel.slab import Slab
from fluke_async.kernel.tables import Tables
from fluke_async.kernel.user_memory import _store as store


def quota_not_given_back() -> None:
    """What costs less than a kilobyte is forgotten when it is destroyed."""
    original = Quota.release

    def release(self: Quota, size_bytes: int) -> None:
        if size_bytes >= 1024:
            original(self, size_bytes)

    Quota.release = release  # type: ignore[method-assign]


def translations_kept_by_protect() -> None:
    """What was looked up through a region stays when the region's access is taken back."""
    region.revoke_region = lambda *_: None  # type: ignore[attr-defined]


def translations_kept_by_a_mapping_that_leaves() -> None:
    """A mapping that is loaded anew or destroyed leaves what was looked up through it."""
    mapping.revoke_range = lambda *_: None  # type: ignore[attr-defined]


def mapping_known_to_a_dead_region() -> None:
    """A mapping whose region is destroyed keeps the link."""
    original = Region.on_destroy

    def on_destroy(self: Region, core: Core) -> None:
        left: list[Mapping] = list(self.mappings)
        original(self, core)
        for each in left:
            each.region = self

    Region.on_destroy = on_destroy  # type: ignore[method-assign]


def last_byte_written_a_page_too_far() -> None:
    """The last byte of what the kernel writes over more than half a page goes to the next frame but eight."""

    def write(core: Core, targets: list[tuple[int, int]], data: bytes | memoryview) -> None:
        store(core, targets, data)
        start, length = targets[-1]
        ram = core.hardware.ram
        if length > PAGE_SIZE // 2:
            ram[(start + length + 8 * PAGE_SIZE) % len(ram)] ^= 1

    user_memory._store = write


def room_in_a_table_taken_on_trust() -> None:
    """A table that was written over by what it received is believed."""
    original = buffers.position

    def position(core: Core, thread: Thread, side: Any, done: int) -> Any:
        place = original(core, thread, side, done)
        if len(place) == 2 or (left := buffers.length(core, thread, side) - done) >= 0:
            return place
        return (place[0], left, *place[2:])

    ipc.position = reliable.position = position  # type: ignore[attr-defined]


def stack_kept_by_the_stopped() -> None:
    """Stopping a thread leaves it its stack."""
    original = Thread.drop_stack

    def stop(self: Scheduler, thread: Thread) -> None:
        Thread.drop_stack = lambda _self: None  # type: ignore[assignment,method-assign]
        stop_well(self, thread)
        Thread.drop_stack = original  # type: ignore[method-assign]

    stop_well = Scheduler.stop
    Scheduler.stop = stop  # type: ignore[method-assign]


def late_comer_first() -> None:
    """Who comes to a crowd of three or more stands before all."""
    original = OrderedQueue.push

    def push(self: OrderedQueue, entry: tuple[Any, ...]) -> None:
        original(self, entry)
        if len(self) > 3 and len(entry) == 3:
            self._entries.insert(0, self._entries.pop())

    OrderedQueue.push = push  # type: ignore[method-assign]


def inheritor_not_forgotten() -> None:
    """A condition whose inheritor is destroyed still lends to it."""
    Cond.on_borrower_gone = lambda _self: None  # type: ignore[assignment,method-assign]


def client_not_told() -> None:
    """A thread that serves somebody else by now stays among those who serve the one before."""
    original = Thread.link_client

    def link_client(self: Thread, client: Thread | None, **how: bool) -> None:
        before = self.client
        original(self, client, **how)
        if before is not None and client is None:
            before.takers = {**(before.takers or {}), self: None}

    Thread.link_client = link_client  # type: ignore[method-assign]


def tables_counted_wrong() -> None:
    """Of the pages that are taken out of a table one by one, none is counted."""
    original = Tables.forget

    def forget(self: Tables, space: Any, first_page: int, end_page: int) -> None:
        used = self.used
        original(self, space, first_page, end_page)
        self.used = max(self.used, used) if space.pages else self.used

    Tables.forget = forget  # type: ignore[method-assign]


def held_memory_written_as_before() -> None:
    """What could be written before memory is held can be written after it."""

    def hold(self: RootSpace, core: Core, start: int, size: int) -> Hold:
        return self._slabs[start // SLAB_SIZE].hold(start // PAGE_SIZE, (start + size) // PAGE_SIZE)

    RootSpace.hold = hold  # type: ignore[method-assign]


def pages_kept_for_the_newest_hold_alone() -> None:
    """A page that is written is kept for who held the memory last, and for nobody who did before."""

    def note_write(self: Slab, page: int, content: memoryview) -> None:
        self.holds[-1].keep(page, content, None)
        self.holds[-1].written.add(page)

    Slab.note_write = note_write  # type: ignore[method-assign]


MISTAKES: tuple[Callable[[], None], ...] = (
    quota_not_given_back,
    translations_kept_by_protect,
    translations_kept_by_a_mapping_that_leaves,
    mapping_known_to_a_dead_region,
    last_byte_written_a_page_too_far,
    room_in_a_table_taken_on_trust,
    stack_kept_by_the_stopped,
    late_comer_first,
    inheritor_not_forgotten,
    client_not_told,
    tables_counted_wrong,
    held_memory_written_as_before,
    pages_kept_for_the_newest_hold_alone,
)
