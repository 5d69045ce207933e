"""Waiters of a condition whose world changes: they are stopped, their objects go, a broadcast is cut off."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import CondFlags, ExceptionCode, MutexFlags, ThreadFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import Machine
from tests.kernel.recreation import recreate

STATE_WORDS = THREAD_STATE.size // 8
FLAGS_AT, WAIT_ORDER_AT = THREAD_STATE.offset_of("flags"), THREAD_STATE.offset_of("wait_order")


# -- stopped waiters --------------------------------------------------------------------------------------------------


def test_signal_ends_the_wait_of_a_stopped_waiter_where_it_stands(machine: Machine, room: WaitingRoom) -> None:
    first, second = room.waiters(20, 10)
    machine.core.stop(first)
    room.signal()
    assert (first.waiting_for, first.wait_order) == (None, 0)
    assert first.stopped
    assert machine.stage(first) == "mutex_lock"
    assert second.waiting_for is room.cond
    machine.core.start(first)
    machine.run()
    assert machine.done(first)
    assert room.log == [1]
    room.signal()
    assert machine.done(second)


def test_stopped_waiter_keeps_its_place(machine: Machine, room: WaitingRoom) -> None:
    first, second = room.waiters(16, 16)
    machine.core.stop(first)
    order = first.wait_order
    machine.core.start(first)
    machine.run()
    assert (first.waiting_for, first.wait_order) == (room.cond, order)
    room.signal()
    assert room.log == [1]
    assert second.waiting_for is room.cond


def read_out(machine: Machine, thread: Thread) -> tuple[int, object]:
    """Stop a thread and have its state written; the address, and what it waits for."""
    state, reference = machine.buffer(STATE_WORDS), machine.reference()
    result = machine.invoke("thread_get_state", thread=thread, state=state, waiting_for_ref=reference)
    assert result.exception is None
    return state, reference.target


@pytest.mark.parametrize("with_bits", [True, False])
def test_null_link_makes_a_waiter_return_without_a_signal(machine: Machine, room: WaitingRoom, with_bits: bool) -> None:
    (waiter,) = room.waiters(16)
    machine.core.stop(waiter)
    state, waiting_for = read_out(machine, waiter)
    assert waiting_for is room.cond
    assert machine.word(state + WAIT_ORDER_AT) == waiter.wait_order > 0
    operands = {"state": state} if with_bits else {}
    machine.invoke("thread_set_state", thread=waiter, waiting_for_ref=machine.reference(), **operands)
    assert (waiter.waiting_for, waiter.wait_order) == (None, 0)
    assert room.cond.first_waiter() is None
    machine.core.start(waiter)
    machine.run()
    assert machine.done(waiter)
    assert room.log == [1]


def test_state_of_a_signalled_waiter_says_that_it_waits_no_more(machine: Machine, room: WaitingRoom) -> None:
    (waiter,) = room.waiters(16)
    machine.core.stop(waiter)
    room.signal()
    state, waiting_for = read_out(machine, waiter)
    assert waiting_for is None
    assert machine.word(state + WAIT_ORDER_AT) == 0


def test_waiter_can_be_parked_on_another_condition_by_a_state(machine: Machine, room: WaitingRoom) -> None:
    (waiter,) = room.waiters(16)
    other = machine.new(Cond)
    state, _ = read_out(machine, waiter)
    assert machine.word(state + FLAGS_AT) == 0  # as it was before
    reference = machine.reference(other)
    machine.invoke("thread_set_state", thread=waiter, state=state, waiting_for_ref=reference)
    assert waiter.waiting_for is other
    room.signal()
    assert waiter.waiting_for is other
    machine.invoke("cond_signal", cond=other)
    assert machine.done(waiter)


def test_signal_lets_whoever_was_parked_there_look_for_itself(machine: Machine, room: WaitingRoom) -> None:
    """A thread that a state has parked on a condition, in the middle of another call."""
    port = machine.reference(machine.new(Port))
    sender = machine.spawn(machine.call("ipc_send", destination_ref=port))
    machine.run()
    target = sender.waiting_for
    machine.core.stop(sender)
    machine.invoke("thread_set_state", thread=sender, waiting_for_ref=machine.reference(room.cond))
    machine.core.start(sender)
    machine.run()
    assert sender.waiting_for is room.cond
    room.signal()
    assert sender.waiting_for is target


# -- what becomes of the objects --------------------------------------------------------------------------------------


def test_destroyed_condition_lets_its_waiters_return(machine: Machine, room: WaitingRoom) -> None:
    first, second = room.waiters(16, 16)
    machine.core.stop(second)
    machine.invoke("cond_destroy", cond=room.cond)
    assert machine.done(first)
    assert second.stopped
    machine.core.start(second)
    machine.run()
    assert machine.done(second)
    assert room.log == [1, 2]


@pytest.mark.parametrize("recreated", [False, True])
def test_stopped_waiter_of_a_destroyed_condition_stands_behind_who_waits_for_the_mutex(
    machine: Machine, room: WaitingRoom, recreated: bool
) -> None:
    """Also when it is created again from what was exported meanwhile."""
    (waiter,) = room.waiters(16)
    machine.core.stop(waiter)
    machine.spawn(room.lock)
    machine.run()
    machine.spawn(room.lock, *room.note(2), room.unlock)
    machine.run()
    machine.invoke("cond_destroy", cond=room.cond)
    state, waiting_for = read_out(machine, waiter)
    assert waiting_for is None
    assert machine.word(state + WAIT_ORDER_AT) == 0
    if recreated:
        recreate(machine)
    again, mutex = (machine.core.objects[each.address] for each in (waiter, room.mutex))
    assert isinstance(again, Thread)
    machine.core.start(again)
    machine.run()
    assert again.waiting_for is mutex
    machine.load(mutex, {}, owner=None)
    machine.run()
    assert room.log == [2, 1]


def test_moved_condition_takes_its_waiters_along(machine: Machine, room: WaitingRoom) -> None:
    first, second = room.waiters(16, 16)
    machine.core.stop(second)
    slot, old = machine.slot(), machine.addresses[room.cond]
    machine.invoke("cond_move", cond=room.cond, new_address=slot)
    machine.core.start(second)
    machine.run()
    assert [first.waiting_for, second.waiting_for] == [room.cond] * 2
    assert machine.invoke("cond_signal", cond=old).exception is ExceptionCode.NO_OBJECT
    assert machine.invoke("cond_signal", cond=slot).exception is None
    assert machine.done(first)
    assert second.waiting_for is room.cond
    machine.invoke("cond_broadcast", cond=slot)
    assert machine.done(second)


@pytest.mark.parametrize("call", ["mutex_destroy", "mutex_move"])
def test_mutex_that_is_gone_is_found_missing_by_the_second_stage(
    machine: Machine, room: WaitingRoom, call: str
) -> None:
    (waiter,) = room.waiters(16)
    operands = {"new_address": machine.slot()} if call == "mutex_move" else {}
    machine.invoke(call, mutex=room.mutex, **operands)
    assert waiter.waiting_for is room.cond  # nobody has looked yet
    room.signal()
    result = machine.result(waiter)
    assert (result.exception, result.subcode) == (ExceptionCode.NO_OBJECT, machine.addresses[room.mutex])


def test_mutex_whose_owner_dies_keeps_signalled_waiters_until_an_owner_is_named(
    machine: Machine, room: WaitingRoom
) -> None:
    waiters = room.waiters(16, 15)
    owner = machine.spawn(room.lock, ("burn", 1))
    machine.run()
    room.broadcast()
    assert [waiter.waiting_for for waiter in waiters] == [room.mutex] * 2
    machine.invoke("thread_destroy", thread=owner)
    assert [waiter.waiting_for for waiter in waiters] == [room.mutex] * 2
    assert (room.mutex.locked, room.mutex.owner) == (True, None)
    assert room.mutex.flags & MutexFlags.OWNER_DEAD
    heir = machine.spawn(room.unlock, start=False)
    machine.invoke("mutex_set_state", mutex=room.mutex, owner_ref=machine.reference(heir))
    machine.core.start(heir)
    machine.run()
    assert machine.done(heir, *waiters)
    assert room.log == [1, 2]
    assert room.mutex.flags == 0


def test_destroyed_waiter_is_no_waiter(machine: Machine, room: WaitingRoom) -> None:
    first, second = room.waiters(20, 10)
    machine.invoke("thread_destroy", thread=first)
    room.signal()
    assert machine.done(second)
    assert room.log == [2]


def test_state_of_a_condition(machine: Machine, room: WaitingRoom) -> None:
    thread = machine.spawn(start=False)
    state, reference = machine.buffer(2), machine.reference()
    flags = machine.buffer([0, CondFlags.MULTITASK])
    inheritor = machine.reference(thread)
    machine.invoke("cond_set_state", cond=room.cond, state=flags, inheritor_ref=inheritor)
    machine.invoke("cond_get_state", cond=room.cond, state=state, inheritor_ref=reference)
    assert machine.read(state, 2) == [room.cond.hash, CondFlags.MULTITASK]
    assert reference.target is thread
    for refused in (2, 1 << 63):
        result = machine.invoke("cond_set_state", cond=room.cond, state=machine.buffer([0, refused]))
        assert (result.exception, result.subcode) == (ExceptionCode.INVALID_STATE, refused)
    machine.invoke("cond_set_state", cond=room.cond, inheritor_ref=machine.reference())
    machine.invoke("cond_get_state", cond=room.cond, state=state, inheritor_ref=reference)
    assert machine.read(state, 2) == [room.cond.hash, CondFlags.MULTITASK]
    assert reference.target is None


# -- a broadcast that is cut off --------------------------------------------------------------------------------------


def cut_off(machine: Machine, broadcaster: Thread, *, after: Thread) -> None:
    """Run until a broadcast is at its marked point after it has let `after` go, and stop it there."""
    while after.waiting_for is not None:
        assert machine.step() is not Outcome.IDLE
    assert machine.core.unfinished is broadcaster or broadcaster.in_kernel
    machine.core.stop(broadcaster)


@pytest.mark.parametrize("recreated", [False, True])
def test_broadcast_that_was_cut_off_leaves_those_alone_that_came_later(
    machine: Machine, room: WaitingRoom, preemption: str, recreated: bool
) -> None:
    """Who goes on and waits again meanwhile stands behind the broadcast, though it is the first by its priority."""
    machine.forged = True
    again = room.waiter(1, waits=2, priority=20)
    machine.run()
    second, third = (room.waiter(number, priority=12) for number in (2, 3))
    machine.run()
    broadcaster = machine.spawn(machine.call("cond_broadcast", cond=room.cond), priority=10)
    cut_off(machine, broadcaster, after=again)
    machine.run()
    late = room.waiter(4, priority=12)
    machine.run()
    assert room.log == [1]
    assert again.waiting_for is room.cond
    assert again.wait_order > broadcaster.wait_order > third.wait_order > second.wait_order
    state, waiting_for = read_out(machine, broadcaster)
    in_call = 0 if preemption == "full" else ThreadFlags.IN_CALL  # then it gave way, and nothing else comes first
    assert machine.word(state + FLAGS_AT) == ThreadFlags.STOPPED | in_call
    assert waiting_for is None
    cond = room.cond
    if recreated:
        recreate(machine)
        again, second, third, late, broadcaster, cond = (  # type: ignore[assignment]
            machine.core.objects[each.address] for each in (again, second, third, late, broadcaster, cond)
        )
        assert broadcaster.stopped
    machine.core.start(broadcaster)
    machine.run()
    assert machine.done(second, third, broadcaster)
    assert [again.waiting_for, late.waiting_for] == [cond] * 2
    assert room.log == [1, 2, 3]


def test_broadcast_whose_condition_goes_meanwhile_is_a_mistake(machine: Machine, room: WaitingRoom) -> None:
    first, second = room.waiters(16, 15)
    broadcaster = machine.spawn(machine.call("cond_broadcast", cond=room.cond), priority=20)
    cut_off(machine, broadcaster, after=first)
    machine.run()
    machine.invoke("cond_destroy", cond=room.cond)
    machine.core.start(broadcaster)
    machine.run()
    assert machine.failure(broadcaster) is ExceptionCode.NO_OBJECT
    assert machine.done(first, second)


def test_next_broadcast_of_a_thread_takes_a_new_place(machine: Machine, room: WaitingRoom) -> None:
    waiter = room.waiter(1, waits=2, priority=20)
    machine.run()
    broadcast = machine.call("cond_broadcast", cond=room.cond)
    broadcaster = machine.spawn(broadcast, ("burn", 1), broadcast, priority=10)
    machine.run()
    assert machine.done(waiter, broadcaster)
    assert room.log == [1, 1]
    assert broadcaster.wait_order == 0
