"""
Looking through a region: which objects are in it, and which of its pages have been written.

A search goes from page to page of those that have objects, a question about changes of those that have frames; both
keep all progress in their arguments: where they are, how much is left, where the next result goes and how many still
fit. After so many pages they are as good as called anew: in between, whatever has to happen can happen, under any
preemption.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE, ExceptionCode, Status
from fluke_async.abi.entry_points import VISIT_COST
from fluke_async.abi.layouts import OBSPEC
from fluke_async.abi.registers import A0, A1, A2, A3, A4, A5, A6
from fluke_async.kernel import user_memory
from fluke_async.kernel.exceptions import WORD_MASK, ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.params import MAPPING_DEPTH_MAX
from fluke_async.kernel.translation import FRAME_MASK, OFFSET_MASK, WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

OFFSET, SIZE, ITEMS, CAPACITY, SINCE, GENERATION = A1, A2, A3, A4, A5, A6
"""The registers by their roles."""

NextInRoot = Callable[[int, int], tuple[int, int] | None]
"""Says of a range of the root's addresses which is the first page that is looked for, and its frame."""

LINKS_PER_VISIT = 4  # what a page that is looked through costs the host, in threads ranked anew


def region_search(core: Core, thread: Thread) -> int | None:
    """List objects: each by its address in the region's space, and its type."""
    region, offset, end = _part(core, thread)
    room, visits, is_full = thread.registers[CAPACITY], 0, False
    found: list[bytes] = []
    while offset < end and not is_full and visits < core.visited_pages:
        visits += 1
        frame, first, after = _next_page(core.root.next_objects, region, offset, end)
        offset = after
        for target in () if frame is None else core.objects.in_frame(frame):
            place = first & FRAME_MASK | target.address & OFFSET_MASK
            if not first <= place < after:
                continue
            if len(found) == room:
                is_full, offset = True, place
                break
            found.append(OBSPEC.pack({"ob": region.start + place, "type": target.type}))
    return _commit(core, thread, found, (offset, end, is_full), visits)


def region_changed(core: Core, thread: Thread) -> int | None:
    """List pages that may have been written since a generation: each by its offset."""
    registers, changes = thread.registers, core.changes
    region, offset, end = _part(core, thread)
    room, visits, is_full = registers[CAPACITY], 0, False
    found: list[bytes] = []
    user_memory.touch(core, thread, registers[ITEMS], WRITE, min(room, core.visited_pages) * WORD_SIZE)
    if not 0 < registers[GENERATION] <= changes.generation:
        registers[GENERATION] = changes.next_generation()
    since = registers[SINCE] if registers[SINCE] <= changes.generation else 0
    while offset < end and not is_full and visits < core.visited_pages:
        visits += 1
        frame, first, after = _next_page(core.root.next_frame, region, offset, end)
        offset = after
        if frame is not None and changes.ask(frame, since, registers[GENERATION]):
            if len(found) == room:
                is_full, offset = True, first
            else:
                found.append((first & FRAME_MASK).to_bytes(WORD_SIZE, "little"))
    return _commit(core, thread, found, (offset, end, is_full), visits)


def _part(core: Core, thread: Thread) -> tuple[Region, int, int]:
    """The region, and from where to where in it there is anything to look at."""
    registers = thread.registers
    region = object_at(core, thread, registers[A0], Region)
    offset, size = registers[OFFSET], registers[SIZE]
    if offset + size > WORD_MASK:
        raise ProgramException(thread, ExceptionCode.INVALID_ADDRESS, offset)
    if registers[ITEMS] % WORD_SIZE:
        raise ProgramException(thread, ExceptionCode.NOT_ALIGNED, registers[ITEMS])
    return region, offset, min(offset + size, region.size)


def _commit(
    core: Core, thread: Thread, found: list[bytes], progress: tuple[int, int, bool], visits: int
) -> Status | None:
    """Write what was found, and move all arguments on; None: the thread's next step is the same call."""
    registers = thread.registers
    data = b"".join(found)
    user_memory.write(core, thread, registers[ITEMS], data)
    offset, end, is_full = progress
    is_done = offset >= end
    if is_done:
        offset = registers[OFFSET] + registers[SIZE]
    registers[SIZE] -= offset - registers[OFFSET]
    registers[OFFSET] = offset
    registers[ITEMS] += len(data)
    registers[CAPACITY] -= len(found)
    core.charge(VISIT_COST * (visits + len(found)))
    core.links_ranked += LINKS_PER_VISIT * visits
    if is_done or is_full:
        return Status.SUCCESS
    thread.in_kernel = True
    return None


def _next_page(next_in_root: NextInRoot, region: Region, offset: int, end: int) -> tuple[int | None, int, int]:
    """
    The frame behind the first page from `offset` on that is looked for, and from where to where its part reaches.

    One step up the tree: where the first stretch that is mapped alike has no such page, None and the stretch.
    """
    length = end - offset
    space, address = region.space, region.start + offset
    for _ in range(MAPPING_DEPTH_MAX):
        if space is None:
            return None, offset, offset + length
        if space.is_root:
            found = next_in_root(address, address + length)
            if found is None:
                return None, offset, offset + length
            page, frame = found
            first = offset + max(page - address, 0)
            return frame, first, min(first - (first & OFFSET_MASK) + PAGE_SIZE, end)
        mapping = space.mapping_at(address)
        if mapping is None:
            return None, offset, offset + min(length, space.next_start(address) - address)
        inside = address - mapping.start
        length = min(length, mapping.size - inside)
        above, place = mapping.region, mapping.offset + inside
        if above is None or place >= above.size:
            return None, offset, offset + length
        length = min(length, above.size - place)
        space, address = above.space, above.start + place
    return None, offset, offset + length
