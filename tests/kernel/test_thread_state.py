"""A thread's state, out and in: complete, idempotent, and never more than a program's mistake."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import ExceptionCode, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME, ENTRY_POINTS
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.states import NO_MISTAKE, everything, set_state, state_of


def test_a_new_thread_has_no_handlers_and_no_entries(machine: Machine) -> None:
    bits = machine.new(Thread).export_bits()
    assert not any(value for name, value in bits.items() if "handler" in name or name.startswith(("saved", "server")))


def test_every_field_comes_back(machine: Machine) -> None:
    thread = machine.new(Thread)
    assert set_state(machine, thread, everything()).exception is None
    zero = {field.name: 0 for field in THREAD_STATE.fields if field.name.endswith("_pc")}
    zero |= {"fault_access": 0, "fault_address": 0}  # who waits for nothing has no fault
    expected = {**zero, **everything(), "hash": thread.hash}
    assert state_of(machine, thread) == expected
    assert {field.name for field in THREAD_STATE.fields} == expected.keys()


def test_new_thread_is_empty_and_stopped(machine: Machine) -> None:
    slot = machine.slot()
    machine.invoke("thread_create", thread=slot)
    thread = machine.found(slot)
    assert isinstance(thread, Thread)
    state = state_of(machine, thread)
    assert state["flags"] == ThreadFlags.STOPPED
    assert state["thread_va"] == slot
    assert state["quantum_left"] == QUANTUM_INSTRUCTIONS
    assert (state["x"], state["f"], state["pc"]) == ((0,) * 32, (0,) * 32, 0)


def test_program_starts_a_thread(machine: Machine) -> None:
    """Pc, stack, argument and space, and STOPPED clear: it runs at once."""
    slot, cell = machine.slot(), machine.buffer(1)
    machine.invoke("thread_create", thread=slot)
    template = machine.spawn(machine.keep("a0", cell), start=False)
    state = {"pc": template.pc, "x": (0, 0, 0x9000) + (0,) * 7 + (55,) + (0,) * 21, "priority": 16,
             "thread_va": slot, "flags": 0}  # fmt: skip
    thread = machine.found(slot)
    assert isinstance(thread, Thread)
    result = set_state(machine, thread, state, space_ref=machine.reference(machine.space))
    assert result.exception is None
    assert machine.done(thread)
    assert machine.word(cell) == 55
    assert machine.register(thread, "sp") == 0x9000


def test_thread_without_a_space_cannot_run(machine: Machine) -> None:
    thread = machine.spawn(("burn", 1))
    machine.core.stop(thread)
    null = machine.reference()
    machine.invoke("thread_set_state", thread=thread, space_ref=null)
    state = state_of(machine, thread)
    set_state(machine, thread, {**state, "flags": 0})
    assert not thread.stopped
    assert thread.condition is Condition.EMPTY
    state_of(machine, thread)
    reference = machine.reference(machine.space)
    set_state(machine, thread, {**state, "flags": 0}, space_ref=reference)
    assert machine.done(thread)


# -- STOPPED ---------------------------------------------------------------------------------------


def test_get_state_stops_and_says_how_it_was_before(machine: Machine) -> None:
    """The first who asks learns that the thread was running, the next that it is stopped."""
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    waiting = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    ready = machine.spawn(("burn", 10), start=False)
    machine.run()
    for thread in (waiting, ready):
        was = thread.stopped
        assert bool(state_of(machine, thread)["flags"] & ThreadFlags.STOPPED) == was
        assert thread.stopped
        assert state_of(machine, thread)["flags"] & ThreadFlags.STOPPED


def test_stopped_thread_stays_where_it_is(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    holder = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    waiting = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    waiting_for = machine.reference()
    state = state_of(machine, waiting)
    machine.invoke("thread_get_state", thread=waiting, waiting_for_ref=waiting_for)
    assert waiting_for.target is mutex
    assert state["wait_order"] == waiting.wait_order > 0
    assert waiting.waiting_for is mutex
    assert waiting.condition.value == "stopped"
    assert set_state(machine, waiting, state).exception is None  # the flags say that it was not stopped
    assert waiting.condition.value == "waiting"
    assert machine.done(holder)


def test_stopped_ready_thread_keeps_its_turn(machine: Machine) -> None:
    """It is before those that became ready later."""
    first, second = (machine.spawn(("burn", 10)) for _ in range(2))
    machine.core.stop(first)
    machine.core.start(first)
    machine.run()
    order = [event[2] for event in machine.events if event[1].label == "switch"]
    assert order == [first.hash, second.hash]


def test_only_a_stopped_threads_state_can_be_set(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    waiting = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    result = set_state(machine, waiting, everything())
    assert result.exception is ExceptionCode.THREAD_RUNNING
    assert waiting.waiting_for is mutex


def test_destroyed_peer_posts_nothing_to_a_stopped_thread(model: str) -> None:
    """A client is stopped in its copying, its server too, and the client destroyed: the server's state stays."""
    machine = Machine(model, "partial")
    service = Service(machine)
    server = service.server(room=3000, priority=10)
    machine.run()
    client, _ = service.client([1] * 3000, priority=10)
    urgent = machine.spawn(("burn", 1), priority=20, start=False)
    machine.start_at(machine.core.time + 500, urgent)
    while not machine.core.statistics.preemptions:
        machine.step()
    assert server.client is client
    machine.core.stop(client)
    machine.core.stop(server)
    before = dict(server.export_bits())
    machine.core.destroy(client)
    after = dict(server.export_bits())
    for state in (before, after):
        flags = state["flags"]
        assert isinstance(flags, int)
        state["flags"] = flags & ~int(ThreadFlags.IDEMPOTENT)  # there is nobody to be answered any more
    assert after == before
    machine.core.start(server)
    machine.run()
    assert server.waiting_for is service.portset


# -- what a state may be ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("flags", ThreadFlags.IDEMPOTENT | ThreadFlags.SERVER_SENDER),
        ("flags", 1 << 10),
        ("flags", 1 << 63),
        ("priority", 32),
        ("wait_order", 2**64 - 1),
        ("run_order", 2**64 - 1),
        ("quantum_left", QUANTUM_INSTRUCTIONS + 1),
        ("fcsr", 0x100),
        ("fcsr", 1 << 63),
        ("exception", max(ExceptionCode) + 1),
    ],
)
def test_impossible_states_are_refused_whole(machine: Machine, field: str, value: int) -> None:
    thread = machine.new(Thread)
    before = thread.export_bits()
    result = set_state(machine, thread, {**everything(), field: value})
    assert result.exception is ExceptionCode.INVALID_STATE
    assert thread.export_bits() == before


def test_nobody_can_use_up_the_stamps(machine: Machine) -> None:
    """However late an order a program asks for, others' states go out and in afterwards."""
    hostile, thread = machine.new(Thread), machine.spawn(("burn", 1), start=False)
    for power in range(64):
        set_state(machine, hostile, {**everything(), "run_order": 1 << power, "wait_order": 1 << power})
    machine.core.start(thread)
    machine.core.stop(thread)
    assert set_state(machine, thread, state_of(machine, thread)).exception is None


def test_equal_stamps_are_no_problem(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    threads = [machine.spawn(machine.call("mutex_lock", mutex=mutex)) for _ in range(3)]
    machine.run()
    for thread in threads:
        state = state_of(machine, thread)
        set_state(machine, thread, {**state, "wait_order": 5, "run_order": 5})
    assert mutex.first_waiter() in threads
    check(machine.core)


@pytest.mark.parametrize("entry", ENTRY_POINTS, ids=lambda entry: entry.name)
def test_a_thread_can_be_parked_only_in_a_call_that_may_wait(entry: Any) -> None:
    machine = Machine()
    thread, mutex = machine.new(Thread), machine.reference(machine.new(Mutex))
    x = [0] * 32
    x[17] = entry.number
    result = set_state(machine, thread, {**everything(), **NO_MISTAKE, "x": tuple(x)}, waiting_for_ref=mutex)
    sleeps = entry.call_class.value in ("long", "multi-stage")
    assert result.exception is (None if sleeps else ExceptionCode.INVALID_STATE)
    assert (thread.waiting_for is not None) == sleeps


@pytest.mark.parametrize(("pc", "after"), [(2**64 - 4, 0), (2**64 - 1, 3), (0x1001, 0x1005)], ids=hex)
def test_pc_moves_past_the_call_and_wraps_at_the_end_of_the_address_space(
    machine: Machine, pc: int, after: int
) -> None:
    mutex, thread = machine.new(Mutex), machine.new(Thread)
    x = [0] * 32
    x[10], x[17] = machine.addresses[mutex], BY_NAME["mutex_lock"].number
    state = {"pc": pc, "x": tuple(x), "flags": ThreadFlags.STOPPED, "priority": 16}
    links = {"waiting_for_ref": mutex, "space_ref": machine.space}
    references = {name: machine.reference(target) for name, target in links.items()}
    assert set_state(machine, thread, state, **references).exception is None
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference())
    assert mutex.owner is thread
    assert state_of(machine, thread)["pc"] == after


def test_link_to_oneself_is_refused(machine: Machine) -> None:
    thread = machine.new(Thread)
    me = machine.reference(thread)
    x = [0] * 32
    x[17] = BY_NAME["ipc_call"].number
    state = {**everything(), "x": tuple(x), "flags": ThreadFlags.STOPPED | ThreadFlags.IDEMPOTENT}
    for link in ("waiting_for_ref", "client_ref"):
        assert set_state(machine, thread, state, **{link: me}).exception is ExceptionCode.INVALID_STATE


def test_waiter_always_has_an_order(machine: Machine) -> None:
    """One that is given none while it waits comes last, as it would if it were created again."""
    mutex = machine.new(Mutex)
    lock = machine.call("mutex_lock", mutex=mutex)
    machine.spawn(lock)
    machine.run()
    first, second = (machine.spawn(lock) for _ in range(2))
    machine.run()
    state = state_of(machine, first)
    assert set_state(machine, first, {**state, "wait_order": 0, "flags": 0}).exception is None
    assert first.wait_order > second.wait_order > 0
    assert mutex.first_waiter() is second
