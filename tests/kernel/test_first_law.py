"""
The state that a thread exports is complete: at every point of a scenario, everything is destroyed and created again.

With what threads wait for restored, nothing can tell the difference: the same calls end at the same times. Dispatched
from the registers instead, the results are the same.
"""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import ObjectType
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.invariants import check
from tests.kernel.law_scenarios import SCENARIOS, Scenario, conditions, preempted_broadcasts
from tests.kernel.machine import STEPS_MAX, Machine
from tests.kernel.recreation import recreate
from tests.kernel.scheduled import scheduled_threads

ORDER_OF_CALLS_MATTERS = (  # a call that is issued again
    conditions,  # returns, though nobody has signalled
    preempted_broadcasts,
    scheduled_threads,  # waits only when its thread is given time for it
)


class Run:
    """One run of a scenario, step by step."""

    def __init__(self, scenario: Scenario, model: str, preemption: str) -> None:
        self.machine = Machine(model, preemption)
        self.place = scenario(self.machine)
        self.idle = False

    def step(self) -> None:
        self.idle = self.machine.step() is Outcome.IDLE
        for request in self.machine.requests:
            receiver = request.port.receiver
            assert receiver is not None
            receiver(request)
            self.idle = False
        self.machine.requests.clear()

    def repeat(self, steps: int) -> None:
        """The first steps of a run that was checked."""
        self.machine.is_checked = False
        for _ in range(steps):
            self.step()
        self.machine.is_checked = True

    def to_the_end(self) -> None:
        for _ in range(STEPS_MAX):
            if self.idle:
                return
            self.step()
        raise AssertionError("the scenario does not end")

    def results(self) -> list[int]:
        return self.machine.read(*self.place)

    def completions(self) -> list[tuple[Any, ...]]:
        return [event for event in self.machine.events if event[1] in (Event.FINISH, Event.COMPLETE)]


@pytest.mark.parametrize("parked", [True, False], ids=["parked", "reissued"])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_everything_can_be_created_again_at_every_point(
    scenario: Scenario, parked: bool, model: str, preemption: str
) -> None:
    undisturbed = Run(scenario, model, preemption)
    undisturbed.to_the_end()
    assert any(undisturbed.results())
    points = 0
    while True:
        run = Run(scenario, model, preemption)
        run.repeat(points)
        if run.idle:
            break
        before = waits(run.machine)
        captured = recreate(run.machine, parked=parked)
        check(run.machine.core)
        assert {record.address: record.wait for record in captured if record.wait} == {
            address: (entry, target, order) for address, (entry, target, order, _) in before.items()
        }
        if parked:
            assert waits(run.machine) == before
        run.to_the_end()
        changes_order = scenario in ORDER_OF_CALLS_MATTERS and not parked
        arranged = sorted if changes_order else list
        assert arranged(run.results()) == arranged(undisturbed.results()), f"after {points} steps"
        if parked:
            assert run.completions() == undisturbed.completions(), f"after {points} steps"
            assert run.machine.core.time == undisturbed.machine.core.time
        points += 1
    assert points > 8


def waits(machine: Machine) -> dict[int, tuple[int, int, int, int]]:
    """What every thread that waits has left: entry point, waiting for, order, priority."""
    threads = [each for each in machine.core.objects.values() if isinstance(each, Thread)]
    return {
        thread.address: (
            thread.registers[ENTRY_POINT],
            record.waiting_for.address,
            record.wait_order,
            -record.negative_priority,
        )
        for thread in threads
        if (record := thread.continuation) is not None
    }


def test_the_scenarios_pass_through_every_kind_of_wait() -> None:
    seen = set()
    for scenario in SCENARIOS:
        run = Run(scenario, "interrupt", "partial")
        while not run.idle:
            run.step()
            for each in run.machine.core.objects.values():
                if isinstance(each, Thread) and each.waiting_for is not None:
                    seen.add((run.machine.core.entry_name(each), each.waiting_for.type))
    expected = {(entry.name, type_) for entry in ENTRY_POINTS for type_ in entry.waits_on}
    assert seen == expected | {("fault", ObjectType.PORT), ("fault", ObjectType.THREAD)}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_everything_can_be_created_again_at_all_points_of_one_run(
    scenario: Scenario, model: str, preemption: str
) -> None:
    undisturbed = Run(scenario, model, preemption)
    undisturbed.to_the_end()
    run = Run(scenario, model, preemption)
    progress: list[Any] = []
    while not run.idle:
        before, progress = progress, [run.machine.core.time, *run.completions()]
        if progress != before:  # each point once, or it never gets on
            recreate(run.machine)
        run.step()
    assert run.results() == undisturbed.results()
    assert run.completions() == undisturbed.completions()
