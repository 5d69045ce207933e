"""The processor loop: exact time slices, exact instants, and slices of host time that nobody can see."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, ExceptionCode
from fluke_async.cpu.scripted_cpu import FILES_MAX
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from fluke_async.kernel.trace import Event
from tests.execution.scenarios import SCENARIOS, Scenario, play
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

COARSE = 10**7


def switches(machine: Machine) -> list[tuple[int, int]]:
    return [(event[0], event[2]) for event in machine.happened(Event.SWITCH)]


@pytest.mark.parametrize("effort", [777, 100_000, COARSE])
def test_time_slice_ends_at_its_exact_instruction(model: str, effort: int) -> None:
    machine = Machine(model, effort=effort)
    first, second = (machine.spawn(("burn", 5 * QUANTUM_INSTRUCTIONS // 2)) for _ in range(2))
    machine.run()
    quantum = QUANTUM_INSTRUCTIONS
    assert [(event[0] // quantum, event[0] % quantum) for event in machine.happened(Event.QUANTUM)] == [
        (n, 0) for n in range(1, 5)
    ]
    assert switches(machine) == [
        *((n * quantum, (first, second)[n % 2].hash) for n in range(5)),
        (9 * quantum // 2, second.hash),
    ]


def test_kernel_work_is_paid_by_the_time_slice(model: str) -> None:
    """A slice that a call uses up ends when the call does."""
    machine = Machine(model)
    mutex = machine.new(Mutex)
    machine.spawn(
        ("burn", QUANTUM_INSTRUCTIONS - 3),
        machine.call("mutex_lock", mutex=mutex),
        ("burn", 100),
    )
    machine.effort = COARSE
    other = machine.spawn(("burn", 1))
    machine.run()
    (quantum,) = machine.happened(Event.QUANTUM)
    assert quantum[0] == QUANTUM_INSTRUCTIONS - 3 + 2 + 60  # two instructions, and the cost of the call
    assert switches(machine)[1] == (quantum[0], other.hash)


def test_waking_and_completing_do_not_refill_the_time_slice(model: str) -> None:
    machine = Machine(model, effort=COARSE)
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    sleeper = machine.spawn(("burn", 1000), machine.call("mutex_lock", mutex=mutex), ("burn", 500))
    machine.run()
    left = QUANTUM_INSTRUCTIONS - 1000 - 2
    assert sleeper.waiting_for is mutex
    assert sleeper.quantum_left == left
    machine.core.wake(sleeper)
    machine.run()
    assert sleeper.waiting_for is mutex
    assert sleeper.quantum_left == left
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference())
    assert machine.done(sleeper)
    assert sleeper.quantum_left == left - 500  # who completes a call pays for it


def test_higher_priority_runs_at_the_instant_it_becomes_ready(machine: Machine) -> None:
    machine.effort = COARSE
    low = machine.spawn(("burn", 10_000), priority=5)
    high = machine.spawn(("burn", 10), priority=6, start=False)
    machine.start_at(1234, high)
    machine.run()
    assert switches(machine) == [(0, low.hash), (1234, high.hash), (1244, low.hash)]
    assert low.quantum_left == QUANTUM_INSTRUCTIONS - 10_000


def test_threads_of_one_priority_take_turns_in_the_order_they_became_ready(machine: Machine) -> None:
    threads = [machine.spawn(("burn", 10)) for _ in range(4)]
    machine.run()
    assert [hash_ for _, hash_ in switches(machine)] == [thread.hash for thread in threads]


def test_actions_happen_at_their_instants_in_the_order_of_asking(machine: Machine) -> None:
    machine.effort = COARSE
    happened: list[tuple[str, int]] = []
    for name, instant in (("b", 500), ("c", 500), ("a", 100), ("d", 0)):
        machine.core.at(instant, lambda name=name: happened.append((name, machine.core.time)))  # type: ignore[misc]
    machine.spawn(("burn", 1000))
    machine.run()
    assert happened == [("d", 0), ("a", 100), ("b", 500), ("c", 500)]


def test_budget_ends_at_its_exact_instruction(machine: Machine) -> None:
    machine.effort = COARSE
    thread = machine.spawn(("burn", 1000))
    account = machine.space.account
    account.instructions_left = 300
    assert machine.hart.run(COARSE) is Outcome.ATTENTION
    assert machine.core.time == 300
    assert account.instructions_left == 0
    assert thread.pc == min(machine.programs) + 300 * 4
    machine.core.attention = False
    assert machine.hart.run(COARSE) is Outcome.IDLE
    account.instructions_left += 10_000
    machine.core.settle(account)
    machine.run()
    assert machine.done(thread)
    assert account.instructions_left == 10_000 - 700


def test_idle_when_nobody_can_run(machine: Machine) -> None:
    assert machine.hart.run(1) is Outcome.IDLE
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    assert machine.hart.run(1) is Outcome.IDLE
    assert machine.core.current is None


def test_registers_belong_to_their_thread(machine: Machine) -> None:
    """Integer and floating-point registers survive other threads, and are zero at the start."""
    machine.effort = COARSE
    threads = [
        machine.spawn(
            ("fmv", "s3", "f7"),
            ("li", "s2", number),
            ("fli", "f7", number + 100),
            ("burn", 2 * QUANTUM_INSTRUCTIONS),
            ("fmv", "s4", "f7"),
        )
        for number in range(1, 4)
    ]
    machine.run()
    for number, thread in enumerate(threads, 1):
        found = [machine.register(thread, name) for name in ("s2", "s3", "s4")]
        assert found == [number, 0, number + 100]


def test_registers_belong_to_their_thread_in_whatever_space(model: str) -> None:
    """More spaces than the processor has register files, two threads in each; one in three uses floating point."""
    machine = Machine(model, effort=COARSE)
    spaces = [machine.new_space() for _ in range(2 * FILES_MAX)]
    threads = []
    for number in range(4 * FILES_MAX):
        uses_floating = number % 3 == 0
        floating = [("fmv", "s3", "f7"), ("fli", "f7", number + 100)] if uses_floating else []
        threads.append(
            machine.spawn(
                ("li", "s2", number),
                *floating,
                ("burn", 3 * QUANTUM_INSTRUCTIONS),
                ("fmv", "s4", "f7"),
                space=spaces[number // 2],
            )
        )
    machine.run()
    for number, thread in enumerate(threads):
        found = [machine.register(thread, name) for name in ("s2", "s3", "s4")]
        assert found == [number, 0, number + 100 if number % 3 == 0 else 0]


def test_state_loaded_between_two_turns_is_what_the_thread_goes_on_with(model: str) -> None:
    """Its registers were in the processor still: what is loaded replaces them, floating point and all."""
    machine = Machine(model, effort=COARSE)
    victim = machine.spawn(
        ("li", "s2", 1),
        ("burn", 2 * QUANTUM_INSTRUCTIONS),
        ("fmv", "s4", "f7"),
        ("add", "s5", "s2", 0),
        space=machine.new_space(),
    )
    machine.spawn(("burn", 2 * QUANTUM_INSTRUCTIONS), space=machine.new_space())
    machine.run_for(QUANTUM_INSTRUCTIONS + 100)
    assert machine.hart.resident is not victim
    assert isinstance(victim.registers, memoryview), "where it ran last, as this test means to have it"
    machine.core.current = None
    machine.core.stop(victim)
    state = victim.export_bits()
    x, f = (list(words) for words in (state["x"], state["f"]) if isinstance(words, tuple))
    assert x[18] == 1
    x[18], f[7] = 2, 77
    victim.import_state(machine.core, None, {**state, "x": tuple(x), "f": tuple(f)}, {})
    machine.core.start(victim)
    machine.run()
    assert [machine.register(victim, name) for name in ("s2", "s4", "s5")] == [2, 77, 2]


@pytest.mark.parametrize("read_out", [False, True])
def test_state_loaded_into_the_resident_thread_is_what_it_goes_on_with(model: str, read_out: bool) -> None:
    """Nobody else has run since: what the processor has of it counts no more."""
    machine = Machine(model, effort=COARSE)
    victim = machine.spawn(("fli", "f7", 5), ("burn", 1000), ("fmv", "s4", "f7"), ("add", "s5", "s2", 0))
    machine.run_for(500)
    assert machine.hart.resident is victim
    machine.core.current = None
    machine.core.stop(victim)
    state = victim.export_bits()
    x, f = (list(words) for words in (state["x"], state["f"]) if isinstance(words, tuple))
    x[18], f[7] = 2, 77
    victim.import_state(machine.core, None, {**state, "x": tuple(x), "f": tuple(f)}, {})
    if read_out:
        machine.hart.park_resident()
    machine.core.start(victim)
    machine.run()
    assert [machine.register(victim, name) for name in ("s4", "s5")] == [77, 2]


def test_reservations_do_not_survive_another_thread(machine: Machine) -> None:
    machine.effort = COARSE
    cell = machine.buffer(1)
    victim = machine.spawn(
        ("li", "s2", cell),
        ("load", "s3", "s2", 0),  # the page is there, and the trap over, before the pair
        ("lr", "s3", "s2"),
        ("burn", 1000),
        ("li", "s4", 5),
        ("sc", "s5", "s4", "s2"),
        priority=5,
    )
    other = machine.spawn(("li", "s2", cell), ("li", "s3", 9), ("store", "s3", "s2", 0), priority=6, start=False)
    machine.start_at(500, other)
    machine.run()
    assert machine.register(victim, "s5") == 1
    assert machine.word(cell) == 9


@pytest.mark.parametrize(
    ("step", "code"),
    [
        (("illegal",), ExceptionCode.ILLEGAL_INSTRUCTION),
        (("ebreak",), ExceptionCode.BREAKPOINT),
        (("load", "s2", "zero", 0x4000_0000), ExceptionCode.LOAD_FAULT),
        (("store", "s2", "zero", 0x4000_0000), ExceptionCode.STORE_FAULT),
        (("jr", "zero"), ExceptionCode.FETCH_FAULT),
        (("lr", "s2", "sp"), ExceptionCode.MISALIGNED_ADDRESS),
    ],
)
def test_traps_of_the_processor_are_exceptions(machine: Machine, step: tuple[Any, ...], code: ExceptionCode) -> None:
    thread = machine.spawn(("li", "sp", 4), ("burn", 7), step)
    machine.run()
    assert thread.exception is not None
    assert thread.exception[0] is code
    assert machine.core.time == 8 + (step[0] == "jr")  # what traps is not counted


def test_interrupted_client_gives_way_to_its_server(model: str) -> None:
    """Dropping the call readies a server of a higher priority: it runs before the handler does."""
    machine = Machine(model, "partial", effort=COARSE)
    service = Service(machine)
    words = 4 * COPY_CHUNK_WORDS
    server = service.server(room=words, priority=20)
    client, _ = service.client(
        [1] * words,
        work=(("burn", 100),),
        priority=10,
        parts=(
            ("jump", "end"),
            "handler",
            ("burn", 50_000),
            machine.bare_call("thread_return_from_exception"),
            "end",
        ),
        interrupt_handler="handler",
    )
    interrupter = machine.spawn(machine.call("thread_interrupt", thread=client), priority=15, start=False)
    machine.start_at(1500, interrupter)
    machine.run()
    order = [event[2] for event in machine.happened(Event.SWITCH)]
    after = order[order.index(interrupter.hash) + 1 :]
    assert after[:3] == [client.hash, server.hash, client.hash]
    assert machine.done(client)
    (taken,) = machine.happened(Event.INTERRUPT)
    woken = [event[0] for event in machine.happened(Event.WAIT, server) if event[0] >= taken[0]]
    assert woken[0] < taken[0] + 1000


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_slices_are_invisible(scenario: Scenario, model: str, preemption: str) -> None:
    """Slices of any effort, with breaths at marked points or without, give the same trace."""
    traces = [play(scenario, model, preemption, effort).events for effort in (1, 1000, 5000, 10**6)]
    assert traces[0] == traces[1] == traces[2] == traces[3]
