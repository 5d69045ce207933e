"""
What must hold of memory between any two steps of the kernel.

Mappings are in order; page tables say nothing that a walk up the tree of mappings does not, and let nobody write what
is watched; each frame is a page's, or that of as many pages as share it; holds have kept what was written, and no more;
everything is charged, and nothing else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping as Table
from collections.abc import Sequence
from itertools import chain
from typing import Final

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, Prot
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.params import MAPPING_DEPTH_MAX
from fluke_async.kernel.slab import NO_FRAME, ROW_PAGES, Slab
from fluke_async.kernel.translation import FRAME_MASK, READ, WRITE

_ALL: Final = int(Prot.ALL)
_OFFSET: Final = PAGE_SIZE - 1

Covering = Table[Space, Sequence[Mapping]]
"""The mappings of each space that has some."""


def check_memory(core: Core, objects: Sequence[KernelObject]) -> None:
    """All that concerns memory."""
    covering: dict[Space, list[Mapping]] = {}
    spaces: list[Space] = [core.root]
    for each in objects:
        if isinstance(each, Mapping):
            if each.space is not None:
                covering.setdefault(each.space, []).append(each)
        elif isinstance(each, Region):
            check_region(each)
        elif isinstance(each, Space):
            spaces.append(each)
    frames = dict(core.root.frames())
    places = check_frames(core, frames)
    for space in spaces:
        check_page_table(core, space, covering, places, frames)
        check_mappings(space, covering.get(space, ()))
    entries = sum(len(space.pages) for space in spaces)
    assert core.tables.used == entries, f"{entries} translations, but {core.tables.used} are counted"
    assert entries <= core.tables.capacity
    for slab in core.root.slabs():
        check_rows(slab)
        check_holds(slab)
    check_charges(core, objects)


def check_mappings(space: Space, mappings: Sequence[Mapping]) -> None:
    """Mappings are in order and do not overlap; each knows its space and its region knows it."""
    end = 0
    for mapping in space.mappings:
        assert mapping.active
        assert mapping.space is space
        if mapping.size:
            assert mapping.start >= end, f"{mapping} overlaps another"
            end = mapping.start + mapping.size
        if mapping.region is not None:
            assert mapping in mapping.region.mappings
    assert len(space.mappings) == len(mappings), f"{space} knows {space.mappings}, of {mappings}"
    for region in space.regions:
        assert region.active
        assert region.space is space


def check_region(region: Region) -> None:
    """A region and the mappings made of it know each other; its space is there."""
    for mapping in region.mappings:
        assert mapping.active
        assert mapping.region is region
    if region.space is not None:
        assert region.space.active
        assert region in region.space.regions


def check_page_table(
    core: Core, space: Space, covering: Covering, places: Table[int, int], frames: Table[int, int]
) -> None:
    """
    Each entry is the frame and the access that a walk up the tree of mappings finds now.

    The access to write may be missing, where the first write is, or was, to be noticed.
    """
    sharers = core.frames.sharers
    for page, entry in space.pages.items():
        found = walk(core, covering, frames, space, page * PAGE_SIZE)
        assert entry in (found, found & ~WRITE), f"{space}: stale entry of {page:#x}"
        frame = entry & FRAME_MASK
        assert frame in places, f"{space}: the frame of {page:#x} is nobody's"
        if entry & WRITE:
            assert frame not in sharers
            assert not core.root.is_held(places[frame]), f"{space}: {page:#x} can be written"


def walk(core: Core, covering: Covering, frames: Table[int, int], space: Space, address: int) -> int:
    """The entry of an address by the rules of the tree of all mappings, written a second time; 0 if there is none."""
    granted = _ALL
    for _ in range(MAPPING_DEPTH_MAX):
        if space is core.root:
            frame = frames.get(address)
            return 0 if frame is None else frame | granted
        found = [each for each in covering.get(space, ()) if each.start <= address < each.start + each.size]
        if not found:
            return 0
        (mapping,) = found
        region: Region | None = mapping.region
        if region is None or region.space is None:
            return 0
        granted &= mapping.prot & region.prot
        granted &= granted if granted & READ else ~WRITE
        offset = mapping.offset + address - mapping.start
        if offset >= region.size or not granted:
            return 0
        space, address = region.space, region.start + offset
    return 0


def check_frames(core: Core, frames: Table[int, int]) -> Table[int, int]:
    """A frame is that of one page of the root, or of as many as share it; all in use are. Returns a page of each."""
    places = {frame: address for address, frame in frames.items()}
    sharers = core.frames.sharers
    if sharers or len(places) != len(frames):
        pages = Counter(frames.values())
        wrong = {frame: count for frame, count in pages.items() if count != sharers[frame] + 1}
        assert not wrong, f"frames are shared as {sharers}, but pages have {wrong}"
    assert len(places) == core.frames.in_use, f"{len(places)} frames have pages, {core.frames.in_use} are in use"
    if places:
        assert 0 <= min(places) <= max(places) < len(core.hardware.ram)
        assert not any(map(_OFFSET.__and__, places)), "a frame is no page of the processor's"
    full = {address & FRAME_MASK for address in core.objects}
    assert full <= places.keys(), f"objects at {full - places.keys()} are in no page"
    assert full.isdisjoint(sharers), f"objects at {full & sharers.keys()} are in frames that are shared"
    noted = [slab.objects for slab in core.root.slabs()]
    assert sorted(places[frame] // PAGE_SIZE for frame in full) == sorted(chain.from_iterable(noted))
    assert all(pages_of_slab == sorted(pages_of_slab) for pages_of_slab in noted)
    return places


def check_rows(slab: Slab) -> None:
    """What the slab says of the pages in a row is what it says of each."""
    rows = slab.rows
    assert all(rows[page // ROW_PAGES][page % ROW_PAGES] == frame for page, frame in slab.items())
    assert sum(ROW_PAGES - row.count(NO_FRAME) for row in rows.values()) == len(slab), "a row has frames of no page"


def check_holds(slab: Slab) -> None:
    """The slab is watched while one of its holds counts; each has what was written of its moment and not taken."""
    holds = slab.holds
    assert slab.written is (holds[-1].written if holds else None)
    assert not holds or not holds[0].is_ended
    later: set[int] = set()
    for hold, following in zip(reversed(holds), [None, *reversed(holds)], strict=False):
        assert hold.next is following
        assert hold.written <= slab.keys()
        later |= hold.written
        there, taken, kept = hold.pages_of_the_moment()
        assert hold.is_done or kept == (there & later) - taken, f"kept is {kept}, of {there} without {taken}"
        assert not hold.is_done or not kept


def check_charges(core: Core, objects: Sequence[KernelObject]) -> None:
    """What is used is what the objects and the frames cost, no more and no less."""
    cost = sum(OBJECT_CHARGE_BYTES[each.type] for each in objects)
    assert core.quota.used_bytes == cost + core.frames.in_use * PAGE_SIZE
    assert core.quota.used_bytes <= core.quota.limit_bytes
