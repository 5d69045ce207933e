"""Several who ask what was written, each in rounds of its own; what a round costs, and which mistakes there are."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, USER_END, ExceptionCode
from fluke_async.abi.registers import A4
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.region import Region
from tests.kernel.machine import MEMORY, UNMAPPED, Machine
from tests.kernel.memory_tree import ALL, HERE
from tests.kernel.scanning import PAGES, SIZE, Watched, changed, count_visits, pages_changed


def test_consumers_know_nothing_of_each_other(machine: Machine) -> None:
    first = Watched(machine, 0, 1, 2)
    second = pages_changed(machine, first.region, SIZE, 0)[1]
    first.write(1)
    assert first.round() == [1]
    first.write(2)
    told, second = pages_changed(machine, first.region, SIZE, second)
    assert told == [PAGE_SIZE, 2 * PAGE_SIZE]
    assert first.round() == [2]
    assert pages_changed(machine, first.region, SIZE, second)[0] == []


def test_slow_consumer_hides_nothing_from_another(machine: Machine) -> None:
    """It asks about a page that was touched after the other's round, with the generation that it began with."""
    watched = Watched(machine, 5)
    slow = changed(machine, watched.region, 0, SIZE, 0, 0)
    assert watched.round() == []
    watched.write(0)
    changed(machine, watched.region, 0, SIZE, 8, 0, slow.generation)
    assert watched.round() == [0]


def test_page_that_a_region_did_not_show_in_the_last_round_is_told_if_it_was_written_since(machine: Machine) -> None:
    """As a pager fills a page before it shows it; it could write the page without being noticed."""
    watched, region = Watched(machine, 0, 1), machine.new(Region)
    watched.write(1)
    _, since = pages_changed(machine, region, SIZE, 0)
    watched.write(1)
    machine.load(region, {"start_va": watched.tree.memory, "size": SIZE, "prot": ALL}, space=machine.space)
    assert pages_changed(machine, region, SIZE, since)[0] == [PAGE_SIZE]


@pytest.mark.parametrize("capacity", range(1, 8))
def test_list_that_is_full_is_gone_on_with_in_the_same_generation(machine: Machine, capacity: int) -> None:
    watched = Watched(machine, *range(PAGES))
    for page in (1, 2, 4, 5):
        watched.write(page)
    part = changed(machine, watched.region, 0, SIZE, capacity, watched.since)
    expected = [page * PAGE_SIZE for page in (1, 2, 4, 5)]
    assert part.found == expected[:capacity]
    assert part.offset == ([*expected, SIZE, SIZE, SIZE, SIZE][capacity])
    assert watched.round(capacity) == [1, 2, 4, 5]
    assert watched.round(capacity) == []


@pytest.mark.parametrize("page", range(PAGES))
def test_what_is_written_while_a_consumer_is_under_way_is_told_now_or_in_the_next_round(
    machine: Machine, page: int
) -> None:
    watched = Watched(machine, *range(PAGES))
    for written in (1, 3, 5):
        watched.write(written)
    begun = changed(machine, watched.region, 0, SIZE, 2, watched.since)
    assert begun.found == [PAGE_SIZE, 3 * PAGE_SIZE]
    watched.write(page)
    rest = SIZE - begun.offset
    ended = changed(machine, watched.region, begun.offset, rest, 8, watched.since, begun.generation)
    assert ended.generation == begun.generation
    now = {1, 3, *(offset // PAGE_SIZE for offset in ended.found)}
    watched.since = ended.generation
    later = watched.round()
    assert page in later or (page in now and page * PAGE_SIZE >= begun.offset)
    assert now | set(later) == {1, 3, 5, page}


@pytest.mark.parametrize("since", [10**6, 2**64 - 1])
def test_generation_that_has_not_been_is_none(machine: Machine, since: int) -> None:
    """Whoever comes from another kernel is told of all that there is, and begins a round of this one."""
    watched = Watched(machine, 0, 2)
    told = changed(machine, watched.region, 0, SIZE, 8, since, since)
    assert told.found == [0, 2 * PAGE_SIZE]
    assert told.generation == watched.since + 1


def test_each_round_has_a_generation_of_its_own(machine: Machine) -> None:
    watched = Watched(machine, 0)
    generations = [changed(machine, watched.region, 0, SIZE, 8, 0).generation for _ in range(3)]
    assert generations == [watched.since + number for number in (1, 2, 3)]


# -- mistakes, and work ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"region": UNMAPPED}, ExceptionCode.LOAD_FAULT),
        ({"region": "mutex"}, ExceptionCode.NOT_REGION),
        ({"region": "nothing"}, ExceptionCode.NO_OBJECT),
        ({"offset": 2**64 - 16, "size": 16}, ExceptionCode.INVALID_ADDRESS),
        ({"offsets": 4}, ExceptionCode.NOT_ALIGNED),
        ({"offsets": UNMAPPED}, ExceptionCode.STORE_FAULT),
    ],
)
def test_mistake_is_told_before_a_round_begins(machine: Machine, changes: dict[str, Any], code: ExceptionCode) -> None:
    watched = Watched(machine, 0, 1)
    watched.write(1)
    array = machine.buffer([1] * 8)
    slots = {"mutex": machine.addresses[machine.new(Mutex)], "nothing": machine.slot()}
    operands: dict[str, Any] = {"region": watched.region, "size": SIZE, "offsets": array, "capacity": 8}
    operands |= {name: slots.get(value, value) for name, value in changes.items()}
    generation = machine.core.changes.generation
    assert machine.invoke("region_changed", since=watched.since, **operands).exception is code
    assert machine.core.changes.generation == generation
    assert machine.read(array, 8) == [1] * 8
    assert watched.round() == [1]


def test_array_may_be_larger_than_memory_if_it_is_not_used(machine: Machine) -> None:
    """Room is needed for what a step can find, not for all that is claimed."""
    watched = Watched(machine, 0)
    array = machine.buffer([0] * 512)
    result = machine.invoke("region_changed", region=watched.region, size=SIZE, offsets=array, capacity=2**60)
    assert result.exception is None
    assert result.registers[A4] == 2**60 - 1


@pytest.mark.parametrize("kind", ["root", "mapped"])
def test_huge_region_with_few_pages_is_looked_through_in_few_visits(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    machine = Machine()
    region = machine.new(Region)
    size = USER_END // 2
    if kind == "root":
        machine.load(region, {"start_va": machine.slab, "size": size, "prot": ALL}, space=machine.core.root)
    else:
        space = machine.new_space()
        machine.map(space, machine.region, HERE, size)
        machine.load(region, {"start_va": HERE, "size": size, "prot": ALL}, space=space)
    frames = machine.core.frames.in_use
    visits = count_visits(monkeypatch)
    told, since = pages_changed(machine, region, USER_END, 0, 100)
    assert len(visits) <= frames + 4
    assert told[0] == MEMORY
    buffer = machine.buffer([1])
    again, _ = pages_changed(machine, region, USER_END, since, 100)
    assert MEMORY not in again
    assert buffer in again


def test_region_without_pages_has_none(machine: Machine) -> None:
    watched = Watched(machine)
    assert watched.first == []
    watched.write(1)
    assert watched.round() == [1]
    machine.load(watched.region, None, space=None)
    assert pages_changed(machine, watched.region, SIZE, 0)[0] == []
