"""Stamps that a program has made equal, or put where they mean nothing: orders stay what the states say."""

from __future__ import annotations

import pytest

from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import Machine
from tests.kernel.states import NO_MISTAKE, set_state, state_of

WAITERS = 5
ORDER = 3


def waiters_of(machine: Machine, mutex: Mutex, count: int) -> list[Thread]:
    """Threads that wait for a mutex, whose owner will not unlock it before it is told."""
    machine.load(mutex, {"locked": 1}, owner=machine.spawn(start=False))
    waiters = [machine.spawn(machine.call("mutex_lock", mutex=mutex)) for _ in range(count)]
    machine.run()
    return waiters


def test_a_waiter_whose_order_is_made_equal_keeps_it_when_it_moves(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    waiters = waiters_of(machine, mutex, WAITERS)
    for waiter in waiters:
        state = state_of(machine, waiter)
        assert set_state(machine, waiter, {**state, **NO_MISTAKE, "wait_order": ORDER}).exception is None
    assert list(mutex.queue().in_order()) == waiters
    for moved in (waiters[0], waiters[2]):
        assert machine.invoke("thread_move", thread=moved, new_address=machine.slot()).exception is None
    assert list(mutex.queue().in_order()) == waiters
    for waiter in waiters:
        assert mutex.first_waiter() is waiter
        machine.load(mutex, {"locked": 0}, owner=None)
        assert mutex.owner is waiter


def test_a_waiter_that_is_loaded_without_its_wait_has_no_place_among_the_ready(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    (waiter,) = waiters_of(machine, mutex, 1)
    state = state_of(machine, waiter)
    assert state["run_order"] == 0
    assert set_state(machine, waiter, {**state, "run_order": ORDER}).exception is None
    assert waiter.waiting_for is mutex
    again = state_of(machine, waiter)
    assert again == state
    assert set_state(machine, waiter, again, waiting_for_ref=machine.reference(mutex)).exception is None
    assert state_of(machine, waiter) == state


@pytest.mark.parametrize("priorities", [(10, 10, 10), (10, 11, 12), (12, 11, 10)], ids=str)
@pytest.mark.parametrize("equal", [1, 2, 3])
def test_a_broadcast_leaves_those_alone_whose_order_is_its_own_or_later(
    machine: Machine, room: WaitingRoom, priorities: tuple[int, ...], equal: int
) -> None:
    """A state can say that it has begun when somebody came to wait, or before; whoever is more urgent stands first."""
    waiters = room.waiters(*priorities)
    caller = machine.spawn(machine.call("cond_broadcast", cond=room.cond), start=False)
    state = state_of(machine, caller) | {"wait_order": waiters[equal - 1].wait_order}
    assert set_state(machine, caller, state).exception is None
    machine.core.start(caller)
    machine.run()
    assert machine.done(caller)
    assert sorted(room.log) == list(range(1, equal))
    assert [waiter for waiter in waiters if waiter.waiting_for is room.cond] == waiters[equal - 1 :]
