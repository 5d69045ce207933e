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

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, ObjectType, Prot
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.params import MAPPING_DEPTH_MAX
from fluke_async.kernel.slab import NO_FRAME, ROW_PAGES, Slab
from fluke_async.kernel.translation import FRAME_MASK, READ, WRITE

Covering = Table[Space, Sequence[Mapping]]
"""The mappings of each space that has some."""


def check_memory(core: Core, objects: Sequence[KernelObject]) -> None:
    """All that concerns memory."""
    covering: dict[Space, list[Mapping]] = {}
    for each in objects:
        if isinstance(each, Mapping) and each.space is not None:
            covering.setdefault(each.space, []).append(each)
    frames = check_frames(core)
    spaces = [core.root, *(each for each in objects if isinstance(each, Space))]
    for space in spaces:
        check_page_table(core, space, covering, frames)
        check_mappings(space, covering.get(space, ()))
    for each in objects:
        if isinstance(each, Region):
            check_region(each)
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


def check_page_table(core: Core, space: Space, covering: Covering, frames: Table[int, int]) -> None:
    """
    Each entry is the frame and the access that a walk up the tree of mappings finds now.

    The access to write may be missing, where the first write is, or was, to be noticed.
    """
    for page, entry in space.pages.items():
        found = walk(core, covering, space, page * PAGE_SIZE)
        assert entry in (found, found & ~WRITE), f"{space}: stale entry of {page:#x}"
        assert entry & FRAME_MASK in frames, f"{space}: the frame of {page:#x} is nobody's"
        if entry & WRITE:
            assert (found & FRAME_MASK) not in core.frames.sharers
            assert not core.root.is_held(frames[entry & FRAME_MASK]), f"{space}: {page:#x} can be written"


def walk(core: Core, covering: Covering, space: Space, address: int) -> int:
    """The entry of an address by the rules of the tree of all mappings, written a second time; 0 if there is none."""
    granted = int(Prot.ALL)
    for _ in range(MAPPING_DEPTH_MAX):
        if space is core.root:
            frame = core.root.frame_at(core, address)
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


def check_frames(core: Core) -> Table[int, int]:
    """A frame is that of one page of the root, or of as many as share it; all in use are. Returns a page of each."""
    places = {frame: address for address, frame in core.root.frames()}
    pages = Counter(frame for _, frame in core.root.frames())
    sharers = core.frames.sharers
    wrong = {frame: count for frame, count in pages.items() if count != sharers[frame] + 1}
    assert not wrong, f"frames are shared as {sharers}, but pages have {wrong}"
    assert len(pages) == core.frames.in_use, f"{len(pages)} frames have pages, {core.frames.in_use} are in use"
    assert all(0 <= frame < len(core.hardware.ram) and not frame % PAGE_SIZE for frame in pages)
    for target in core.objects.values():
        assert target.address & FRAME_MASK in pages, f"{target} is in no page"
        assert target.address & FRAME_MASK not in sharers, f"{target} is in a frame that is shared"
    with_objects = sorted(places[frame] // PAGE_SIZE for frame in {each & FRAME_MASK for each in core.objects})
    assert with_objects == sorted(page for slab in core.root.slabs() for page in slab.objects)
    assert all(slab.objects == sorted(slab.objects) for slab in core.root.slabs())
    return places


def check_rows(slab: Slab) -> None:
    """What the slab says of the pages in a row is what it says of each."""
    rows = {page: frame for number, row in slab.rows.items() for page, frame in enumerate(row, number * ROW_PAGES)}
    assert {page: frame for page, frame in rows.items() if frame != NO_FRAME} == slab


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
    cost = sum(OBJECT_CHARGE_BYTES[ObjectType(each.type)] for each in objects)
    assert core.quota.used_bytes == cost + core.frames.in_use * PAGE_SIZE
    assert core.quota.used_bytes <= core.quota.limit_bytes
