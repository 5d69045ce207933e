"""The two execution models: the same operations, the same events; what each alone does is marked."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluke_async.abi.codes import COPY_CHUNK_WORDS
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.abi.registers import A0
from fluke_async.cpu.scripted_cpu import assemble
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_calls import thread_interrupt
from fluke_async.kernel.objects.thread_state import Handlers
from fluke_async.kernel.trace import Event
from tests.execution.scenarios import SCENARIOS, Scenario, long_calls, play
from tests.kernel.invariants import check
from tests.kernel.machine import CODE, Machine
from tests.kernel.messages import Service


def common(machine: Machine) -> list[tuple[Any, ...]]:
    """The events that both models have."""
    return [event for event in machine.events if not event[1].model]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_models_are_equal_event_by_event(scenario: Scenario, preemption: str) -> None:
    interrupt, process = (play(scenario, model, preemption) for model in ("interrupt", "process"))
    assert common(interrupt) == common(process)
    assert interrupt.core.time == process.core.time
    assert len(common(interrupt)) > 20


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
@pytest.mark.parametrize("model", ["process"])
def test_undisturbed_process_model_restarts_nothing(scenario: Scenario, model: str, preemption: str) -> None:
    statistics = play(scenario, model, preemption).core.statistics
    assert statistics.restarts == 0
    assert statistics.stacks_dropped == 0


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_interrupt_model_keeps_no_stack(scenario: Scenario, preemption: str) -> None:
    machine = play(scenario, "interrupt", preemption)
    statistics = machine.core.statistics
    assert statistics.resumes == 0
    threads = [each for each in machine.core.objects.values() if isinstance(each, Thread)]
    assert all(thread.stack is None for thread in threads)
    if scenario is long_calls and preemption == "partial":
        assert statistics.restarts > 0


def waiting(machine: Machine) -> tuple[Thread, Mutex]:
    """A thread that waits for a mutex that nobody will unlock."""
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=20)
    thread = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("jump", "end"),
        "handler",
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
    )
    machine.run()
    assert thread.waiting_for is mutex
    return thread, mutex


def test_waiting_thread_has_a_stack_in_the_process_model_alone() -> None:
    for model in ("interrupt", "process"):
        thread, _ = waiting(Machine(model))
        assert (thread.stack is not None) == (model == "process")
        assert thread.continuation is not None


@pytest.mark.parametrize("disturbance", ["stop", "set_state", "interrupt"])
def test_stale_stack_is_never_resumed(disturbance: str) -> None:
    machine = Machine("process")
    thread, mutex = waiting(machine)
    epoch = thread.epoch
    state = machine.buffer(200)
    if disturbance == "interrupt":
        machine.invoke("thread_interrupt", thread=thread)
    else:
        machine.invoke("thread_get_state", thread=thread, state=state)
        assert thread.stack is None
        if disturbance == "set_state":
            machine.invoke("thread_set_state", thread=thread, state=state)
        else:
            machine.core.start(thread)
            machine.core.wake(thread)
            machine.run()
    assert thread.epoch > epoch
    assert thread.waiting_for is mutex
    assert machine.core.statistics.resumes == 0
    assert (thread.stack is None) == (disturbance == "set_state")  # which parks without running
    assert machine.core.statistics.restarts == (disturbance == "stop")  # a handler's return makes the call anew


def test_stack_that_a_peer_has_made_stale_is_dropped() -> None:
    """A client is preempted in its copying; its server is stopped and started meanwhile."""
    machine = Machine("process", "partial")
    service = Service(machine)
    words = 4 * COPY_CHUNK_WORDS
    server = service.server(room=words)
    machine.run()
    client, received = service.client([5] * words, priority=5)
    meddler = machine.spawn(
        machine.call("thread_get_state", thread=server, state=machine.buffer(200)),
        priority=20,
        start=False,
    )
    machine.start_at(machine.core.time + 1500, meddler)
    while not machine.done(meddler):
        machine.step()
    assert client.stack is not None
    assert client.in_kernel
    machine.core.start(server)
    machine.run()
    assert machine.core.statistics.stacks_dropped == 1
    assert machine.done(client)
    assert machine.word(received) == 6


def test_completed_call_leaves_no_stack() -> None:
    """Who completes a waiter's call closes its stack: there is nothing left to resume."""
    machine = Machine("process")
    mutex = machine.new(Mutex)
    machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("burn", 100),
        machine.call("mutex_unlock", mutex=mutex),
        priority=10,
    )
    machine.step()
    waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=11, start=False)
    machine.start_at(70, waiter)
    machine.run()
    assert machine.done(waiter)
    assert machine.core.statistics.resumes == 0
    assert machine.core.statistics.completions == 1
    assert len(machine.happened(Event.STACK_KEPT, waiter)) == 1
    assert not machine.happened(Event.RESUMED)


def test_woken_thread_resumes_its_stack() -> None:
    machine = Machine("process")
    service = Service(machine)
    machine.load(service.port, None, portset=None)
    service.server()
    machine.run()
    service.client([1])
    machine.run()
    machine.load(service.port, None, portset=service.portset)
    machine.run()
    assert machine.core.statistics.resumes == 1
    assert machine.core.statistics.restarts == 0


DISTURBANCES = st.lists(
    st.tuples(
        st.integers(0, 12),  # steps before it
        st.sampled_from(["stop", "start", "start", "interrupt", "priority", "unpark", "destroy"]),
        st.integers(0, 9),  # whom it hits
    ),
    max_size=25,
)


def disturb(machine: Machine, kind: str, threads: list[Thread]) -> None:
    """Do something to the first of the threads, as other threads could."""
    core, thread = machine.core, threads[0]
    if kind == "stop":
        core.stop(thread)
    elif kind == "destroy":
        core.destroy(thread)
    elif kind == "interrupt":
        meddler = machine.new(Thread)
        meddler.registers[A0] = machine.addresses[thread]
        core.enter_space(meddler, machine.space)
        thread_interrupt(core, meddler)
    elif thread.stopped and kind == "start":
        core.start(thread)
    elif thread.stopped and kind == "priority":
        bits = THREAD_STATE.unpack(THREAD_STATE.pack(thread.export_bits()))
        thread.import_state(core, None, {**bits, "priority": 31 - thread.priority}, {})
    elif thread.stopped and kind == "unpark":
        thread.import_state(core, None, None, {"waiting_for": None})


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    scenario=st.sampled_from(SCENARIOS[1:-1]),
    preempted=st.booleans(),
    disturbances=DISTURBANCES,
)
def test_models_are_equal_whatever_happens_to_threads(
    scenario: Scenario, preempted: bool, disturbances: list[tuple[int, str, int]]
) -> None:
    """Stopped, started, interrupted, re-prioritised, dispatched anew, destroyed: at any step."""
    machines = []
    for model in ("interrupt", "process"):
        machine = Machine(model, "partial" if preempted else "none")
        machines.append(machine)
        scenario(machine)
        threads = [each for each in machine.addresses if isinstance(each, Thread)]
        for thread in threads:
            thread.handlers = Handlers(interrupt=CODE - 4096)
            thread.exceptions_enabled = True
        machine.programs[CODE - 4096] = assemble([("burn", 50), *machine.bare_call("thread_return_from_exception")])
        for steps, kind, index in disturbances:
            for _ in range(steps):
                machine.step()
            while machine.core.unfinished is not None:
                machine.step()
            alive = [thread for thread in threads if thread.active]
            if alive:
                first = index % len(alive)
                disturb(machine, kind, alive[first:])
                check(machine.core)
        for thread in threads:
            if thread.active and thread.stopped:
                machine.core.start(thread)
        machine.run()
    assert common(machines[0]) == common(machines[1])
