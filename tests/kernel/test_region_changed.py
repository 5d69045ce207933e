"""Who asks which pages of a region were written is told of each, whoever wrote it and however; and of few others."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.changes import PLACES_MAX
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from tests.kernel.machine import Machine, Part
from tests.kernel.memory_tree import ALL, HERE, Tree, bits
from tests.kernel.messages import Service
from tests.kernel.scanning import PAGES, SIZE, Watched, pages_changed
from tests.kernel.two_slabs import Slabs

# -- what is told ----------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_since_the_beginning_all_pages_are_told_that_are_there(machine: Machine, depth: int) -> None:
    watched = Watched(machine, 1, 3, 4, depth=depth)
    assert watched.first == [page * PAGE_SIZE for page in (1, 3, 4)]
    assert watched.round() == []
    assert pages_changed(machine, watched.region, SIZE, 0)[0] == watched.first


@pytest.mark.parametrize("depth", [1, 2, 4])
def test_each_round_tells_what_was_written_since_the_one_before(machine: Machine, depth: int) -> None:
    watched = Watched(machine, *range(PAGES), depth=depth)
    for written in ([2], [], [0, 5], [2], [], list(range(PAGES)), [3], []):
        for page in written:
            watched.write(page)
        assert watched.round() == written


def test_page_that_has_been_touched_since_is_told(machine: Machine) -> None:
    watched = Watched(machine, 1)
    watched.tree.touch(2 * PAGE_SIZE)
    watched.write(4)
    assert watched.round() == [2, 4]
    assert watched.round() == []


def test_reading_is_not_writing(machine: Machine) -> None:
    watched = Watched(machine, 0, 1)
    mutex = machine.new(Mutex)
    reader = machine.spawn(
        ("load", "s2", "zero", HERE),
        machine.call("mutex_set_state", mutex=mutex, state=HERE + PAGE_SIZE),
        space=watched.space,
    )
    machine.run()
    assert machine.done(reader)
    assert watched.round() == []


def client_of(machine: Machine) -> list[Part]:
    """A call whose reply goes to page 1."""
    service = Service(machine)
    service.server()
    machine.run()
    words = {"send_buffer": machine.buffer([1]), "send_words": 1}
    receive = {"receive_buffer": HERE + PAGE_SIZE, "receive_words": 1}
    return [machine.call("ipc_call", destination_ref=service.reference, **words, **receive)]


def writer_of(machine: Machine, way: str) -> list[Part]:
    """A program that writes page 1."""
    place = HERE + PAGE_SIZE
    match way:
        case "store":
            return [("store", "s2", "zero", place + 8)]
        case "conditional":
            again: list[Part] = ["again", ("lr", "s3", "s2"), ("sc", "s4", "s3", "s2"), ("bnez", "s4", "again")]
            return [("li", "s2", place), *again]
        case "get_state":
            return [machine.call("mutex_get_state", mutex=machine.new(Mutex), state=place)]
        case "create":
            return [machine.call("mutex_create", mutex=place)]
    return client_of(machine)


WAYS = ("store", "conditional", "get_state", "create", "reply")


@pytest.mark.parametrize("way", WAYS)
def test_page_is_written_by_whatever_writes_it(machine: Machine, way: str) -> None:
    watched = Watched(machine, 0, 1, 2)
    for _ in range(2):
        if way == "create":
            machine.spawn(machine.call("mutex_destroy", mutex=HERE + PAGE_SIZE), space=watched.tree.space)
            machine.run()
            watched.round()
        thread = machine.spawn(*writer_of(machine, way), space=watched.space)
        machine.run()
        assert machine.done(thread)
        assert watched.round() == [1]
    assert watched.round() == []


def test_program_that_goes_on_writing_is_told_of_in_each_round(machine: Machine) -> None:
    """It could write the page without a fault, and cannot after the question."""
    watched = Watched(machine, 0, 1)
    machine.spawn(
        "again",
        ("add", "s2", "s2", 1),
        ("store", "s2", "zero", HERE + PAGE_SIZE),
        ("jump", "again"),
        space=watched.tree.space,
    )
    array = machine.buffer([0] * 8)
    for _ in range(3):
        machine.run_for(500)
        asker = machine.spawn(
            machine.call(
                "region_changed", region=watched.region, size=SIZE, offsets=array, capacity=8, since=watched.since
            ),
            priority=20,
        )
        while not machine.done(asker):
            machine.step()
        assert machine.register(asker, "a4") == 7
        assert machine.read(array, 1) == [PAGE_SIZE]
        watched.since = machine.register(asker, "a6")


@pytest.mark.parametrize("views", [1, 2, PLACES_MAX, PLACES_MAX + 1, PLACES_MAX + 4])
def test_page_that_is_seen_at_many_places_is_watched_at_each(machine: Machine, views: int) -> None:
    watched = Watched(machine, 0, 1)
    spaces = [machine.new_space() for _ in range(views)]
    for space in spaces:
        machine.map(space, machine.region, HERE, PAGE_SIZE, offset=watched.tree.memory)
    for _ in range(2):
        for space in spaces:
            machine.spawn(("store", "s2", "zero", HERE), space=space)
        machine.run()
        assert watched.round() == [0]
        for space in reversed(spaces):
            machine.spawn(("store", "s2", "zero", HERE), space=space)
            machine.run()
            assert watched.round() == [0]
    assert watched.round() == []


def test_page_that_a_region_shows_twice_is_told_twice(machine: Machine) -> None:
    tree = Tree(machine, pages=2)
    space, region = machine.new(Space), machine.new(Region)
    for place in range(3):
        start = HERE + place * PAGE_SIZE
        offset = place % 2 * PAGE_SIZE
        mapping = bits(start_va=start, region_off=offset)
        machine.load(machine.new(Mapping), mapping, region=tree.regions[0], space=space)
    machine.load(region, {"start_va": HERE, "size": SIZE, "prot": ALL}, space=space)
    tree.touch(write=True)
    told, since = pages_changed(machine, region, SIZE, 0)
    assert told == [0, 2 * PAGE_SIZE]
    tree.touch(write=True)
    assert pages_changed(machine, region, SIZE, since)[0] == [0, 2 * PAGE_SIZE]


def test_copy_of_a_shared_page_is_a_write_of_the_writers_and_of_nobody_elses(machine: Machine) -> None:
    slabs = Slabs(machine)
    for page in range(3):
        slabs.store(0, page, page)
    slabs.share()
    size = 4 * PAGE_SIZE
    sinces = [pages_changed(machine, region, size, 0)[1] for region in slabs.regions]
    slabs.store(1, 1, 5)
    slabs.store(0, 2, 5)
    told = [pages_changed(machine, slabs.regions[slab], size, sinces[slab])[0] for slab in range(2)]
    assert told == [[2 * PAGE_SIZE], [PAGE_SIZE]]


def test_array_that_lies_in_the_region_is_told_of_in_each_round(machine: Machine) -> None:
    """What a round writes there, it writes after its questions."""
    watched = Watched(machine, 0, 1)
    since = watched.since
    for number in range(3):
        watched.write(1)
        call = machine.call("region_changed", region=watched.region, size=SIZE, offsets=HERE, capacity=8, since=since)
        asker = machine.spawn(call, space=watched.space)
        machine.run()
        since = machine.register(asker, "a6")
        told = machine.read(watched.tree.memory, 8 - machine.register(asker, "a4"))
        assert told == ([0, PAGE_SIZE] if number else told)
        assert PAGE_SIZE in told
    watched.since = since
    assert watched.round() == [0]
    assert watched.round() == []
