"""Several harts: the first of the ready run at a time, in turns that end at exact counts of instructions."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS, SHORT_TURN_INSTRUCTIONS, TURN_INSTRUCTIONS
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

COARSE = 10**7
ENDLESS = ["again", ("burn", 7), ("add", "s0", "s0", 1), ("jump", "again")]


def rounds(machine: Machine, thread: Thread) -> int:
    """How often a thread has been round its endless loop."""
    return machine.register(thread, "s0")


def run_for(machine: Machine, instructions: int) -> None:
    machine.run_for(instructions)
    machine.hart.park_resident()


@pytest.mark.parametrize("harts", [1, 2, 4])
def test_as_many_threads_run_as_there_are_harts(model: str, harts: int) -> None:
    """Those of the highest priorities, each for its share of the turns."""
    machine = Machine(model, effort=COARSE, harts=harts)
    threads = [machine.spawn(ENDLESS, priority=20 - number) for number in range(5)]
    run_for(machine, 4 * harts * TURN_INSTRUCTIONS)
    for thread in threads[:harts]:
        assert rounds(machine, thread) == pytest.approx(4 * TURN_INSTRUCTIONS / 9, abs=1)
    assert [rounds(machine, thread) for thread in threads[harts:]] == [0] * (5 - harts)


def test_hart_without_a_thread_of_its_own_takes_no_turn(model: str) -> None:
    machine = Machine(model, effort=COARSE, harts=4)
    thread = machine.spawn(("burn", 10 * TURN_INSTRUCTIONS))
    machine.run()
    assert machine.done(thread)
    assert len(machine.happened(Event.SWITCH)) == 1
    assert machine.core.time == 10 * TURN_INSTRUCTIONS


def test_turns_end_at_exact_counts_and_come_round(model: str) -> None:
    machine = Machine(model, effort=COARSE, harts=2)
    one, other = (machine.spawn(ENDLESS) for _ in range(2))
    run_for(machine, 10 * TURN_INSTRUCTIONS)
    assert [event[:1] + event[2:] for event in machine.happened(Event.SWITCH)] == [
        (number * TURN_INSTRUCTIONS, (one, other)[number % 2].hash) for number in range(10)
    ]


def test_time_slice_is_what_a_thread_has_used_itself(model: str) -> None:
    machine = Machine(model, effort=COARSE, harts=2)
    threads = [machine.spawn(ENDLESS) for _ in range(3)]
    run_for(machine, 2 * QUANTUM_INSTRUCTIONS + 1)
    ended = machine.happened(Event.QUANTUM)
    assert [event[2] for event in ended] == [threads[0].hash, threads[1].hash]
    assert all(event[0] == pytest.approx(2 * QUANTUM_INSTRUCTIONS, abs=TURN_INSTRUCTIONS) for event in ended)


def contention(model: str, preemption: str, effort: int, **options: Any) -> list[tuple[Any, ...]]:
    """Threads that want the same mutex, and long messages beside them: what happened."""
    machine = Machine(model, preemption, effort=effort, **options)
    mutex, service = machine.new(Mutex), Service(machine)
    holders = [
        machine.spawn(
            [[*machine.call("mutex_lock", mutex=mutex), ("burn", 90), *machine.call("mutex_unlock", mutex=mutex)]] * 5
        )
        for _ in range(3)
    ]
    service.server(room=4000)
    client, _ = service.client([1] * 4000)
    machine.run()
    assert machine.done(*holders, client)
    return [event for event in machine.events if not event[1].model]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("harts", [2, 4])
def test_slices_of_host_time_cannot_be_seen(model: str, preemption: str, harts: int, seed: int) -> None:
    coarse, fine = (contention(model, preemption, effort, harts=harts, seed=seed) for effort in (COARSE, 1))
    assert coarse == fine


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("harts", [1, 2, 4])
def test_models_do_the_same(harts: int, seed: int) -> None:
    for preemption in ("none", "partial"):
        both = [contention(model, preemption, COARSE, harts=harts, seed=seed) for model in ("interrupt", "process")]
        assert both[0] == both[1]


@pytest.mark.parametrize("harts", [1, 2, 4])
def test_each_seed_is_another_interleaving(model: str, harts: int) -> None:
    runs = [contention(model, "partial", COARSE, harts=harts, seed=seed) for seed in range(8)]
    assert len({tuple(run) for run in runs}) == len(runs)


def test_drawn_turns_are_short(model: str) -> None:
    machine = Machine(model, effort=COARSE, harts=2, seed=5)
    for _ in range(2):
        machine.spawn(ENDLESS)
    run_for(machine, 1000 * SHORT_TURN_INSTRUCTIONS)
    times = [event[0] for event in machine.happened(Event.SWITCH)]
    assert all(time % SHORT_TURN_INSTRUCTIONS == 0 for time in times)
    lengths = [later - earlier for earlier, later in pairwise(times)]
    assert min(lengths) == SHORT_TURN_INSTRUCTIONS < max(lengths) < 20 * SHORT_TURN_INSTRUCTIONS
    assert 400 < len(times) < 600
