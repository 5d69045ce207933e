"""
From virtual addresses to frames: the walk up the tree of mappings, and its undoing.

A page that is not in a space's table is looked for along the chain mapping, region, space, mapping ... up to the root,
which owns the frames. The access entered is what every mapping and region on the way grants. This is the soft fault;
an address for which the walk ends without a frame is the thread's exception.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, Prot
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.params import MAPPING_DEPTH_MAX, PAGES_MAX
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.space import Space
    from fluke_async.kernel.objects.thread import Thread

FRAME_MASK = ~(PAGE_SIZE - 1)
OFFSET_MASK = PAGE_SIZE - 1

# Plain numbers, for page-table entries are read on the hottest paths and an enumeration's arithmetic is slow.
READ, WRITE, EXECUTE, ALL = int(Prot.READ), int(Prot.WRITE), int(Prot.EXECUTE), int(Prot.ALL)

FAULT_OF_ACCESS = {
    READ: ExceptionCode.LOAD_FAULT,
    WRITE: ExceptionCode.STORE_FAULT,
    EXECUTE: ExceptionCode.FETCH_FAULT,
}


def resolve(core: Core, thread: Thread, address: int, access: int) -> int:
    """
    Enter the page of `address` in the table of the thread's space; returns the entry, which grants `access`.

    Raises:
        ProgramException: nothing is mapped there, or not with that access, or memory is used up.
    """
    space = thread.space
    if space is None:
        raise ProgramException(thread, FAULT_OF_ACCESS[access], address)
    found = find_frame(core, space, address, access)
    if isinstance(found, ExceptionCode):
        raise ProgramException(thread, found, address)
    if len(space.pages) >= PAGES_MAX:  # translations are soft: what is forgotten is found again
        space.pages.clear()
        core.translations_changed = True
    space.pages[address // PAGE_SIZE] = found
    core.statistics.soft_faults += 1
    if core.trace is not None:
        core.trace((core.time, Event.FAULT, thread.hash, address, access))
    return found


def find_frame(core: Core, space: Space, address: int, access: int) -> int | ExceptionCode:
    """The page-table entry for an address, or the reason why there is none."""
    denied = FAULT_OF_ACCESS[access]
    granted = ALL
    page = address & FRAME_MASK
    for _ in range(MAPPING_DEPTH_MAX):
        if space.is_root:
            frame = core.root.frame_at(core, page)
            return ExceptionCode.OUT_OF_MEMORY if frame is None else frame | granted
        mapping = space.mapping_at(page)
        region = None if mapping is None else mapping.region
        if mapping is None or region is None or region.space is None:
            return denied
        offset = mapping.offset + page - mapping.start
        granted &= mapping.prot & region.prot
        if not granted & READ:
            granted &= ~WRITE  # the page tables of RISC-V have no pages that can only be written
        if offset >= region.size or not granted & access:
            return denied
        space, page = region.space, region.start + offset
    return denied


def revoke_range(core: Core, space: Space, start: int, size: int) -> None:
    """Forget the translations of a range, and those of all spaces that were given a part of it."""
    _forget(space.pages, start // PAGE_SIZE, (start + size) // PAGE_SIZE)
    given = (region for region in space.regions if start < region.start + region.size and region.start < start + size)
    revoke_spaces(core, [mapping.space for region in given for mapping in region.mappings])


def revoke_spaces(core: Core, spaces: Iterable[Space | None]) -> None:
    """
    Forget all translations of these spaces, and of all that were derived from them.

    More than would be needed, but each space is visited once: a program cannot make it long by a tangle of mappings.
    """
    pending = [space for space in spaces if space is not None]
    seen: set[Space] = set()
    while pending:
        space = pending.pop()
        if space in seen:
            continue
        seen.add(space)
        space.pages.clear()
        pending += [each.space for region in space.regions for each in region.mappings if each.space is not None]
    core.translations_changed = True


def _forget(pages: dict[int, int], first: int, end: int) -> None:
    gone = range(first, end) if end - first < len(pages) else [page for page in pages if first <= page < end]
    for page in gone:
        pages.pop(page, None)
