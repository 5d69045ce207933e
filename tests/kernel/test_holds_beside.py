"""Holds beside what else there is: slabs that are freed, pages that share frames, other holds."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, ExceptionCode, ObjectType, Status
from fluke_async.kernel.hold import HoldLost
from fluke_async.kernel.objects.port import Port
from tests.kernel.holding import filled, hold, take
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import HERE

# -- the end ---------------------------------------------------------------------------------------


def test_hold_that_has_been_ended_has_nothing_left(machine: Machine) -> None:
    slabs = filled(machine)
    held, _ = hold(slabs)
    for _ in range(2):
        held.end(machine.core)
        check(machine.core)
        assert held.is_done
        assert held.take(machine.core, 10) == []
    slabs.store(0, 0, 1)
    slabs.free(0)
    assert not held.is_lost


@pytest.mark.parametrize("taken", [0, 1, 2])
def test_what_was_not_taken_is_lost_with_the_slab(machine: Machine, taken: int) -> None:
    slabs = filled(machine)
    held, _ = hold(slabs)
    held.take(machine.core, taken)
    slabs.store(0, 2, 1)
    slabs.free(0)
    check(machine.core)
    assert held.is_lost
    assert not held.is_done
    assert not held._kept, "what was kept is of no use any more"
    with pytest.raises(HoldLost, match="freed before it had been read"):
        held.take(machine.core, 1)
    held.end(machine.core)
    assert held.is_lost
    assert held.take(machine.core, 1) == []


def test_hold_that_was_taken_wholly_is_not_lost(machine: Machine) -> None:
    slabs = filled(machine)
    held, _ = hold(slabs)
    take(slabs, held)
    slabs.free(0)
    held.end(machine.core)
    assert not held.is_lost


def test_slab_that_begins_anew_is_not_held(machine: Machine) -> None:
    slabs = filled(machine)
    held, _ = hold(slabs)
    slabs.free(0)
    again = filled(machine, 1)
    assert again.starts[0] == slabs.starts[0]
    other, copy = hold(again)
    again.store(0, 0, 9)
    held.end(machine.core)
    again.store(0, 1, 9)
    assert take(again, other) == copy
    assert other.changed_since(held) is None


# -- with sharing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("writer", [0, 1])
@pytest.mark.parametrize("held_slab", [0, 1])
@pytest.mark.parametrize("first", ["share", "hold"])
def test_shared_pages_are_held_whoever_writes(machine: Machine, writer: int, held_slab: int, first: str) -> None:
    slabs = filled(machine)
    slabs.spawn(0, machine.call("mutex_create", mutex=HERE + PAGE_SIZE))  # whose frame is copied at once
    if first == "share":
        assert slabs.share()
    held, copy = hold(slabs, held_slab)
    if first == "hold":
        assert slabs.share()
        check(machine.core)
    for number in range(2):
        for page in range(4):
            slabs.store(writer, page, 30 + number)
            slabs.store(1 - writer, page, 40 + number)
    assert take(slabs, held) == copy
    assert slabs.loads(writer) == [31] * 4


def test_last_who_has_a_frame_writes_in_place_and_is_noticed(machine: Machine) -> None:
    slabs = filled(machine)
    assert slabs.share()
    frame = slabs.frame(1)
    held, copy = hold(slabs, 1)
    slabs.free(0)
    slabs.store(1, 0, 5)
    assert slabs.frame(1) == frame
    assert take(slabs, held) == copy


def test_write_that_there_is_no_memory_for_has_not_happened(machine: Machine) -> None:
    slabs = filled(machine)
    writer = machine.spawn(("store", "s2", "zero", HERE), space=slabs.spaces[0], start=False)
    assert slabs.share()
    held, copy = hold(slabs)
    core = machine.core
    core.quota.limit_bytes = core.quota.used_bytes
    core.start(writer)
    machine.run()
    assert machine.failure(writer) is ExceptionCode.OUT_OF_MEMORY
    assert held.written == set()
    core.quota.limit_bytes += PAGE_SIZE + OBJECT_CHARGE_BYTES[ObjectType.THREAD]
    assert machine.done(slabs.spawn(0, ("store", "s2", "zero", HERE)))
    assert take(slabs, held) == copy


def test_objects_in_held_pages_that_were_shared_are_found(machine: Machine) -> None:
    slabs = filled(machine)
    slabs.create(Port, 0, 1)
    assert slabs.share()
    held, copy = hold(slabs, 1)
    made = slabs.spawn(1, machine.call("mutex_create", mutex=HERE + PAGE_SIZE))
    assert (machine.done(made), machine.register(made, "a0")) == (True, Status.SUCCESS)
    assert take(slabs, held) == copy


# -- some of the pages -----------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 2])
@pytest.mark.parametrize("wanted", [set(), {1}, {0, 2}, {0, 1, 2, 3, 50}])
def test_only_what_is_wanted_is_given_and_kept(machine: Machine, wanted: set[int], taken: int) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    slabs.store(0, 1, 5)
    first = dict(held.take(machine.core, taken))
    held.narrow({page * PAGE_SIZE for page in wanted})
    check(machine.core)
    slabs.store(0, 1, 6)
    slabs.store(0, 2, 5)
    slabs.store(0, 3, 5)
    assert take(slabs, held) == {
        offset: content
        for offset, content in copy.items()
        if offset not in first and offset // PAGE_SIZE in wanted
    }  # fmt: skip


def test_what_is_wanted_gets_less(machine: Machine) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    held.narrow({0, PAGE_SIZE})
    held.narrow({PAGE_SIZE, 2 * PAGE_SIZE})
    slabs.store(0, 1, 5)
    assert take(slabs, held) == {PAGE_SIZE: copy[PAGE_SIZE]}
    held.narrow({0})
    assert held.is_done


def test_pages_that_have_changed_are_all_that_is_wanted(machine: Machine) -> None:
    """As a checkpoint does that goes on from the one before."""
    slabs = filled(machine)
    first = hold(slabs)
    content = take(slabs, first.hold)
    slabs.store(0, 1, 5)
    slabs.store(0, 3, 5)
    second = hold(slabs)
    changed = second.hold.changed_since(first.hold)
    assert changed == {PAGE_SIZE, 3 * PAGE_SIZE}
    second.hold.narrow(changed)
    for page in range(4):
        slabs.store(0, page, 6)
    some = take(slabs, second.hold)
    assert some.keys() == changed
    assert content | some == second.copy


# -- several ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended", [None, 0, 1])
def test_each_of_several_has_its_own_moment(machine: Machine, ended: int | None) -> None:
    slabs = filled(machine)
    all_held = []
    for number in range(3):
        all_held.append(hold(slabs))
        slabs.store(0, number, 60 + number)
        slabs.store(0, 2, 70 + number)
    slabs.store(0, 3, 1)
    if ended is not None:
        all_held[ended].hold.end(machine.core)
        check(machine.core)
        slabs.store(0, 1, 80)
    for number in (2, 0, 1):
        if number != ended:
            assert take(slabs, all_held[number].hold) == all_held[number].copy


def test_page_that_came_between_two_is_kept_for_the_second_alone(machine: Machine) -> None:
    slabs = filled(machine)
    first = hold(slabs)
    slabs.load(0, 3)
    second = hold(slabs)
    slabs.store(0, 3, 5)
    there = {held.pages_of_the_moment()[2] == set() for held, _ in (first, second)}
    assert there == {True, False}
    assert take(slabs, first.hold) == first.copy
    assert take(slabs, second.hold) == second.copy


def test_page_is_copied_once_for_all_who_miss_it(machine: Machine) -> None:
    slabs = filled(machine)
    first, second = hold(slabs).hold, hold(slabs).hold
    slabs.store(0, 1, 5)
    assert dict(first.take(machine.core, 9))[PAGE_SIZE] is dict(second.take(machine.core, 9))[PAGE_SIZE]


def test_who_has_taken_a_page_keeps_it_no_more_and_others_do(machine: Machine) -> None:
    slabs = filled(machine)
    first, second = hold(slabs), hold(slabs)
    assert take(slabs, first.hold) == first.copy
    slabs.store(0, 1, 5)
    assert first.hold.is_done
    assert take(slabs, second.hold) == second.copy
