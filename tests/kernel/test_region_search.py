"""A search of a region lists the objects in it, in order, however small the array is, and wherever it is cut off."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_END, ExceptionCode, ObjectType
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.params import MAPPING_DEPTH_MAX
from tests.kernel.machine import MEMORY, UNMAPPED, Machine
from tests.kernel.memory_tree import ALL, HERE, READ, Tree, bits
from tests.kernel.scanning import count_visits, objects_in, search
from tests.kernel.two_slabs import Slabs

PLACES = (16, 32, PAGE_SIZE - 16, 2 * PAGE_SIZE, 2 * PAGE_SIZE + 512, 3 * PAGE_SIZE + 64)
SIZE = 4 * PAGE_SIZE


def populated(machine: Machine, depth: int = 1) -> tuple[Tree, Region]:
    """A tree with mutexes at PLACES, and the region that is searched: over the space before the last."""
    tree = Tree(machine, depth=depth)
    thread = machine.spawn(*(machine.call("mutex_create", mutex=HERE + place) for place in PLACES), space=tree.space)
    machine.run()
    assert machine.done(thread)
    return tree, tree.regions[-1]


# -- what is found ---------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_objects_are_listed_in_order_by_their_addresses_in_the_regions_space(machine: Machine, depth: int) -> None:
    tree, region = populated(machine, depth)
    start = tree.memory if depth == 1 else HERE
    found = search(machine, region, 0, SIZE, 10)
    assert found.found == [word for place in PLACES for word in (start + place, ObjectType.MUTEX)]
    assert (found.offset, found.size, found.capacity) == (SIZE, 0, 10 - len(PLACES))


def test_types_are_told(machine: Machine) -> None:
    tree = Tree(machine)
    kinds = ("mutex", "cond", "region", "mapping", "port", "portset", "space", "ref", "thread")
    calls = [machine.call(f"{name}_create", **{name: HERE + SLOT_SIZE * number}) for number, name in enumerate(kinds)]
    machine.spawn(*calls, space=tree.space)
    machine.run()
    found = search(machine, tree.regions[0], 0, SIZE, 20).found
    assert found[1::2] == [ObjectType[name.upper()] for name in kinds]


def test_objects_that_have_ended_are_not_there(machine: Machine) -> None:
    tree, region = populated(machine)
    machine.spawn(machine.call("mutex_destroy", mutex=HERE + PLACES[1]), space=tree.space)
    machine.run()
    expected = [tree.memory + place for place in PLACES if place != PLACES[1]]
    assert objects_in(machine, region, SIZE) == expected


@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 16), (0, 17), (16, 1), (17, 15), (17, 16), (32, PAGE_SIZE - 47), (33, PAGE_SIZE - 49), (PAGE_SIZE, PAGE_SIZE),
     (PAGE_SIZE - 16, PAGE_SIZE + 16), (2 * PAGE_SIZE + 1, 10 * PAGE_SIZE), (0, 0), (16, 0), (SIZE, 1 << 40)],
)  # fmt: skip
def test_part_of_a_region_has_the_objects_whose_slots_begin_there(machine: Machine, offset: int, size: int) -> None:
    tree, region = populated(machine)
    found = search(machine, region, offset, size, 10)
    expected = [place for place in PLACES if offset <= place < offset + size]
    assert [address - tree.memory for address in found.found[::2]] == expected
    assert (found.offset, found.size) == (offset + size, 0)


@pytest.mark.parametrize("capacity", range(1, 8))
def test_what_does_not_fit_is_found_by_calling_again(machine: Machine, capacity: int) -> None:
    tree, region = populated(machine)
    first = search(machine, region, 0, SIZE, capacity)
    if capacity < len(PLACES):
        assert (first.offset, first.size, first.capacity) == (PLACES[capacity], SIZE - PLACES[capacity], 0)
    else:
        assert (first.offset, first.capacity) == (SIZE, capacity - len(PLACES))
    assert objects_in(machine, region, SIZE, capacity) == [tree.memory + place for place in PLACES]


def test_without_room_one_learns_where_the_first_is(machine: Machine) -> None:
    _, region = populated(machine)
    for offset, place in ((0, 16), (17, 32), (PAGE_SIZE, 2 * PAGE_SIZE)):
        found = search(machine, region, offset, SIZE - offset, 0)
        assert (found.found, found.offset, found.capacity) == ([], place, 0)
    end = PLACES[-1] + 1
    assert search(machine, region, end, SIZE - end, 0).offset == SIZE


def test_offset_and_size_of_what_is_mapped_are_kept_to(machine: Machine) -> None:
    """Mappings that show parts of the same memory, one of them past the end of its region."""
    tree, _ = populated(machine)
    space, above, region = machine.new(Space), machine.new(Region), machine.new(Region)
    machine.load(above, {"start_va": tree.memory, "size": 3 * PAGE_SIZE, "prot": ALL}, space=machine.space)
    for place, offset in ((1, 2), (2, 0), (6, 2), (7, 1)):
        start = HERE + place * PAGE_SIZE
        size = PAGE_SIZE * (2 if place == 2 else 1)
        machine.load(machine.new(Mapping), bits(start_va=start, region_off=offset * PAGE_SIZE, size=size),
                     region=above, space=space)  # fmt: skip
    machine.load(machine.new(Mapping), bits(start_va=HERE + 4 * PAGE_SIZE, region_off=2 * PAGE_SIZE, size=SIZE // 2),
                 region=above, space=space)  # fmt: skip
    machine.load(region, {"start_va": HERE, "size": 8 * PAGE_SIZE, "prot": ALL}, space=space)
    pages = {1: 2, 2: 0, 3: 1, 4: 2, 6: 2, 7: 1}  # page 5 would be beyond the end of the region
    expected = [
        HERE + page * PAGE_SIZE + place % PAGE_SIZE
        for page, shown in pages.items()
        for place in PLACES
        if place // PAGE_SIZE == shown
    ]
    assert objects_in(machine, region, 8 * PAGE_SIZE, 2) == expected


def test_shared_pages_have_no_objects_and_copies_neither(machine: Machine) -> None:
    slabs = Slabs(machine)
    slabs.spawn(0, machine.call("mutex_create", mutex=HERE))
    slabs.store(0, 1, 1)
    slabs.share()
    assert objects_in(machine, slabs.regions[0], SIZE) == [slabs.starts[0]]
    assert objects_in(machine, slabs.regions[1], SIZE) == []


@pytest.mark.parametrize("link", ["region", "space", "mapping"])
def test_region_that_leads_nowhere_has_nothing(machine: Machine, link: str) -> None:
    tree, region = populated(machine, depth=2)
    targets: dict[str, Any] = {"region": tree.regions[0], "space": tree.spaces[0], "mapping": tree.mappings[0]}
    machine.core.destroy(targets[link])
    assert objects_in(machine, region, SIZE) == []


def test_search_changes_nothing(machine: Machine) -> None:
    _, region = populated(machine)
    in_use = machine.core.frames.in_use
    array = machine.buffer([0] * 20)
    before = machine.core.frames.in_use
    machine.invoke("region_search", region=region, size=1 << 38, objects=array, capacity=10)
    assert machine.core.frames.in_use == before >= in_use


# -- mistakes --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"region": UNMAPPED}, ExceptionCode.LOAD_FAULT),
        ({"region": 8}, ExceptionCode.NOT_ALIGNED),
        ({"region": "mutex"}, ExceptionCode.NOT_REGION),
        ({"region": "nothing"}, ExceptionCode.NO_OBJECT),
        ({"offset": 2**64 - 16, "size": 16}, ExceptionCode.INVALID_ADDRESS),
        ({"offset": 1, "size": 2**64 - 1}, ExceptionCode.INVALID_ADDRESS),
        ({"objects": 4}, ExceptionCode.NOT_ALIGNED),
        ({"objects": UNMAPPED}, ExceptionCode.STORE_FAULT),
    ],
)
def test_mistakes_are_told_before_anything_is_done(
    machine: Machine, changes: dict[str, Any], code: ExceptionCode
) -> None:
    _, region = populated(machine)
    array = machine.buffer([1] * 20)
    slots = {"mutex": machine.new(Mutex), "nothing": machine.slot()}
    operands = {"region": region, "size": SIZE, "objects": array, "capacity": 10, **changes}
    result = machine.invoke(
        "region_search",
        **{name: slots.get(value, value) for name, value in operands.items()},
    )
    assert result.exception is code
    assert machine.read(array, 20) == [1] * 20


def test_region_that_can_only_be_read_can_be_searched(machine: Machine) -> None:
    tree, region = populated(machine)
    space = machine.new_space()
    machine.map(space, machine.region, HERE, PAGE_SIZE, prot=READ, offset=MEMORY)
    address = machine.addresses[region] - MEMORY + HERE
    array = machine.buffer([0] * 20)
    call = machine.call("region_search", region=address, size=SIZE, objects=array, capacity=10)
    thread = machine.spawn(call, space=space)
    machine.run()
    assert machine.done(thread)
    assert machine.read(array, 1) == [tree.memory + PLACES[0]]


# -- work ------------------------------------------------------------------------------------------


def huge(machine: Machine, kind: str) -> Region:
    """A region of 2^38 bytes with few objects in it."""
    region, space, mapping = machine.new(Region), machine.new(Space), machine.new(Mapping)
    size = USER_END // 2
    state = {"start_va": HERE, "size": size, "prot": ALL}
    if kind == "root":
        machine.load(region, {**state, "start_va": machine.slab, "size": USER_END}, space=machine.core.root)
        return region
    machine.load(region, state, space=space)
    if kind in ("mapped", "cycle", "shifted cycle"):
        machine.load(mapping, state, region=machine.region if kind == "mapped" else region, space=space)
    if kind == "shifted cycle":
        machine.load(region, {**state, "start_va": HERE + PAGE_SIZE}, space=space)
    return region


@pytest.mark.parametrize("kind", ["root", "mapped", "empty", "cycle", "shifted cycle"])
def test_huge_region_with_little_in_it_is_searched_in_few_visits(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    machine = Machine()
    far = [machine.slab + USER_END - number * 7 * PAGE_SIZE for number in range(5, 0, -1)]
    for address in far:
        frame = machine.core.root.frame_at(machine.core, address)
        assert frame is not None
        machine.core.create(Port, frame)
    region = huge(machine, kind)
    frames = machine.core.frames.in_use
    visits = count_visits(monkeypatch)
    found = objects_in(machine, region, USER_END, 100)
    assert len(visits) <= frames + MAPPING_DEPTH_MAX + 2
    assert found[-5:] == (far if kind == "root" else found[-5:])
    assert bool(found) == (kind in ("root", "mapped"))


def test_frames_of_other_programs_are_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine()
    slabs = Slabs(machine, 3, pages=64)
    for slab in (0, 2):
        for page in range(64):
            slabs.create(Port, slab, page)
    visits = count_visits(monkeypatch)
    assert objects_in(machine, slabs.regions[1], 64 * PAGE_SIZE) == []
    assert len(visits) == 1


def test_pages_without_objects_are_passed_over_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those that have lost their objects, or have been given them from elsewhere."""
    machine = Machine()
    slabs = Slabs(machine, pages=1024)
    for page in range(1024):
        machine.core.root.frame_at(machine.core, slabs.starts[0] + page * PAGE_SIZE)
    ports = [slabs.create(Port, 0, page) for page in (900, 7, 300, 301, 8)]
    machine.core.destroy(ports[2])
    machine.core.move(ports[4], ports[0].address + SLOT_SIZE)
    visits = count_visits(monkeypatch)
    start = slabs.starts[0]
    expected = [start + 7 * PAGE_SIZE, start + 301 * PAGE_SIZE, start + 900 * PAGE_SIZE, start + 900 * PAGE_SIZE + 16]
    assert objects_in(machine, slabs.regions[0], 1024 * PAGE_SIZE) == expected
    assert len(visits) == 3 + 1, "the last finds nothing more"


def test_objects_are_found_in_who_has_the_last_part_of_a_shared_frame(machine: Machine) -> None:
    """Whichever page that is; its frame was another's at first."""
    slabs = Slabs(machine, 3)
    for page in range(2):
        slabs.store(0, page, 1)
    assert slabs.share(0, 1)
    assert slabs.share(0, 2)
    slabs.store(0, 0, 2)
    slabs.store(1, 0, 2)
    slabs.free(0)
    slabs.store(2, 1, 2)
    for slab, page in ((2, 0), (1, 1)):
        assert machine.done(slabs.spawn(slab, machine.call("mutex_create", mutex=HERE + page * PAGE_SIZE)))
    assert objects_in(machine, slabs.regions[1], SIZE) == [slabs.starts[1] + PAGE_SIZE]
    assert objects_in(machine, slabs.regions[2], SIZE) == [slabs.starts[2]]


def test_others_have_their_turn_in_the_middle_of_a_long_search(machine: Machine) -> None:
    machine.core.visited_pages = 2
    slabs = Slabs(machine, pages=64)
    for page in range(64):
        slabs.create(Port, 0, page)
    array = machine.buffer([0] * 2 * 64)
    searcher = machine.spawn(
        machine.call("region_search", region=slabs.regions[0], size=64 * PAGE_SIZE, objects=array, capacity=64)
    )
    urgent = machine.spawn(("burn", 5), priority=20, start=False)
    machine.start_at(machine.core.time + 250, urgent)
    while not machine.done(urgent):
        machine.step()
    assert not machine.done(searcher)
    assert 0 < machine.register(searcher, "a1") < 64 * PAGE_SIZE
    machine.run()
    assert machine.done(searcher)
    assert machine.register(searcher, "a1") == 64 * PAGE_SIZE
