"""
From virtual addresses to frames: the walk up the tree of mappings.

A page that is not in a space's table is looked for along the chain mapping, region, space, mapping ... up to the root,
which owns the frames. The access entered is what every mapping and region on the way grants. Three things can come of
it. A *soft* fault ends at a frame, which is entered, with its neighbours that are present. A *hard* one ends at a
region that does not give what is wanted: its keeper is to be asked. What the thread's own space does not give, or a
region without a keeper, is the thread's exception. Which of these it is, is the manual's chapters 4 and 5.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, Prot
from fluke_async.kernel.exceptions import PageFault, ProgramException
from fluke_async.kernel.params import FAULT_AROUND_PAGES, MAPPING_DEPTH_MAX
from fluke_async.kernel.probe import Point, Recreated
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.region import Region
    from fluke_async.kernel.objects.space import Space
    from fluke_async.kernel.objects.thread import Thread

FRAME_MASK = ~(PAGE_SIZE - 1)
OFFSET_MASK = PAGE_SIZE - 1

# Plain numbers, for page-table entries are read on the hottest paths and an enumeration's arithmetic is slow.
READ, WRITE, EXECUTE, ALL = int(Prot.READ), int(Prot.WRITE), int(Prot.EXECUTE), int(Prot.ALL)

CLOSED = tuple(prot if prot & READ else prot & ~WRITE for prot in range(ALL + 1))
"""What rights come to: the page tables of RISC-V have no pages that can be written and not read."""

FAULT_OF_ACCESS = {
    READ: ExceptionCode.LOAD_FAULT,
    WRITE: ExceptionCode.STORE_FAULT,
    EXECUTE: ExceptionCode.FETCH_FAULT,
}

Reached = tuple[int, int, int, int]
"""A page of the root; the access granted; how many bytes from that page on, and before it, are reached the same way."""

Denied = tuple["Region", int] | None
"""The region concerned and the offset of the page in it; None: nothing but the thread's own space is."""


def page_in(core: Core, thread: Thread, address: int, access: int) -> int:
    """
    `resolve`, for an operation that touches the thread's memory: a point at which everything can be created again.

    Raises:
        Recreated: it has been.
    """
    if core.probe is None or core.current is None:
        return resolve(core, thread, address, access)
    try:
        entry = resolve(core, thread, address, access)
    except PageFault:
        if core.show_inside(Point.HARD_FAULT, thread):
            raise Recreated from None
        raise
    if core.show_inside(Point.SOFT_FAULT, thread):
        raise Recreated
    return entry


def resolve(core: Core, thread: Thread, address: int, access: int) -> int:
    """
    Enter the page of `address` in the table of the thread's space; returns the entry, which grants `access`.

    Raises:
        PageFault: a region's keeper is to be asked.
        ProgramException: nothing is mapped there, or not with that access, or memory is used up.
    """
    space = thread.space
    if space is None:
        raise ProgramException(thread, FAULT_OF_ACCESS[access], address)
    found = find(space, address & FRAME_MASK, access)
    if found is None or len(found) == 2:
        raise fault_of(thread, address, access, found)
    entry = _enter(core, space, address // PAGE_SIZE, access, found)
    if entry is None:
        raise ProgramException(thread, ExceptionCode.OUT_OF_MEMORY, address)
    if core.trace is not None:
        core.trace((core.time, Event.FAULT, thread.hash, address & FRAME_MASK, access))
    return entry


def resolve_softly(core: Core, thread: Thread, address: int, access: int, time: int) -> int | None:
    """`resolve` in the middle of guest code, at `time`; None, and nothing has happened, if that code has to stop."""
    space = thread.space
    assert space is not None
    found = find(space, address & FRAME_MASK, access)
    if found is None or len(found) == 2 or not core.tables.have_room:
        return None
    if access == WRITE and core.root.is_work_to_write(core, found[0]):
        return None
    entry = _enter(core, space, address // PAGE_SIZE, access, found)
    if entry is not None and core.trace is not None:
        core.trace((time, Event.FAULT, thread.hash, address & FRAME_MASK, access))
    return entry


def _enter(core: Core, space: Space, page: int, access: int, found: Reached) -> int | None:
    """Enter a page that the walk has reached, and its neighbours; None if there is no memory for it."""
    root_page, granted, ahead, behind = found
    entry = core.root.entry_of(core, root_page, granted, access)
    if entry is None:
        return None
    if access == WRITE and entry & FRAME_MASK in core.changes.written:
        core.changes.note_write(entry & FRAME_MASK, space, page)
    entries = {page: entry}
    if ahead > PAGE_SIZE or behind:
        first = page & -FAULT_AROUND_PAGES
        end = min(first + FAULT_AROUND_PAGES, page + ahead // PAGE_SIZE)
        pages = range(max(first, page - behind // PAGE_SIZE), end)
        core.root.add_neighbours(core, root_page, granted, pages, page, space, entries)
    core.tables.enter(space, entries)
    core.statistics.soft_faults += 1
    return entry


def find(space: Space, page: int, access: int) -> Reached | Denied:
    """Walk from a page of a space, given by its address, to the root; touches nothing."""
    granted = ALL
    ahead = behind = 1 << 64
    concerned: Denied = None
    for _ in range(MAPPING_DEPTH_MAX):
        if space.is_root:
            return page, granted, ahead, behind
        mapping = space.mapping_at(page)
        if mapping is None:
            return concerned
        granted &= CLOSED[mapping.prot]
        region = mapping.region
        if region is None or not granted & access:
            return concerned
        inside = page - mapping.start
        offset = mapping.offset + inside
        concerned = region, offset
        granted &= CLOSED[region.prot]
        above = region.space
        if not granted & access or offset >= region.size or above is None:
            return concerned
        ahead = min(ahead, mapping.size - inside)
        ahead = min(ahead, region.size - offset)
        behind = min(behind, inside)
        space, page = above, region.start + offset
    return None


def fault_of(thread: Thread, address: int, access: int, denied: Denied) -> ProgramException:
    """What becomes of an access that the walk has denied."""
    code = FAULT_OF_ACCESS[access]
    if denied is None:
        return ProgramException(thread, code, address)
    region, offset = denied
    keeper = region.keeper
    if keeper is None or not keeper.active:  # as if there were one that fails
        return ProgramException(thread, code, address)
    return PageFault(thread, code, address, access, region.hash, offset | address & OFFSET_MASK, keeper)


def pending_fault(thread: Thread) -> PageFault | None:
    """The fault that a thread waits for a keeper to resolve, as it is now; None if there is nothing left to ask."""
    if thread.fault is None or thread.space is None:
        return None
    address, access, _ = thread.fault
    found = find(thread.space, address & FRAME_MASK, access)
    if found is None or len(found) == 4:
        return None
    fault = fault_of(thread, address, access, found)
    return fault if isinstance(fault, PageFault) else None


def question_to(thread: Thread, keeper: Port) -> PageFault | None:
    """
    What a thread has asked a keeper that answers in its own time, and would ask it anew.

    Should there be nothing left to ask, it is what concerns the first region on the way that has this keeper.
    """
    fault = pending_fault(thread)
    if fault is not None or thread.fault is None:
        return fault if fault is not None and fault.keeper is keeper else None
    address, access, _ = thread.fault
    space, page = thread.space, address & FRAME_MASK
    for _ in range(MAPPING_DEPTH_MAX):
        mapping = None if space is None else space.mapping_at(page)
        region = None if mapping is None else mapping.region
        if mapping is None or region is None:
            return None
        offset = mapping.offset + page - mapping.start
        if region.keeper is keeper:
            found = fault_of(thread, address, access, (region, offset))
            return found if isinstance(found, PageFault) else None
        space, page = region.space, region.start + offset
    return None
