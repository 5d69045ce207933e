"""Effective priorities: what is lent, to whom, how far it goes, and when it is over."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import PRIORITY_MAX, MutexFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.conditions import WaitingRoom
from tests.kernel.invariants import check
from tests.kernel.machine import Machine, Part
from tests.kernel.recreation import recreate

LOW, MIDDLE, HIGH = 5, 10, 20
PRIORITY_AT = THREAD_STATE.offset_of("priority")


def mutex_with(machine: Machine, flags: int, ceiling: int = 0) -> Mutex:
    """A free mutex that lends."""
    mutex = machine.new(Mutex)
    state = machine.buffer([0, flags, 0, ceiling])
    assert machine.invoke("mutex_set_state", mutex=mutex, state=state).exception is None
    return mutex


def inheriting(machine: Machine) -> Mutex:
    return mutex_with(machine, MutexFlags.INHERIT_PRI)


def owner_of(machine: Machine, *mutexes: Mutex, priority: int = LOW, then: tuple[Part, ...] = ()) -> Thread:
    """A thread that owns these mutexes, and then does `then`."""
    owner = machine.spawn(*[machine.call("mutex_lock", mutex=mutex) for mutex in mutexes], *then, priority=priority)
    machine.run()
    assert all(mutex.owner is owner for mutex in mutexes)
    return owner


def waiter_for(machine: Machine, mutex: Mutex, *, priority: int = HIGH) -> Thread:
    """A thread that waits for a mutex; an interrupt ends its program."""
    lock = machine.call("mutex_lock", mutex=mutex)
    waiter = machine.spawn(lock, "handler", priority=priority, interrupt_handler="handler")
    machine.run()
    assert waiter.waiting_for is mutex
    return waiter


def set_priority(machine: Machine, thread: Thread, priority: int) -> None:
    """Change a thread's base priority as a program does it, leaving the rest as it is."""
    state = machine.buffer(THREAD_STATE.size // 8)
    assert machine.invoke("thread_get_state", thread=thread, state=state).exception is None
    machine.write(state + PRIORITY_AT, [priority])
    assert machine.invoke("thread_set_state", thread=thread, state=state).exception is None


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


def lending_room(machine: Machine, inheritor: Thread) -> WaitingRoom:
    room = WaitingRoom(machine)
    reference = machine.reference(inheritor)
    assert machine.invoke("cond_set_state", cond=room.cond, inheritor_ref=reference).exception is None
    return room


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


# -- when it is over --------------------------------------------------------------------------------------------------

Ending = Callable[[Machine, Mutex | Cond, Thread, Thread], None]  # lender, who borrows, who waits


def interrupt(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    machine.invoke("thread_interrupt", thread=waiter)
    assert machine.done(waiter)


def return_spuriously(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    machine.core.stop(waiter)
    machine.invoke("thread_set_state", thread=waiter, waiting_for_ref=machine.reference())


def wait_for_something_else(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    machine.forged = True
    machine.core.stop(waiter)
    machine.invoke("thread_set_state", thread=waiter, waiting_for_ref=machine.reference(machine.new(Mutex)))


def destroy_the_waiter(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    machine.invoke("thread_destroy", thread=waiter)


def destroy_the_stopped_waiter(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    machine.core.stop(waiter)
    machine.invoke("thread_destroy", thread=waiter)


def lower_the_waiter(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    set_priority(machine, waiter, LOW)


def destroy_the_lender(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    kind = lender.type.name.lower()
    machine.invoke(f"{kind}_destroy", **{kind: lender})
    assert not borrower.lenders


def destroy_the_lender_of_a_stopped_waiter(
    machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread
) -> None:
    machine.core.stop(waiter)
    destroy_the_lender(machine, lender, borrower, waiter)
    assert waiter.waiting_for is lender


def lend_to_nobody(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    null = machine.reference()
    if isinstance(lender, Mutex):
        machine.invoke("mutex_set_state", mutex=lender, owner_ref=null)
    else:
        machine.invoke("cond_set_state", cond=lender, inheritor_ref=null)


def lend_to_somebody_else(machine: Machine, lender: Mutex | Cond, borrower: Thread, waiter: Thread) -> None:
    other = machine.spawn(start=False, priority=LOW)
    reference = machine.reference(other)
    if isinstance(lender, Mutex):
        machine.invoke("mutex_set_state", mutex=lender, owner_ref=reference)
    else:
        machine.invoke("cond_set_state", cond=lender, inheritor_ref=reference)
    assert other.effective_priority == HIGH


ENDINGS: tuple[Ending, ...] = (
    *(interrupt, return_spuriously, wait_for_something_else, destroy_the_waiter, destroy_the_stopped_waiter),
    *(lower_the_waiter, destroy_the_lender, destroy_the_lender_of_a_stopped_waiter),
    *(lend_to_nobody, lend_to_somebody_else),
)
each_ending = pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: ending.__name__)


@each_ending
def test_owner_falls_back_when_its_waiter_leaves(machine: Machine, ending: Ending) -> None:
    mutex = inheriting(machine)
    owner, waiter = owner_of(machine, mutex), waiter_for(machine, mutex)
    assert owner.effective_priority == HIGH
    ending(machine, mutex, owner, waiter)
    assert owner.effective_priority == LOW


@each_ending
def test_inheritor_falls_back_when_its_waiter_leaves(machine: Machine, ending: Ending) -> None:
    inheritor = machine.spawn(start=False, priority=LOW)
    room = lending_room(machine, inheritor)
    waiter = machine.spawn(room.lock, room.wait, "handler", priority=HIGH, interrupt_handler="handler")
    machine.run()
    assert inheritor.effective_priority == HIGH
    ending(machine, room.cond, inheritor, waiter)
    assert inheritor.effective_priority == LOW


def test_owner_falls_back_when_it_unlocks(machine: Machine) -> None:
    mutex = inheriting(machine)
    lock, unlock = machine.call("mutex_lock", mutex=mutex), machine.call("mutex_unlock", mutex=mutex)
    owner = machine.spawn(lock, ("burn", 1000), unlock, ("burn", 1000), priority=LOW)
    machine.run_for(500)
    waiter = machine.spawn(lock, priority=HIGH)
    machine.run_for(200)
    assert owner.effective_priority == HIGH
    machine.run_for(500)
    assert mutex.owner is waiter
    assert not machine.done(owner)
    assert owner.effective_priority == LOW


def test_owner_falls_back_when_its_mutex_moves_away_or_lends_no_more(machine: Machine) -> None:
    for change in ("move", "flags"):
        mutex = inheriting(machine)
        owner = owner_of(machine, mutex)
        waiter_for(machine, mutex)
        assert owner.effective_priority == HIGH
        if change == "move":
            machine.invoke("mutex_move", mutex=mutex, new_address=machine.slot())
        else:
            machine.invoke("mutex_set_state", mutex=mutex, state=machine.buffer([0, 0, 1, 0]))
            assert mutex.owner is owner
        assert owner.effective_priority == LOW


@pytest.mark.parametrize("flags", [MutexFlags.INHERIT_PRI, MutexFlags.PRI_CEILING])
def test_flags_that_are_set_while_it_is_owned_count_at_once(machine: Machine, flags: int) -> None:
    mutex = machine.new(Mutex)
    owner = owner_of(machine, mutex)
    waiter_for(machine, mutex)
    assert owner.effective_priority == LOW
    machine.invoke("mutex_set_state", mutex=mutex, state=machine.buffer([0, flags, 1, HIGH]))
    assert mutex.owner is owner
    assert owner.effective_priority == HIGH


def test_dead_owner_or_inheritor_is_lent_nothing_and_its_lenders_go_on(machine: Machine) -> None:
    mutex = inheriting(machine)
    owner = owner_of(machine, mutex)
    room = lending_room(machine, owner)
    room.waiters(HIGH)
    waiter = waiter_for(machine, mutex)
    machine.invoke("thread_destroy", thread=owner)
    assert (room.cond.inheritor, mutex.owner) == (None, None)
    assert waiter.waiting_for is mutex
    heir = machine.spawn(start=False, priority=LOW)
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference(heir))
    assert heir.effective_priority == HIGH


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


# -- deadlocks --------------------------------------------------------------------------------------------------------


def ring(machine: Machine, size: int) -> tuple[list[Mutex], list[Thread]]:
    """Threads of which each owns a mutex and waits for the next one's; base priorities 1, 2, 3."""
    mutexes = [inheriting(machine) for _ in range(size)]
    threads = []
    for number, mutex in enumerate(mutexes):
        wanted = mutexes[(number + 1) % size]
        gate = ("burn", 100)
        parts = (machine.call("mutex_lock", mutex=mutex), gate, machine.call("mutex_lock", mutex=wanted))
        threads.append(machine.spawn(*parts, priority=number + 1, start=False))
    for thread in threads:
        machine.core.start(thread)
        machine.run_for(90)
    machine.run()
    assert [thread.waiting_for for thread in threads] == [*mutexes[1:], mutexes[0]]
    return mutexes, threads


@pytest.mark.parametrize("size", [1, 2, 3])
def test_ring_of_waits_does_not_keep_up_what_nobody_lends_it_any_more(machine: Machine, size: int) -> None:
    if size == 1:  # that is a forged one: a thread that owns what it waits for
        mutexes = [inheriting(machine)]
        owner_of(machine, *mutexes)
        threads = [waiter_for(machine, mutexes[0], priority=1)]
        machine.load(mutexes[0], {"flags": MutexFlags.INHERIT_PRI, "locked": 1}, owner=threads[0])
    else:
        mutexes, threads = ring(machine, size)
    assert [thread.effective_priority for thread in threads] == [size] * size
    for ending in (interrupt, return_spuriously, wait_for_something_else, destroy_the_waiter, lower_the_waiter):
        for mutex in mutexes:
            donor = waiter_for(machine, mutex)
            assert [thread.effective_priority for thread in threads] == [HIGH] * size
            ending(machine, mutex, threads[0], donor)
            left = max(size, LOW) if ending is lower_the_waiter else size
            assert [thread.effective_priority for thread in threads] == [left] * size


@pytest.mark.parametrize("size", [2, 3])
def test_donor_far_from_a_ring_can_leave_too(machine: Machine, size: int) -> None:
    """It lends to somebody who waits for the ring."""
    mutexes, threads = ring(machine, size)
    outside = inheriting(machine)
    between = owner_of(machine, outside, priority=4, then=(machine.call("mutex_lock", mutex=mutexes[1]),))
    donor = waiter_for(machine, outside)
    assert [each.effective_priority for each in (between, *threads)] == [HIGH] * (1 + size)
    machine.invoke("thread_interrupt", thread=donor)
    assert [each.effective_priority for each in (between, *threads)] == [4] * (1 + size)
    machine.invoke("thread_destroy", thread=between)
    assert [each.effective_priority for each in threads] == [size] * size


@pytest.mark.parametrize("size", [2, 3])
def test_ring_keeps_what_it_is_lent_when_somebody_of_lesser_priority_joins(machine: Machine, size: int) -> None:
    mutexes, threads = ring(machine, size)
    outside = inheriting(machine)
    between = owner_of(machine, outside, priority=MIDDLE, then=(machine.call("mutex_lock", mutex=mutexes[1]),))
    waiter_for(machine, mutexes[0])
    waiter_for(machine, outside, priority=LOW)
    assert between.effective_priority == MIDDLE
    assert [thread.effective_priority for thread in threads] == [HIGH] * size


@pytest.mark.parametrize("size", [2, 3])
def test_broken_ring_is_a_chain(machine: Machine, size: int) -> None:
    mutexes, threads = ring(machine, size)
    waiter_for(machine, mutexes[0])
    for thread in threads:
        set_priority(machine, thread, 1)
    last = threads[-1]  # it waits for the first mutex, beside the donor
    machine.core.stop(last)
    machine.invoke("thread_set_state", thread=last, waiting_for_ref=machine.reference())
    assert [thread.effective_priority for thread in threads] == [HIGH] * size
    machine.invoke("mutex_set_state", mutex=mutexes[0], owner_ref=machine.reference(machine.spawn(start=False)))
    assert [thread.effective_priority for thread in threads] == [1] * size


def test_condition_whose_inheritor_waits_for_it_lends_it_what_others_have(machine: Machine) -> None:
    room = WaitingRoom(machine)
    low, high = room.waiters(LOW, HIGH)
    machine.invoke("cond_set_state", cond=room.cond, inheritor_ref=machine.reference(low))
    assert low.effective_priority == HIGH
    machine.invoke("thread_destroy", thread=high)
    assert low.effective_priority == LOW
