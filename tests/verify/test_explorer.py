"""The explorer runs every interleaving once, and none beyond what it is told; what fails under one fails again."""

from __future__ import annotations

from collections.abc import Callable
from math import comb
from typing import Any

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS
from fluke_async.verify.explorer import UNLIMITED, Departure, Explorer, explore
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

COARSE = 10**6
Order = tuple[Any, ...]
MANY = pytest.mark.parametrize("harts", [1, 2, 4])


def threads_of(*steps: int) -> Callable[[Machine], Callable[[], str]]:
    """Threads that trap so often each, the last time at their ends; nothing can go wrong."""

    def make(machine: Machine) -> Callable[[], str]:
        for count in steps:
            machine.spawn([machine.call("thread_self")] * (count - 1))
        return lambda: ""

    return make


def counting_unprotected(machine: Machine) -> Callable[[], str]:
    """Two threads that read a count and write it, with a trap in between: one of the two can be lost."""
    count = machine.buffer(1)
    for _ in range(2):
        machine.spawn(
            ("load", "s0", "zero", count),
            machine.call("thread_self"),
            ("add", "s0", "s0", 1),
            machine.keep("s0", count),
        )
    return lambda: "" if machine.word(count) == 2 else f"{machine.word(count)} counted"


class Runs:
    """Runs a scene under one explorer after the other, and notes in which order things happened."""

    def __init__(self, make: Callable[[Machine], Callable[[], str]], *configuration: str) -> None:
        self.make, self.configuration = make, configuration
        self.orders: list[Order] = []

    def __call__(self, explorer: Explorer) -> str:
        machine = Machine(*self.configuration, effort=COARSE, memory_bytes=1 << 20)
        judge = self.make(machine)
        machine.core.turns = explorer
        machine.run()
        self.orders.append(tuple(event[1:3] for event in machine.events))
        return judge()


@MANY
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_two_threads_have_as_many_interleavings_as_their_steps_can_be_laid_out(harts: int, steps: int) -> None:
    runs = Runs(threads_of(steps, steps))
    explored = explore(runs, harts)
    assert explored.is_complete
    assert explored.schedules == len(set(runs.orders)) == comb(2 * steps, steps)


@pytest.mark.parametrize(("harts", "count"), [(1, 90), (2, 24), (4, 90)])
def test_only_who_runs_on_a_hart_is_a_candidate(harts: int, count: int) -> None:
    """
    Three threads of two steps each.

    On two harts the third comes when one has ended: the other has then done none of its steps (1 way, and what is left
    can be laid out in 6) or one (2 ways, and 3); and either of the two can be the one.
    """
    runs = Runs(threads_of(2, 2, 2))
    assert explore(runs, harts).schedules == len(set(runs.orders)) == count
    assert 2 * (1 * 6 + 2 * 3) == 24
    assert comb(6, 2) * comb(4, 2) == 90


@MANY
@pytest.mark.parametrize(("departures", "count"), [(0, 1), (1, 1 + 3), (2, 1 + 3 + 3 * 2), (6, 20)])
def test_no_schedule_departs_more_often_than_it_may(harts: int, departures: int, count: int) -> None:
    """Of two threads of three steps: at each step of the first, and then at each but the first of the second's."""
    runs = Runs(threads_of(3, 3))
    explored = explore(runs, harts, departures)
    assert explored.is_complete
    assert explored.schedules == len(set(runs.orders)) == count


@pytest.mark.parametrize("harts", [1, 4])
def test_thread_that_ends_in_no_time_leaves_a_choice_to_the_others(harts: int) -> None:
    """Each traps at once: no instruction is retired, no stamp given, no call made."""
    runs = Runs(threads_of(1, 1, 1))
    assert explore(runs, harts).schedules == len(set(runs.orders)) == 3 * 2


@MANY
def test_limit_leaves_the_rest(harts: int) -> None:
    assert explore(Runs(threads_of(3, 3)), harts, limit=20).is_complete
    explored = explore(Runs(threads_of(3, 3)), harts, limit=19)
    assert (explored.schedules, explored.is_complete) == (19, False)


def test_kernel_that_asks_twice_gets_one_answer() -> None:
    """At a marked point it asks whether somebody else is to run, and if so, who: this is one choice."""

    def make(machine: Machine) -> Callable[[], str]:
        service = Service(machine)
        service.server(room=2 * COPY_CHUNK_WORDS)
        machine.run()
        service.client([0] * 2 * COPY_CHUNK_WORDS)
        machine.spawn(machine.call("thread_self"))
        return lambda: ""

    for harts in (1, 4):
        counts = {}
        for preemption in ("none", "partial"):
            runs = Runs(make, "interrupt", preemption)
            counts[preemption] = explore(runs, harts).schedules
            assert counts[preemption] == len(set(runs.orders))
        assert counts["none"] < counts["partial"]


@MANY
def test_turns_of_one_instruction_have_a_choice_at_each(harts: int) -> None:
    """Four instructions and a trap that retires none, of both."""

    def make(machine: Machine) -> Callable[[], str]:
        for _ in range(2):
            machine.spawn([("add", "s0", "s0", 1)] * 4)
        return lambda: ""

    assert explore(Runs(make), harts, length=1).schedules == comb(10, 5)
    assert explore(Runs(make), harts).schedules == comb(2, 1)


@MANY
def test_failing_schedule_fails_again_and_no_shorter_one_does(harts: int) -> None:
    runs = Runs(counting_unprotected)
    explored = explore(runs, harts)
    assert explored.failure == "1 counted"
    assert len(explored.failing) == 1
    assert runs(Explorer(harts, explored.failing)) == "1 counted"
    assert runs.orders[-1] == runs.orders[-2]
    assert runs(Explorer(harts)) == ""


def test_explored_until_one_fails() -> None:
    def attempt(explorer: Explorer) -> str:
        runs(explorer)
        return "wrong" if len(runs.orders) == 7 else ""

    runs = Runs(threads_of(3, 3))
    explored = explore(attempt, 1)
    assert (explored.schedules, explored.failure) == (7, "wrong")


def test_schedule_of_another_program_is_refused() -> None:
    with pytest.raises(AssertionError, match="another program's"):
        Runs(threads_of(2, 2))(Explorer(1, (Departure(1, 7),)))


def test_turns_are_endless_by_default() -> None:
    assert Explorer(2).left(123) == UNLIMITED
