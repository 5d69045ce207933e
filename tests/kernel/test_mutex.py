"""Mutexes: one owner at a time, handed over in order, and what becomes of them when threads do not play along."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PRIORITY_MAX, PRIORITY_MIN, ExceptionCode, MutexFlags, Status
from fluke_async.abi.layouts import MUTEX_STATE
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine


def held(machine: Machine, *, priority: int = 25) -> tuple[Mutex, Thread]:
    """A mutex and the thread that owns it, which has come to its end."""
    mutex = machine.new(Mutex)
    holder = machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=priority)
    machine.run()
    assert mutex.owner is holder
    return mutex, holder


def test_free_mutex_is_locked_at_once(machine: Machine) -> None:
    for name in ("mutex_lock", "mutex_trylock"):
        mutex = machine.new(Mutex)
        thread = machine.spawn(machine.call(name, mutex=mutex))
        machine.run()
        assert machine.register(thread, "a0") == Status.SUCCESS
        assert mutex.owner is thread


def test_trylock_of_a_held_mutex_does_not_wait(machine: Machine) -> None:
    mutex, holder = held(machine)
    assert machine.invoke("mutex_trylock", mutex=mutex).status == Status.MUTEX_HELD
    assert mutex.owner is holder


def test_mistakes_with_a_mutex(machine: Machine) -> None:
    mutex, _ = held(machine)
    assert machine.invoke("mutex_unlock", mutex=mutex).exception is ExceptionCode.MUTEX_NOT_OWNED
    free = machine.new(Mutex)
    assert machine.invoke("mutex_unlock", mutex=free).exception is ExceptionCode.MUTEX_NOT_OWNED
    for name in ("mutex_lock", "mutex_trylock"):
        mine = machine.new(Mutex)
        again = machine.spawn(machine.call("mutex_lock", mutex=mine), machine.call(name, mutex=mine))
        machine.run()
        assert machine.failure(again) is ExceptionCode.MUTEX_LOCKED


def test_unlocking_hands_over_by_priority_then_in_the_order_of_waiting(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    holder = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("burn", 1000),
        machine.call("mutex_unlock", mutex=mutex),
        priority=20,
    )
    machine.run_for(100)
    waiters = []
    for priority in (21, 24, 21, 24):
        waiters.append(
            machine.spawn(
                machine.call("mutex_lock", mutex=mutex),
                machine.call("mutex_unlock", mutex=mutex),
                priority=priority,
            )
        )
        machine.run_for(10)
    machine.run()
    assert machine.done(holder, *waiters)
    completed = [event[2] for event in machine.happened(Event.COMPLETE)]
    assert completed == [waiters[index].hash for index in (1, 3, 0, 2)]
    assert not mutex.locked


def test_owner_is_whom_it_was_handed_to_even_before_it_runs(machine: Machine) -> None:
    """A hand-over is no wake-up: a third thread that comes in between finds the mutex held."""
    mutex = machine.new(Mutex)
    gate, _ = held(machine)
    holder = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        machine.call("mutex_lock", mutex=gate),
        machine.call("mutex_unlock", mutex=mutex),
        machine.call("mutex_trylock", mutex=mutex),
        priority=20,
    )
    waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=10)
    machine.run()
    assert waiter.waiting_for is mutex
    machine.invoke("mutex_set_state", mutex=gate, owner_ref=machine.reference())
    assert machine.done(holder, waiter)
    assert machine.register(holder, "a0") == Status.MUTEX_HELD
    assert mutex.owner is waiter


def test_stopped_waiter_gets_the_mutex_where_it_stands(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    holder = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("burn", 1000),
        machine.call("mutex_unlock", mutex=mutex),
        priority=20,
    )
    machine.run_for(100)
    waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=21)
    machine.run_for(50)
    machine.core.stop(waiter)
    machine.run()
    assert machine.done(holder)
    assert mutex.owner is waiter
    assert waiter.waiting_for is None
    assert not machine.done(waiter)
    machine.core.start(waiter)
    machine.run()
    assert machine.done(waiter)
    assert machine.register(waiter, "a0") == Status.SUCCESS


def test_destroyed_mutex_is_a_mistake_of_its_waiters(machine: Machine) -> None:
    mutex, holder = held(machine)
    waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    machine.invoke("mutex_destroy", mutex=mutex)
    assert machine.failure(waiter) is ExceptionCode.NO_OBJECT
    assert not holder.owned


def test_mutex_of_a_dead_owner_stays_locked_until_a_new_owner_is_named(machine: Machine) -> None:
    mutex, holder = held(machine)
    waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    machine.invoke("thread_destroy", thread=holder)
    assert mutex.locked
    assert mutex.owner is None
    assert mutex.flags == MutexFlags.OWNER_DEAD
    assert waiter.waiting_for is mutex
    assert machine.invoke("mutex_trylock", mutex=mutex).status == Status.MUTEX_HELD

    heir = machine.spawn(machine.call("mutex_unlock", mutex=mutex), start=False)
    reference = machine.reference(heir)
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=reference)
    assert mutex.owner is heir
    assert mutex.flags == 0
    machine.core.start(heir)
    machine.run()
    assert machine.done(heir, waiter)


def test_state_of_a_mutex_and_its_owner(machine: Machine) -> None:
    mutex, holder = held(machine)
    state, reference = machine.buffer(8), machine.reference()
    machine.invoke("mutex_get_state", mutex=mutex, state=state, owner_ref=reference)
    assert machine.read(state, 3) == [mutex.hash, 0, 1]
    assert reference.target is holder
    machine.invoke("mutex_get_state", mutex=machine.new(Mutex), state=state, owner_ref=reference)
    assert machine.word(state + MUTEX_STATE.offset_of("locked")) == 0
    assert reference.target is None


def test_clearing_the_owner_unlocks_for_the_first_who_waits(machine: Machine) -> None:
    for dead in (False, True):
        mutex, holder = held(machine)
        waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex))
        machine.run()
        if dead:
            machine.invoke("thread_destroy", thread=holder)
        machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference())
        assert machine.done(waiter)
        assert mutex.owner is waiter
        assert mutex.flags == 0


@pytest.mark.parametrize("flags", [1 << 4, 1 << 40, 1 << 63, 2**64 - 1])
def test_flags_that_there_are_not_are_refused(machine: Machine, flags: int) -> None:
    mutex = machine.new(Mutex)
    before = mutex.export_bits()
    result = machine.invoke("mutex_set_state", mutex=mutex, state=machine.buffer([0, flags, 0, 0]))
    assert (result.exception, result.subcode) == (ExceptionCode.INVALID_STATE, flags)
    assert mutex.export_bits() == before


@pytest.mark.parametrize("ceiling", [PRIORITY_MAX + 1, 2**64 - 1])
def test_ceiling_above_all_priorities_is_refused(machine: Machine, ceiling: int) -> None:
    mutex = machine.new(Mutex)
    before = mutex.export_bits()
    for flags in (0, MutexFlags.PRI_CEILING):
        result = machine.invoke("mutex_set_state", mutex=mutex, state=machine.buffer([0, flags, 0, ceiling]))
        assert (result.exception, result.subcode) == (ExceptionCode.INVALID_STATE, ceiling)
    assert mutex.export_bits() == before


@pytest.mark.parametrize("ceiling", [PRIORITY_MIN, PRIORITY_MAX])
@pytest.mark.parametrize("flags", [0, MutexFlags.PRI_CEILING, MutexFlags.INHERIT_PRI])
def test_every_priority_can_be_a_ceiling(machine: Machine, ceiling: int, flags: int) -> None:
    mutex, owner = machine.new(Mutex), machine.spawn(start=False)
    state = machine.buffer([0, flags, 1, ceiling])
    result = machine.invoke("mutex_set_state", mutex=mutex, state=state, owner_ref=machine.reference(owner))
    assert result.exception is None
    assert mutex.export_bits() == {"hash": mutex.hash, "flags": flags, "locked": 1, "ceiling": ceiling}
    assert owner.effective_priority == (
        max(owner.priority, ceiling) if flags & MutexFlags.PRI_CEILING else owner.priority
    )


def test_unlocked_mutex_has_no_owner(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    owner = machine.reference(machine.spawn(start=False))
    state = machine.buffer([0, 0, 0])
    result = machine.invoke("mutex_set_state", mutex=mutex, state=state, owner_ref=owner)
    assert result.exception is ExceptionCode.INVALID_STATE
    assert mutex.owner is None
