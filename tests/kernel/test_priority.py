"""Effective priorities: what is lent, to whom, how far it goes, and when it is over."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PRIORITY_MAX, MutexFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.conditions import WaitingRoom
from tests.kernel.invariants import check
from tests.kernel.lending import (
    HIGH,
    LOW,
    MIDDLE,
    PRIORITY_AT,
    inheriting,
    lending_room,
    mutex_with,
    owner_of,
    set_priority,
    waiter_for,
)
from tests.kernel.machine import Machine
from tests.kernel.recreation import recreate

# -- what inheritance is for ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "order"),
    [(0, [2, 3, 1]), (MutexFlags.INHERIT_PRI, [3, 2, 1]), (MutexFlags.PRI_CEILING, [3, 2, 1])],
    ids=["none", "inherit", "ceiling"],
)
def test_a_middle_priority_delays_a_high_one_only_where_nothing_is_lent(
    machine: Machine, flags: int, order: list[int]
) -> None:
    """The inversion: 1, of low priority, owns what 3, of high priority, waits for; 2 has work of its own."""
    room = WaitingRoom(machine)
    machine.load(room.mutex, {"flags": flags, "ceiling": HIGH})
    machine.spawn(room.lock, ("burn", 2000), room.unlock, *room.note(1), priority=LOW)
    machine.run_for(500)
    high = machine.spawn(room.lock, room.unlock, *room.note(3), priority=HIGH)
    middle = machine.spawn(("burn", 5000), *room.note(2), priority=MIDDLE)
    machine.run()
    assert machine.done(high, middle)
    assert room.log == order


def test_high_priority_waits_for_the_critical_section_and_no_longer(machine: Machine) -> None:
    section = 2000
    waits = {}
    for flags in (0, MutexFlags.INHERIT_PRI):
        mutex = mutex_with(machine, flags)
        lock, unlock = machine.call("mutex_lock", mutex=mutex), machine.call("mutex_unlock", mutex=mutex)
        machine.spawn(lock, ("burn", section), unlock, priority=LOW)
        machine.run_for(500)
        begin = machine.core.time
        cell = machine.buffer(1)
        machine.spawn(lock, ("time", "s2"), machine.keep("s2", cell), priority=HIGH)
        machine.spawn(("burn", 10 * section), priority=MIDDLE)
        machine.run()
        waits[flags] = machine.word(cell) - begin
    assert waits[0] > 10 * section
    assert waits[MutexFlags.INHERIT_PRI] < section


def test_what_is_lent_goes_along_a_chain_of_three_mutexes(machine: Machine) -> None:
    first, second, third = (inheriting(machine) for _ in range(3))
    owners = [owner_of(machine, first, priority=1)]
    for priority, (mutex, wanted) in enumerate(((second, first), (third, second)), 2):
        owners.append(owner_of(machine, mutex, priority=priority, then=(machine.call("mutex_lock", mutex=wanted),)))
    assert [owner.effective_priority for owner in owners] == [3, 3, 3]
    waiter = waiter_for(machine, third)
    assert [owner.effective_priority for owner in owners] == [HIGH] * 3
    assert [owner.priority for owner in owners] == [1, 2, 3]
    machine.invoke("thread_interrupt", thread=waiter)
    assert [owner.effective_priority for owner in owners] == [3, 3, 3]


def test_a_mutex_that_does_not_lend_ends_the_chain(machine: Machine) -> None:
    first, second = machine.new(Mutex), inheriting(machine)
    owner = owner_of(machine, first)
    between = owner_of(machine, second, priority=LOW, then=(machine.call("mutex_lock", mutex=first),))
    waiter_for(machine, second)
    assert (between.effective_priority, owner.effective_priority) == (HIGH, LOW)


def test_inherited_priority_decides_the_place_among_waiters(machine: Machine) -> None:
    """A thread of low priority that owns what a high one wants stands before the middle one in another queue."""
    wanted, lent = machine.new(Mutex), inheriting(machine)
    owner = owner_of(machine, wanted)
    middle = waiter_for(machine, wanted, priority=MIDDLE)
    low = owner_of(machine, lent, then=(machine.call("mutex_lock", mutex=wanted),))
    assert wanted.first_waiter() is middle
    waiter_for(machine, lent)
    assert wanted.first_waiter() is low
    machine.invoke("mutex_set_state", mutex=wanted, owner_ref=machine.reference())
    assert wanted.owner is low
    assert owner.effective_priority == LOW


def test_owner_of_several_mutexes_has_the_greatest_of_what_they_lend(machine: Machine) -> None:
    mutexes = [inheriting(machine) for _ in range(3)]
    owner = owner_of(machine, *mutexes)
    waiters = [waiter_for(machine, mutex, priority=10 + number) for number, mutex in enumerate(mutexes)]
    assert owner.effective_priority == 12
    for waiter, left in ((waiters[1], 12), (waiters[2], 10), (waiters[0], LOW)):
        machine.invoke("thread_interrupt", thread=waiter)
        assert owner.effective_priority == left


def test_new_owner_inherits_from_those_who_still_wait(machine: Machine) -> None:
    mutex = inheriting(machine)
    owner_of(machine, mutex)
    heir = waiter_for(machine, mutex, priority=MIDDLE)
    rest = waiter_for(machine, mutex, priority=MIDDLE)
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference())
    assert mutex.owner is heir
    set_priority(machine, rest, HIGH)
    assert heir.effective_priority == HIGH


def test_waiter_of_lesser_priority_lowers_nobody(machine: Machine) -> None:
    mutex = inheriting(machine)
    owner = owner_of(machine, mutex, priority=HIGH)
    waiter_for(machine, mutex, priority=LOW)
    assert owner.effective_priority == HIGH


def test_stopped_waiter_goes_on_lending(machine: Machine) -> None:
    """It keeps its place, and what follows from that is not changed by reading it out."""
    mutex = inheriting(machine)
    owner, waiter = owner_of(machine, mutex), waiter_for(machine, mutex)
    machine.core.stop(waiter)
    assert owner.effective_priority == HIGH


# -- ceilings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lock", ["mutex_lock", "mutex_trylock"])
@pytest.mark.parametrize("flags", [MutexFlags.PRI_CEILING, MutexFlags.PRI_CEILING | MutexFlags.INHERIT_PRI])
def test_owner_has_at_least_the_ceiling_until_it_unlocks(machine: Machine, lock: str, flags: int) -> None:
    mutex = mutex_with(machine, flags, ceiling=MIDDLE)
    for base in (LOW, HIGH):
        seen = []
        owner = machine.spawn(
            machine.call(lock, mutex=mutex), ("burn", 1000), machine.call("mutex_unlock", mutex=mutex), ("burn", 1000),
            priority=base,
        )  # fmt: skip
        while not machine.done(owner):
            machine.step()
            seen.append(owner.effective_priority)
        assert set(seen) == {base, max(base, MIDDLE)}
        assert seen[-1] == base
        assert owner.priority == base


@pytest.mark.parametrize("flags", [0, MutexFlags.INHERIT_PRI])
def test_ceiling_without_its_flag_is_a_number_that_is_kept(machine: Machine, flags: int) -> None:
    mutex = mutex_with(machine, flags, ceiling=HIGH)
    owner = owner_of(machine, mutex)
    assert owner.effective_priority == LOW
    state = machine.buffer(4)
    machine.invoke("mutex_get_state", mutex=mutex, state=state)
    assert machine.read(state, 4) == [mutex.hash, flags, 1, HIGH]


def test_ceiling_lends_nothing_of_its_waiters(machine: Machine) -> None:
    mutex = mutex_with(machine, MutexFlags.PRI_CEILING, ceiling=MIDDLE)
    owner = owner_of(machine, mutex)
    waiter_for(machine, mutex)
    assert owner.effective_priority == MIDDLE


# -- conditions -------------------------------------------------------------------------------------------------------


def test_inheritor_has_the_priority_of_the_first_waiter(machine: Machine) -> None:
    inheritor = machine.spawn(start=False, priority=LOW)
    room = lending_room(machine, inheritor)
    seen = []
    room.waiters(MIDDLE, HIGH, 7)
    for _ in range(3):
        seen.append(inheritor.effective_priority)
        room.signal()
    assert [*seen, inheritor.effective_priority] == [HIGH, MIDDLE, 7, LOW]


def test_inheritor_runs_before_who_would_delay_its_waiter(machine: Machine) -> None:
    slow = machine.spawn(("burn", 1000), start=False, priority=LOW)
    room = lending_room(machine, slow)
    room.waiters(HIGH)
    machine.core.start(slow)
    other = machine.spawn(("burn", 1000), priority=MIDDLE)
    machine.run_for(1100)
    assert machine.done(slow)
    assert not machine.done(other)


def test_condition_and_mutex_lend_along_one_chain(machine: Machine) -> None:
    mutex = inheriting(machine)
    owner = owner_of(machine, mutex)
    inheritor = waiter_for(machine, mutex, priority=7)
    room = lending_room(machine, inheritor)
    room.waiters(HIGH)
    assert (inheritor.effective_priority, owner.effective_priority) == (HIGH, HIGH)
    room.signal()
    assert (inheritor.effective_priority, owner.effective_priority) == (7, 7)


# -- base priorities --------------------------------------------------------------------------------------------------


def test_base_priority_of_a_waiter_ranks_it_and_whom_it_lends_to(machine: Machine) -> None:
    mutex = inheriting(machine)
    owner = owner_of(machine, mutex)
    first, second = waiter_for(machine, mutex, priority=12), waiter_for(machine, mutex, priority=11)
    set_priority(machine, second, 14)
    assert mutex.first_waiter() is second
    assert owner.effective_priority == 14
    set_priority(machine, second, 9)
    assert mutex.first_waiter() is first
    assert owner.effective_priority == 12
    set_priority(machine, first, LOW - 1)
    assert owner.effective_priority == 9


def test_base_priority_is_what_a_state_says_whatever_is_lent(machine: Machine) -> None:
    mutex = inheriting(machine)
    owner = owner_of(machine, mutex)
    waiter_for(machine, mutex)
    state = machine.buffer(THREAD_STATE.size // 8)
    machine.invoke("thread_get_state", thread=owner, state=state)
    assert machine.word(state + PRIORITY_AT) == LOW
    set_priority(machine, owner, PRIORITY_MAX)
    assert owner.effective_priority == PRIORITY_MAX
    set_priority(machine, owner, LOW + 1)
    assert owner.effective_priority == HIGH


def test_what_is_lent_follows_from_the_state_alone(machine: Machine) -> None:
    """Everything is created again from what was exported: base priorities, links, waits."""
    mutexes = [inheriting(machine) for _ in range(3)]
    lowest = owner_of(machine, mutexes[0])
    owner_of(machine, mutexes[1], then=(machine.call("mutex_lock", mutex=mutexes[0]),))
    room = lending_room(machine, lowest)
    room.waiters(MIDDLE)
    waiter_for(machine, mutexes[1])
    threads = [each for each in machine.core.objects.values() if isinstance(each, Thread)]
    before = {thread.address: thread.effective_priority for thread in threads}
    assert sorted(before.values()).count(HIGH) > 2
    recreate(machine)
    check(machine.core)
    after = {address: machine.core.objects[address] for address in before}
    assert {address: thread.effective_priority for address, thread in after.items()} == before  # type: ignore[attr-defined]
