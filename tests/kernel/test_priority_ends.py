"""When lending is over: the waiter leaves, the lender goes or passes on; and deadlocks, which nobody leaves alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import MutexFlags
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.conditions import WaitingRoom
from tests.kernel.lending import HIGH, LOW, MIDDLE, inheriting, lending_room, owner_of, set_priority, waiter_for
from tests.kernel.machine import Machine

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
