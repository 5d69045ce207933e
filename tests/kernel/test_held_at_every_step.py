"""Memory can be held between any two steps of the kernel, in the middle of messages too, and nobody can tell."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE, USER_END
from fluke_async.kernel.trace import Event
from tests.kernel.holding import Held
from tests.kernel.invariants import check
from tests.kernel.law_scenarios import SCENARIOS, Scenario
from tests.kernel.test_first_law import Run

KEPT = 4  # holds at a time


def held(run: Run) -> Held:
    """Hold all that programs can see."""
    core, slab = run.machine.core, run.machine.slab
    run.machine.hart.park_resident()
    copy = {
        address - slab: bytes(run.machine.cpu.ram[frame : frame + PAGE_SIZE])
        for address, frame in core.root.frames()
        if address < slab + USER_END
    }
    return Held(core.root.hold(core, slab, USER_END), copy)


@pytest.mark.parametrize("steps", [1, 3])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_memory_can_be_held_between_any_two_steps(scenario: Scenario, steps: int, model: str, preemption: str) -> None:
    undisturbed = Run(scenario, model, preemption)
    undisturbed.to_the_end()
    run = Run(scenario, model, preemption)
    core, number = run.machine.core, 0
    holds: list[tuple[Held, dict[int, bytes]]] = []
    while not run.idle:
        if number % steps == 0 and run.machine.events[-1][1] is not Event.FAULT:  # which is to have its effect
            holds.append((held(run), {}))
            check(core)
        run.step()
        for each, taken in holds:
            taken |= each.hold.take(core, 1 + number % 2)
        if len(holds) > KEPT:
            finish(run, *holds.pop(number % KEPT))
        number += 1
    for each, taken in holds:
        finish(run, each, taken)
    assert number > 5
    assert run.results() == undisturbed.results()
    assert run.completions() == undisturbed.completions()


def finish(run: Run, held: Held, taken: dict[int, bytes]) -> None:
    """Take what is left: all is as it was at the moment."""
    while not held.hold.is_done:
        taken |= held.hold.take(run.machine.core, 100)
    assert taken == held.copy
    held.hold.end(run.machine.core)
    check(run.machine.core)
