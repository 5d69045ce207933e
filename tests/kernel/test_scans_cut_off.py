"""
Calls that look through a region can be cut off after any few pages, and everything created again there.

Between two steps of such a call its arguments say all that remains. The same where it touches its program's memory:
what it has asked by then it asks again, and is told the same.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.kernel.trace import Event
from tests.kernel.invariants import check
from tests.kernel.machine import STEPS_MAX, Machine, Part, Value
from tests.kernel.memory_tree import HERE, Tree
from tests.kernel.recreation import recreate

PAGES, ROOM = 7, 40
SIZE = PAGES * PAGE_SIZE
Scenario = Callable[[Machine], tuple[int, int]]


class Scan:
    """A program that looks through a region by several calls; `log` has what they found, and their arguments after."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.tree = Tree(machine, pages=PAGES, depth=2)
        self.region = self.tree.regions[1]
        self.array = machine.buffer([0] * (PAGE_SIZE // 8 + ROOM)) + PAGE_SIZE - 24  # it passes the end of a page
        self.log = machine.buffer([0] * ROOM)
        self.logged = 0

    def call(self, name: str, capacity: int, since: int = 0) -> list[Part]:
        """The first call of a round."""
        array = "objects" if name == "region_search" else "offsets"
        first: dict[str, Value] = {"region": self.region, "size": SIZE, array: self.array, "capacity": capacity}
        if name == "region_changed":
            first["since"] = since
        return [self.machine.call(name, **first), *self.keep()]

    def go_on(self, name: str, capacity: int) -> list[Part]:
        """The call again where it was, with more room."""
        again: list[Part] = [("li", "a0", self.machine.addresses[self.region]), ("li", "a4", capacity)]
        return [*again, self.machine.bare_call(name), *self.keep()]

    def next_round(self, name: str, capacity: int) -> list[Part]:
        """The first call of the next round, since the generation of the one before."""
        since: list[Part] = [("add", "a5", "a6", 0), ("li", "a6", 0), ("li", "a1", 0), ("li", "a2", SIZE)]
        return [*since, *self.go_on(name, capacity)]

    def keep(self) -> list[Part]:
        """Note the arguments."""
        registers = ("a0", "a1", "a2", "a3", "a4", "a6")
        place = self.log + 8 * self.logged
        self.logged += len(registers)
        return [self.machine.keep(name, place + 8 * number) for number, name in enumerate(registers)]

    @property
    def place(self) -> tuple[int, int]:
        """Where the results are, and how many words."""
        return self.array, (self.log - self.array) // 8 + ROOM


def searched(machine: Machine) -> tuple[int, int]:
    """A few objects at a time."""
    scan = Scan(machine)
    places = (0, 16, *(page * PAGE_SIZE - 16 for page in range(1, 8)))
    machine.spawn(*(machine.call("mutex_create", mutex=HERE + place) for place in places), space=scan.tree.space)
    machine.run()
    name = "region_search"
    machine.spawn(
        scan.call(name, 12), scan.call(name, 2), scan.go_on(name, 1), scan.go_on(name, 0), scan.go_on(name, 10)
    )
    return scan.place


def watched(machine: Machine) -> tuple[int, int]:
    """Two rounds, between which the same program and another one have written."""
    scan = Scan(machine)
    see = machine.new_space()
    machine.map(see, scan.region, HERE, SIZE)

    def stores(*pages: int) -> list[Part]:
        return [("store", "s2", "zero", HERE + page * PAGE_SIZE) for page in pages]

    machine.spawn(*stores(0, 1, 2, 4, 6), space=see)
    machine.run()
    name = "region_changed"
    machine.spawn(
        scan.call(name, 2),
        scan.go_on(name, 8),
        stores(6, 1, 3),
        scan.next_round(name, 1),
        stores(0, 2),
        scan.go_on(name, 8),
        scan.next_round(name, 8),
        space=see,
    )
    machine.spawn(("burn", 30), *stores(5), ("burn", 60), *stores(4), space=see, priority=20)
    return scan.place


class Run:
    """A run of a scenario whose calls visit few pages in a step; a forgetful one loses its tables all the time."""

    def __init__(
        self, scenario: Scenario, model: str, preemption: str, *, forgetful: bool = False, pages: int = 2
    ) -> None:
        self.machine = Machine(model, preemption)
        self.machine.core.visited_pages = min(pages, self.machine.core.visited_pages)
        self.forgetful = forgetful
        self.place = scenario(self.machine)
        self.idle = False

    def step(self) -> None:
        self.idle = self.machine.step() is Outcome.IDLE
        if self.forgetful and self.machine.events[-1][1] is not Event.FAULT:  # which is to have its effect
            self.machine.core.tables.empty()

    def repeat(self, steps: int) -> None:
        """The first steps of a run that was checked."""
        self.machine.is_checked = False
        for _ in range(steps):
            self.step()
        self.machine.is_checked = True

    def to_the_end(self) -> None:
        for _ in range(STEPS_MAX):
            if self.idle:
                break
            self.step()
        assert self.idle

    def outcome(self) -> tuple[list[int], int]:
        """What the program has got, and when it was done."""
        return self.machine.read(*self.place), self.machine.core.time


@pytest.mark.parametrize("parked", [True, False], ids=["parked", "reissued"])
@pytest.mark.parametrize("scenario", [searched, watched])
def test_everything_can_be_created_again_between_any_two_steps(
    scenario: Scenario, parked: bool, model: str, preemption: str
) -> None:
    undisturbed = Run(scenario, model, preemption)
    undisturbed.to_the_end()
    steps = in_calls = 0
    while True:
        run = Run(scenario, model, preemption)
        run.repeat(steps)
        if run.idle:
            break
        in_calls += any(isinstance(each, Thread) and each.in_kernel for each in run.machine.core.objects.values())
        recreate(run.machine, parked=parked)
        check(run.machine.core)
        run.to_the_end()
        assert run.outcome() == undisturbed.outcome(), f"after {steps} steps"
        steps += 1
    assert in_calls > 3


@pytest.mark.parametrize("kind", [Point.TRAP, Point.SOFT_FAULT, Point.RETURN])
@pytest.mark.parametrize("scenario", [searched, watched])
def test_everything_can_be_created_again_at_every_point(
    scenario: Scenario, kind: Point, model: str, preemption: str
) -> None:
    """Also in the middle of a step, where it touches a page that is in no table."""
    undisturbed = Run(scenario, model, preemption)
    undisturbed.to_the_end()
    results = undisturbed.outcome()[0]
    number = 0
    while True:
        run = Run(scenario, model, preemption, forgetful=kind is Point.SOFT_FAULT)
        at = number

        def probe(point: Point, thread: Thread, run: Run = run) -> bool:
            nonlocal at
            at -= point is kind
            if at != -1:
                return False
            at -= 1
            recreate(run.machine)
            return True

        run.machine.core.probe = probe
        run.to_the_end()
        assert run.outcome()[0] == results, f"at point {number}"
        if at >= 0:
            break
        number += 1
    assert number > 4


def test_calls_find_the_same_whatever_a_step_visits() -> None:
    for scenario in (searched, watched):
        results = []
        for pages in (1, 2, 3, 5, 64):
            run = Run(scenario, "interrupt", "none", pages=pages)
            run.machine.effort = 10**9
            run.to_the_end()
            results.append(run.outcome()[0])
        assert all(result == results[0] for result in results)
        assert any(results[0])
