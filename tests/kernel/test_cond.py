"""Conditions: a wait is two stages, each of them a call; signals reach the first, broadcasts those who wait by then."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import SLOT_SIZE, CondFlags, ExceptionCode, MutexFlags, Status, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME, COMPLETION_COST, STAGE_COST
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import UNMAPPED, Machine
from tests.kernel.recreation import recreate

STATE_WORDS = THREAD_STATE.size // 8
FLAGS_AT, WAIT_ORDER_AT = THREAD_STATE.offset_of("flags"), THREAD_STATE.offset_of("wait_order")


@pytest.fixture
def room(machine: Machine) -> WaitingRoom:
    return WaitingRoom(machine)


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


def test_undisturbed_waits_restart_nothing_where_stacks_are_kept(preemption: str) -> None:
    machine = Machine("process", preemption)
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
    assert machine.core.unfinished is broadcaster
    machine.core.stop(broadcaster)


@pytest.mark.parametrize("recreated", [False, True])
def test_broadcast_that_was_cut_off_leaves_those_alone_that_came_later(
    machine: Machine, room: WaitingRoom, recreated: bool
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
    assert machine.word(state + FLAGS_AT) == ThreadFlags.STOPPED | ThreadFlags.IN_CALL
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
