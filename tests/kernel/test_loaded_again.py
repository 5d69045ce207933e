"""Stopped threads that are loaded with another state, or created again: what counts is what was exported."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.machine import Machine
from tests.kernel.recreation import recreate
from tests.kernel.states import set_state, state_of


@pytest.mark.parametrize("number", [0, 1, 2**64 - 1, BY_NAME["thread_self"].number])
def test_waiter_can_be_given_the_registers_of_anything_else(machine: Machine, number: int) -> None:
    """It waits no more, and what it does next is its own affair."""
    mutex = machine.new(Mutex)
    lock = machine.call("mutex_lock", mutex=mutex)
    machine.spawn(lock)
    waiter = machine.spawn(lock)
    machine.run()
    machine.core.stop(waiter)
    state = state_of(machine, waiter)
    x = list(state["x"])
    x[ENTRY_POINT] = number
    changed = {**state, "x": tuple(x)}
    assert set_state(machine, waiter, changed).exception is ExceptionCode.INVALID_STATE
    assert waiter.waiting_for is mutex
    assert set_state(machine, waiter, changed, waiting_for_ref=machine.reference()).exception is None
    assert waiter.waiting_for is None
    assert state_of(machine, waiter)["x"] == tuple(x)


def test_waiter_whose_object_has_gone_can_be_given_other_registers(machine: Machine) -> None:
    """Its state says that it waits for nothing, so any registers will do."""
    mutex = machine.new(Mutex)
    lock = machine.call("mutex_lock", mutex=mutex)
    machine.spawn(lock)
    waiter = machine.spawn(lock)
    machine.run()
    machine.core.stop(waiter)
    machine.invoke("mutex_destroy", mutex=mutex)
    state = state_of(machine, waiter)
    x = list(state["x"])
    x[ENTRY_POINT] = 0
    assert set_state(machine, waiter, {**state, "x": tuple(x)}).exception is None
    assert waiter.waiting_for is None
    assert state_of(machine, waiter)["x"] == tuple(x)


@pytest.mark.parametrize("recreated", [False, True])
def test_thread_stopped_by_a_mistake_stays_so_when_it_is_created_again(machine: Machine, recreated: bool) -> None:
    """Also where it would be no mistake any more: nothing but a new state lets it go on."""
    slot = machine.slot()
    thread = machine.spawn(machine.call("mutex_lock", mutex=slot))
    machine.run()
    assert thread.condition is Condition.EXCEPTION
    machine.invoke("mutex_create", mutex=slot)
    mutex = machine.found(slot)
    if recreated:
        recreate(machine)
        mutex = machine.core.objects[mutex.address]
    machine.run()
    assert isinstance(mutex, Mutex)
    assert not mutex.locked


def test_thread_that_a_mistake_has_stopped_cannot_be_parked(machine: Machine) -> None:
    """Not until a state without a mistake is loaded; then it waits as the state says."""
    mutex = machine.new(Mutex)
    lock = machine.call("mutex_lock", mutex=mutex)
    machine.spawn(lock)
    machine.run()
    thread = machine.spawn(machine.call("mutex_lock", mutex=machine.slot()))
    machine.run()
    assert machine.failure(thread) is ExceptionCode.NO_OBJECT
    state = state_of(machine, thread)
    target = machine.reference(mutex)
    parked = machine.invoke("thread_set_state", thread=thread, waiting_for_ref=target)
    assert parked.exception is ExceptionCode.INVALID_STATE
    assert set_state(machine, thread, state, waiting_for_ref=target).exception is ExceptionCode.INVALID_STATE
    assert machine.failure(thread) is ExceptionCode.NO_OBJECT
    good = {**state, "exception": 0, "exception_subcode": 0, "flags": 0}
    assert set_state(machine, thread, good, waiting_for_ref=target).exception is None
    assert thread.condition is Condition.WAITING
