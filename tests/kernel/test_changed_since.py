"""Which pages were written or added between two holds: all of them, no others, or that nobody knows."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.objects.mutex import Mutex
from tests.kernel.holding import contents, filled, hold, pages, take
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import HERE
from tests.kernel.scanning import changed


@pytest.mark.parametrize("taken", [False, True])
def test_pages_that_were_written_between_two_holds_are_told(machine: Machine, taken: bool) -> None:
    slabs = filled(machine)
    first = hold(slabs).hold
    if taken:
        take(slabs, first)
    for page in (2, 0, 2):
        slabs.store(0, page, 5)
    second = hold(slabs).hold
    slabs.store(0, 1, 5)
    assert pages(second.changed_since(first)) == [0, 2]
    assert pages(hold(slabs).hold.changed_since(second)) == [1]


def test_pages_that_were_added_are_told_though_only_read(machine: Machine) -> None:
    slabs = filled(machine)
    first = hold(slabs).hold
    slabs.loads(0)
    assert pages(hold(slabs).hold.changed_since(first)) == [3]


@pytest.mark.parametrize("size", [4, 32])  # some pages, and whole rows of them
def test_pages_that_were_shared_into_it_are_told(machine: Machine, size: int) -> None:
    slabs = filled(machine, pages=size)
    slabs.spawn(0, machine.call("mutex_create", mutex=HERE))
    first = hold(slabs, 1).hold
    assert slabs.share()
    second = hold(slabs, 1).hold
    assert pages(second.changed_since(first)) == [0, 1, 2]
    slabs.load(1, 3)
    assert pages(hold(slabs, 1).hold.changed_since(second)) == [3]


def test_copy_that_another_slab_gets_is_no_change(machine: Machine) -> None:
    slabs = filled(machine)
    assert slabs.share()
    first = hold(slabs).hold
    slabs.store(1, 0, 5)
    slabs.store(1, 1, 5)
    slabs.store(0, 1, 5)
    slabs.store(0, 2, 5)
    assert pages(hold(slabs).hold.changed_since(first)) == [1, 2]


def test_objects_that_are_made_or_moved_are_changes_of_their_pages(machine: Machine) -> None:
    slabs = filled(machine)
    first = hold(slabs).hold
    slabs.spawn(0, machine.call("mutex_create", mutex=HERE + PAGE_SIZE))
    second = hold(slabs).hold
    assert pages(second.changed_since(first)) == [1]
    slabs.spawn(0, machine.call("mutex_move", mutex=HERE + PAGE_SIZE, new_address=HERE + 2 * PAGE_SIZE))
    assert pages(hold(slabs).hold.changed_since(second)) == [1, 2]


def test_changes_add_up_over_the_holds_in_between(machine: Machine) -> None:
    slabs = filled(machine)
    holds = [hold(slabs).hold]
    for page in (0, 2, 0, 1):
        slabs.store(0, page, 5)
        holds.append(hold(slabs).hold)
    for number, each in enumerate(holds):
        assert pages(holds[4].changed_since(each)) == [[0, 1, 2], [0, 1, 2], [0, 1], [1], []][number]
        assert each.changed_since(each) == set()
    assert holds[1].changed_since(holds[2]) is None, "it came before"


def test_only_pages_of_the_later_hold_are_told_by_its_offsets(machine: Machine) -> None:
    slabs = filled(machine)
    first = hold(slabs).hold
    slabs.store(0, 0, 5)
    slabs.store(0, 2, 5)
    later = machine.core.root.hold(machine.core, slabs.starts[0] + PAGE_SIZE, 2 * PAGE_SIZE)
    assert pages(later.changed_since(first)) == [1]


@pytest.mark.parametrize("ended_before_the_next", [False, True])
def test_it_is_known_while_somebody_holds_the_slab_all_the_time(machine: Machine, ended_before_the_next: bool) -> None:
    slabs = filled(machine)
    first = hold(slabs).hold
    slabs.store(0, 0, 5)
    if ended_before_the_next:
        first.end(machine.core)
    slabs.store(0, 1, 5)
    second = hold(slabs).hold
    first.end(machine.core)
    assert pages(second.changed_since(first)) == (None if ended_before_the_next else [0, 1])
    slabs.store(0, 2, 5)
    assert pages(hold(slabs).hold.changed_since(second)) == [2]


def test_older_hold_goes_on_watching_when_a_newer_one_has_been_ended(machine: Machine) -> None:
    slabs = filled(machine)
    first, second = hold(slabs), hold(slabs)
    slabs.store(0, 0, 5)
    second.hold.end(machine.core)
    check(machine.core)
    slabs.store(0, 1, 5)
    third = hold(slabs)
    third.hold.end(machine.core)
    slabs.store(0, 2, 6)
    last = hold(slabs).hold
    assert pages(third.hold.changed_since(first.hold)) == [0, 1]
    assert pages(last.changed_since(first.hold)) == [0, 1, 2]
    assert take(slabs, first.hold) == first.copy


def test_nothing_is_watched_when_all_have_been_ended(machine: Machine) -> None:
    slabs = filled(machine)
    holds = [hold(slabs).hold for _ in range(3)]
    for number in (1, 2, 0):
        assert machine.core.root.is_held(slabs.starts[0])
        holds[number].end(machine.core)
        check(machine.core)
    assert not machine.core.root.is_held(slabs.starts[0])


def test_freed_slab_tells_what_was_written_before(machine: Machine) -> None:
    slabs = filled(machine)
    first = hold(slabs).hold
    slabs.store(0, 1, 5)
    second = hold(slabs).hold
    slabs.free(0)
    assert pages(second.changed_since(first)) == [1]


def test_programs_that_ask_what_was_written_are_told_besides(machine: Machine) -> None:
    """Each of the two has its own idea of since when."""
    slabs = filled(machine)

    def asked(since: int) -> tuple[list[int], int]:
        found = changed(machine, slabs.regions[0], 0, 3 * PAGE_SIZE, 9, since)
        return [offset // PAGE_SIZE for offset in found.found], found.generation

    _, since = asked(0)
    first = hold(slabs).hold
    slabs.store(0, 0, 5)
    told, since = asked(since)
    assert told == [0]
    slabs.store(0, 1, 5)
    second = hold(slabs)
    slabs.store(0, 2, 5)
    slabs.store(0, 0, 6)
    assert asked(since)[0] == [0, 1, 2]
    assert pages(second.hold.changed_since(first)) == [0, 1]
    assert pages(hold(slabs).hold.changed_since(second.hold)) == [0, 2]
    assert take(slabs, second.hold) == second.copy != contents(slabs)


def test_call_that_only_names_an_object_is_no_change(machine: Machine) -> None:
    slabs = filled(machine)
    slabs.create(Mutex, 0, 1)
    first = hold(slabs).hold
    assert machine.done(slabs.spawn(0, machine.call("mutex_trylock", mutex=HERE + PAGE_SIZE)))
    assert pages(hold(slabs).hold.changed_since(first)) == []
