"""Conditions: a wait is two stages, each of them a call; signals reach the first, broadcasts those who wait by then."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import SLOT_SIZE, ExceptionCode, Status
from fluke_async.abi.entry_points import BY_NAME, COMPLETION_COST, STAGE_COST
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import UNMAPPED, Machine

STATE_WORDS = THREAD_STATE.size // 8
FLAGS_AT, WAIT_ORDER_AT = THREAD_STATE.offset_of("flags"), THREAD_STATE.offset_of("wait_order")


# -- waiting ----------------------------------------------------------------------------------------------------------


def test_waiting_unlocks_the_mutex_and_leaves_registers_that_lock_it(machine: Machine, room: WaitingRoom) -> None:
    waiter = room.waiter()
    machine.run()
    assert waiter.waiting_for is room.cond
    assert (room.mutex.locked, room.mutex.owner) == (False, None)
    assert machine.stage(waiter) == "mutex_lock"
    assert machine.register(waiter, "a0") == machine.addresses[room.mutex]
    state = machine.cpu.run(waiter.pc, 1)
    assert state[3] == 0, "the program counter is on the ecall"


def test_waiting_gives_the_mutex_to_its_first_waiter(machine: Machine, room: WaitingRoom) -> None:
    waiter = room.waiter(then=[])
    machine.spawn(room.lock, *room.note(2), room.unlock, priority=10)
    contender = machine.spawn(room.lock, *room.note(3), priority=11)
    machine.run()
    assert waiter.waiting_for is room.cond
    assert room.mutex.owner is contender
    assert room.log == [3]


def test_signalled_waiter_locks_the_mutex_again_and_returns(machine: Machine, room: WaitingRoom) -> None:
    waiter = room.waiter(then=[])
    machine.run()
    room.signal()
    assert machine.done(waiter)
    assert room.mutex.owner is waiter
    assert machine.register(waiter, "a0") == Status.SUCCESS


def test_signalled_waiter_waits_for_the_mutex_behind_those_who_were_there(machine: Machine, room: WaitingRoom) -> None:
    """The order in which it waited for the signal is worth nothing any more."""
    waiter = room.waiter(1)
    machine.run()
    machine.spawn(room.lock, ("burn", 1000), room.unlock, priority=10)
    machine.run_for(200)
    machine.spawn(room.lock, *room.note(2), room.unlock)
    machine.run_for(200)
    machine.spawn(machine.call("cond_signal", cond=room.cond), priority=20)
    machine.run_for(200)
    assert waiter.waiting_for is room.mutex
    machine.run()
    assert room.log == [2, 1]


def test_order_is_given_anew_in_each_stage(machine: Machine, room: WaitingRoom) -> None:
    waiter = room.waiter()
    machine.run()
    first = waiter.wait_order
    machine.spawn(room.lock)
    machine.run()
    room.signal()
    assert waiter.waiting_for is room.mutex
    assert waiter.wait_order > first > 0


def test_signal_reaches_the_first_by_priority_then_in_order(machine: Machine, room: WaitingRoom) -> None:
    waiters = room.waiters(10, 12, 10, 12, 11)
    for count in range(1, 6):
        room.signal()
        assert room.log == [2, 4, 5, 1, 3][:count]
    assert machine.done(*waiters)


def test_broadcast_reaches_all_in_that_order(machine: Machine, room: WaitingRoom) -> None:
    waiters = room.waiters(10, 12, 10, 12, 11)
    room.broadcast()
    assert room.log == [2, 4, 5, 1, 3]
    assert machine.done(*waiters)
    assert not room.mutex.locked


@pytest.mark.parametrize("call", ["cond_signal", "cond_broadcast"])
def test_nothing_is_remembered_where_nobody_waits(machine: Machine, room: WaitingRoom, call: str) -> None:
    before = room.cond.export_bits()
    assert machine.invoke(call, cond=room.cond).status == Status.SUCCESS
    assert room.cond.export_bits() == before
    (waiter,) = room.waiters(16)
    machine.run()
    assert waiter.waiting_for is room.cond


def test_signal_does_not_need_the_mutex(machine: Machine, room: WaitingRoom) -> None:
    waiter = room.waiter()
    machine.run()
    owner = machine.spawn(room.lock, machine.call("cond_signal", cond=room.cond), ("burn", 100), room.unlock)
    machine.run()
    assert machine.done(waiter, owner)


def test_waiters_with_mutexes_of_their_own_all_get_them(machine: Machine, room: WaitingRoom) -> None:
    mutexes = [machine.new(Mutex) for _ in range(3)]
    waiters = [
        machine.spawn(machine.call("mutex_lock", mutex=mutex), machine.call("cond_wait", cond=room.cond, mutex=mutex))
        for mutex in mutexes
    ]
    machine.run()
    assert [mutex.locked for mutex in mutexes] == [False] * 3
    room.broadcast()
    assert machine.done(*waiters)
    assert [mutex.owner for mutex in mutexes] == waiters


@pytest.mark.parametrize("model", ["process"])
def test_undisturbed_waits_restart_nothing_where_stacks_are_kept(model: str, preemption: str) -> None:
    machine = Machine(model, preemption)
    room = WaitingRoom(machine)
    waiters = room.waiters(10, 11, 12)
    room.signal()
    room.broadcast()
    assert machine.done(*waiters)
    assert machine.core.statistics.restarts == machine.core.statistics.stacks_dropped == 0
    assert machine.core.statistics.resumes >= 3


def test_both_models_take_the_same_virtual_time(preemption: str) -> None:
    times = []
    for model in ("interrupt", "process"):
        machine = Machine(model, preemption)
        room = WaitingRoom(machine)
        room.waiters(10, 12, 10)
        room.signal()
        room.broadcast()
        calls = [event for event in machine.events if event[1] in (Event.FINISH, Event.COMPLETE, Event.STAGE)]
        times.append((machine.core.time, calls, room.log))
    assert times[0] == times[1]


def test_work_that_is_committed_is_charged(machine: Machine, room: WaitingRoom) -> None:
    """A stage to go to sleep, as a lock to return; who broadcasts pays for each that goes on."""
    core = machine.core

    def time_of(thread: Thread) -> int:
        before = core.time
        machine.core.start(thread)
        machine.run()
        return core.time - before

    lock, unlock, broadcast = (BY_NAME[name].cost for name in ("mutex_lock", "mutex_unlock", "cond_broadcast"))
    waiters = [machine.spawn(room.lock, room.wait, room.unlock, start=False) for _ in range(3)]
    assert [time_of(waiter) for waiter in waiters] == [2 + lock + 3 + STAGE_COST] * 3  # an instruction a register
    for waiter in waiters:
        core.stop(waiter)
    broadcaster = machine.spawn(machine.call("cond_broadcast", cond=room.cond), start=False)
    assert time_of(broadcaster) == 2 + broadcast + 3 * COMPLETION_COST
    assert time_of(waiters[0]) == lock + 2 + unlock


# -- mistakes ---------------------------------------------------------------------------------------------------------


def test_mistakes_of_a_wait_come_before_it_unlocks_anything(machine: Machine, room: WaitingRoom) -> None:
    free, held, owner_of_free = machine.new(Mutex), machine.new(Mutex), machine.slot()
    other = machine.spawn(machine.call("mutex_lock", mutex=held))
    machine.run()
    for cond, mutex, code, blamed in (
        (room.mutex, room.mutex, ExceptionCode.NOT_COND, room.mutex),
        (room.cond, room.cond, ExceptionCode.NOT_MUTEX, room.cond),
        (owner_of_free, room.mutex, ExceptionCode.NO_OBJECT, owner_of_free),
        (room.cond, owner_of_free, ExceptionCode.NO_OBJECT, owner_of_free),
        (room.cond, free, ExceptionCode.MUTEX_NOT_OWNED, free),
        (room.cond, held, ExceptionCode.MUTEX_NOT_OWNED, held),
        (UNMAPPED, room.mutex, ExceptionCode.LOAD_FAULT, UNMAPPED),
        (room.cond, UNMAPPED, ExceptionCode.LOAD_FAULT, UNMAPPED),
        (0, 0, ExceptionCode.LOAD_FAULT, 0),
        (machine.addresses[room.cond] + SLOT_SIZE // 2, room.mutex, ExceptionCode.NOT_ALIGNED, None),
        (room.cond, machine.addresses[room.mutex] + 1, ExceptionCode.NOT_ALIGNED, None),
    ):
        mine = machine.spawn(room.lock, machine.call("cond_wait", cond=cond, mutex=mutex))
        machine.run()
        assert machine.failure(mine) is code
        if blamed is not None:
            assert machine.result(mine).subcode == machine.value(blamed)
        assert room.mutex.owner is mine
        assert (held.owner, free.locked) == (other, False)
        assert machine.stage(mine) == "cond_wait"
        machine.invoke("thread_destroy", thread=mine)
        machine.invoke("mutex_set_state", mutex=room.mutex, owner_ref=machine.reference())


def test_waiter_that_was_made_the_owner_meanwhile_locks_twice(machine: Machine, room: WaitingRoom) -> None:
    waiter = room.waiter()
    machine.run()
    machine.invoke("mutex_set_state", mutex=room.mutex, owner_ref=machine.reference(waiter))
    room.signal()
    assert machine.failure(waiter) is ExceptionCode.MUTEX_LOCKED
    assert room.mutex.owner is waiter


# -- interrupts -------------------------------------------------------------------------------------------------------


def interruptible_waiter(room: WaitingRoom, *handler: object, **options: object) -> Thread:
    """A waiter whose handler does something and returns."""
    back = room.machine.bare_call("thread_return_from_exception")
    parts = [("jump", "end"), "handler", *handler, back, "end"]
    return room.waiter(parts=parts, interrupt_handler="handler", **options)  # type: ignore[arg-type]


def test_handler_of_an_interrupted_waiter_runs_with_the_mutex_unlocked(machine: Machine, room: WaitingRoom) -> None:
    """And returning from it is a spurious return from the wait: the mutex is locked."""
    waiter = interruptible_waiter(
        room, machine.call("mutex_trylock", mutex=room.mutex), ("add", "s7", "a0", 100), room.unlock, then=[]
    )
    machine.run()
    machine.invoke("thread_interrupt", thread=waiter)
    assert machine.done(waiter)
    assert machine.register(waiter, "s7") == 100 + Status.SUCCESS
    assert machine.register(waiter, "a0") == Status.SUCCESS
    assert room.log == [1]
    assert room.mutex.owner is waiter
    assert room.cond.first_waiter() is None


def test_handler_that_keeps_the_mutex_makes_the_return_a_mistake(machine: Machine, room: WaitingRoom) -> None:
    waiter = interruptible_waiter(room, room.lock)
    machine.run()
    machine.invoke("thread_interrupt", thread=waiter)
    assert machine.failure(waiter) is ExceptionCode.MUTEX_LOCKED


def test_waiter_interrupted_in_its_second_stage_goes_on_with_that(machine: Machine, room: WaitingRoom) -> None:
    waiter = interruptible_waiter(room, ("add", "s7", "s7", 1))
    machine.run()
    owner = machine.spawn(room.lock, machine.call("mutex_lock", mutex=room.mutex))
    machine.run()
    assert machine.failure(owner) is ExceptionCode.MUTEX_LOCKED  # it stays the owner
    room.signal()
    assert waiter.waiting_for is room.mutex
    machine.invoke("thread_interrupt", thread=waiter)
    assert machine.register(waiter, "s7") == 1
    assert waiter.waiting_for is room.mutex
    machine.invoke("mutex_set_state", mutex=room.mutex, owner_ref=machine.reference())
    assert machine.done(waiter)
    assert room.log == [1]


def test_signal_goes_to_the_next_when_the_first_was_interrupted_before(machine: Machine, room: WaitingRoom) -> None:
    first = interruptible_waiter(room, number=1, priority=20)
    machine.run()
    second = room.waiter(2)
    machine.run()
    machine.spawn(
        machine.call("thread_interrupt", thread=first), machine.call("cond_signal", cond=room.cond), priority=25
    )
    machine.run()
    assert machine.done(first, second)
