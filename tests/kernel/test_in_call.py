"""A call that was cut off at a marked point where nothing could have come between: it goes on before anything else."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PRIORITY_MAX, ExceptionCode, Status, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME, ENTRY_POINTS
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.abi.registers import A0, ENTRY_POINT
from fluke_async.execution.configuration import Preemption
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import UNMAPPED, Machine, Part
from tests.kernel.messages import Service

IN_CALL = int(ThreadFlags.IN_CALL)
BROADCAST = BY_NAME["cond_broadcast"].number


@pytest.fixture(params=["none", "partial"])
def preemption(request: pytest.FixtureRequest) -> str:
    """Where a broadcast cannot be preempted."""
    name: str = request.param
    return name


def cut_off_broadcast(machine: Machine, *then: Part, **options: Any) -> tuple[WaitingRoom, list[Thread], Thread]:
    """A room, its three waiters of which the first has been let go, and the broadcaster, stopped there."""
    room = WaitingRoom(machine)
    waiters = room.waiters(12, 11, 10)
    broadcaster = machine.spawn(machine.call("cond_broadcast", cond=room.cond), *then, priority=5, **options)
    while waiters[0].waiting_for is not None:
        machine.step()
    machine.core.stop(broadcaster)
    return room, waiters, broadcaster


def load(machine: Machine, thread: Thread, **changes: Any) -> None:
    """Change a few words of a thread's state; it stays stopped."""
    if not thread.stopped:
        machine.core.stop(thread)
    bits = THREAD_STATE.unpack(THREAD_STATE.pack(thread.export_bits()))
    thread.import_state(machine.core, None, {**bits, **changes}, {})


def test_call_goes_on_before_anybody_else(machine: Machine) -> None:
    """Whatever its priority, though its time slice is over, and an interrupt is pending."""
    _, waiters, broadcaster = cut_off_broadcast(machine, ("burn", 1), "handler", interrupt_handler="handler")
    machine.run()
    busy = machine.spawn(("burn", 1000), priority=PRIORITY_MAX)
    machine.invoke("thread_interrupt", thread=broadcaster)
    broadcaster.quantum_left = 0
    assert broadcaster.in_call
    before = len(machine.events)
    machine.core.start(broadcaster)
    machine.run()
    later = [event[1:3] for event in machine.events[before:]]
    end = later.index((Event.FINISH, broadcaster.hash))
    assert later[: end + 1] == [
        (Event.START, 0),
        *[(Event.WAKE, waiter.hash) for waiter in waiters[1:]],
        (Event.FINISH, broadcaster.hash),
    ]
    assert machine.done(busy, broadcaster, *waiters)
    assert not broadcaster.in_call


@pytest.mark.parametrize("preemption", [each.value for each in Preemption])
def test_cut_off_copy_is_in_call_unless_it_could_have_been_preempted(machine: Machine, preemption: str) -> None:
    words = 6 * COPY_CHUNK_WORDS
    service = Service(machine)
    service.server(room=words)
    machine.run()
    client, _ = service.client([1] * words, priority=10)
    urgent = machine.spawn(("burn", 1), priority=20, start=False)
    machine.start_at(machine.core.time + 2000, urgent)
    while not machine.done(urgent) and len(machine.happened(Event.CHUNK)) < 4:
        machine.step()
    assert machine.done(urgent) == (preemption != "none")
    machine.core.stop(client)
    assert client.in_call == (preemption == "none")
    machine.run()
    machine.core.start(client)
    machine.run()
    assert machine.done(client)
    assert not client.in_call


@pytest.mark.parametrize("entry", ENTRY_POINTS, ids=lambda entry: entry.name)
def test_flag_is_refused_where_the_registers_name_no_call_that_can_be_cut_off(entry: Any) -> None:
    machine = Machine()
    thread = machine.spawn(start=False)
    state = machine.buffer(THREAD_STATE.size // 8)
    machine.invoke("thread_get_state", thread=thread, state=state)
    machine.write(state + THREAD_STATE.offset_of("flags"), [ThreadFlags.STOPPED | ThreadFlags.IN_CALL])
    machine.write(state + THREAD_STATE.offset_of("x") + 8 * ENTRY_POINT, [entry.number])
    result = machine.invoke("thread_set_state", thread=thread, state=state)
    if entry.can_be_cut:
        assert (result.exception, thread.in_call) == (None, True)
    else:
        assert (result.exception, thread.in_call) == (ExceptionCode.INVALID_STATE, False)
        assert result.subcode == entry.number


@pytest.mark.parametrize("number", [0, 1, 2**64 - 1])
def test_flag_is_refused_with_a_number_that_is_no_call(machine: Machine, number: int) -> None:
    thread = machine.spawn(start=False)
    thread.registers[ENTRY_POINT] = number
    state = dict(thread.export_bits())
    state["flags"] = int(ThreadFlags.STOPPED | ThreadFlags.IN_CALL)
    address = machine.buffer(memoryview(THREAD_STATE.pack(state)).cast("Q").tolist())
    assert machine.invoke("thread_set_state", thread=thread, state=address).exception is ExceptionCode.INVALID_STATE


def test_forged_flag_makes_the_call_that_the_registers_name(machine: Machine) -> None:
    """As if the program counter were on its ecall; what comes of it is the thread's own affair."""
    room = WaitingRoom(machine)
    waiters = room.waiters(12, 11)
    forged = machine.spawn(("burn", 5), ("burn", 7), priority=1, start=False)
    begin = forged.pc
    load(machine, forged, flags=IN_CALL | 1, x=registers(BROADCAST, machine.addresses[room.cond]))
    busy = machine.spawn(("burn", 1000), priority=PRIORITY_MAX)
    machine.core.start(forged)
    while forged.pc == begin:
        machine.step()
    assert forged.pc == begin + 4
    assert not machine.done(busy)
    assert [waiter.waiting_for for waiter in waiters] == [None, None]
    machine.run()
    assert machine.done(forged, busy, *waiters)


@pytest.mark.parametrize(
    ("name", "a0", "code"),
    [
        ("cond_broadcast", UNMAPPED, ExceptionCode.LOAD_FAULT),
        ("cond_broadcast", 3, ExceptionCode.NOT_ALIGNED),
        ("ipc_call", UNMAPPED, ExceptionCode.LOAD_FAULT),
        ("ipc_reply_wait_receive", 0, ExceptionCode.NO_PORTSET),
        ("ipc_request_receive", 0, ExceptionCode.NO_PORTSET),
    ],
)
def test_forged_flag_with_bad_registers_is_a_mistake(machine: Machine, name: str, a0: int, code: ExceptionCode) -> None:
    forged = machine.spawn(start=False)
    load(machine, forged, flags=IN_CALL | 1, x=registers(BY_NAME[name].number, a0))
    machine.core.start(forged)
    machine.run()
    assert machine.failure(forged) is code
    assert machine.core.unfinished is None


def registers(number: int, a0: int) -> tuple[int, ...]:
    """A file with these two registers set."""
    x = [0] * 32
    x[ENTRY_POINT], x[A0] = number, a0
    return tuple(x)


def test_flag_is_gone_with_the_call(machine: Machine) -> None:
    """A broadcast waits for nothing, so it cannot be parked; as another call the thread takes its turn."""
    _, _, broadcaster = cut_off_broadcast(machine)
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    reference = machine.reference(mutex)
    refused = machine.invoke("thread_set_state", thread=broadcaster, waiting_for_ref=reference)
    assert refused.exception is ExceptionCode.INVALID_STATE
    assert broadcaster.in_call
    load(machine, broadcaster, flags=1, x=registers(BY_NAME["mutex_lock"].number, machine.addresses[mutex]))
    assert not broadcaster.in_call
    machine.core.start(broadcaster)
    assert machine.core.unfinished is None
    machine.run()
    assert broadcaster.waiting_for is mutex


def test_of_two_calls_one_is_first_and_both_end(machine: Machine) -> None:
    room, waiters, first = cut_off_broadcast(machine)
    second = machine.spawn(machine.call("cond_broadcast", cond=room.cond), priority=4, start=False)
    load(machine, second, flags=IN_CALL | 1, x=registers(BROADCAST, machine.addresses[room.cond]))
    machine.core.start(first)
    machine.core.start(second)
    assert machine.core.unfinished is first
    assert [first.in_call, second.in_call] == [False, False]
    machine.run()
    assert machine.done(first, second, *waiters)


def test_stopping_it_again_before_it_goes_on_changes_nothing(machine: Machine) -> None:
    _, waiters, broadcaster = cut_off_broadcast(machine)
    machine.run()
    for _ in range(3):
        machine.core.start(broadcaster)
        assert machine.core.unfinished is broadcaster
        machine.core.stop(broadcaster)
        assert machine.core.unfinished is None
        assert broadcaster.in_call
    machine.core.start(broadcaster)
    machine.run()
    assert machine.done(broadcaster, *waiters)


def test_thread_that_is_destroyed_there_leaves_nothing_to_go_on_with(machine: Machine) -> None:
    room, waiters, broadcaster = cut_off_broadcast(machine)
    machine.core.start(broadcaster)
    machine.core.destroy(broadcaster)
    assert machine.core.unfinished is None
    machine.run()
    assert machine.done(waiters[0])
    assert [waiter.waiting_for for waiter in waiters[1:]] == [room.cond] * 2
    room.broadcast()
    assert machine.done(*waiters)


def test_thread_that_cannot_run_goes_first_when_it_can(machine: Machine) -> None:
    """It has lost its space, and gets another one."""
    _, waiters, broadcaster = cut_off_broadcast(machine)
    machine.load(broadcaster, None, space=None)
    machine.core.start(broadcaster)
    assert machine.core.unfinished is None
    machine.run()
    machine.core.stop(broadcaster)
    machine.load(broadcaster, None, space=machine.space)
    machine.core.start(broadcaster)
    assert machine.core.unfinished is broadcaster
    machine.run()
    assert machine.done(broadcaster, *waiters)
    assert machine.register(broadcaster, "a0") == Status.SUCCESS


def test_call_of_a_halted_program_waits_where_it_was_cut_off(machine: Machine) -> None:
    """A suspension between two marked points takes effect there; afterwards the call goes on before anybody else."""
    room = WaitingRoom(machine)
    waiters = room.waiters(12, 11, 10)
    broadcaster = machine.spawn(machine.call("cond_broadcast", cond=room.cond), priority=5)
    while machine.core.unfinished is not broadcaster:
        machine.step()
    account = machine.space.account
    account.is_suspended = True
    machine.core.settle(account)
    assert machine.core.unfinished is None
    machine.run()
    assert broadcaster.in_call
    assert broadcaster.stack is None
    assert waiters[-1].waiting_for is room.cond
    account.is_suspended = False
    machine.core.settle(account)
    assert machine.core.unfinished is broadcaster
    machine.run()
    assert machine.done(broadcaster)
    assert all(waiter.waiting_for is not room.cond for waiter in waiters)
