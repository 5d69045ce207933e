"""Programs end well under many interleavings, on any number of harts; what goes wrong comes with its schedule."""

from __future__ import annotations

import pytest

from fluke_async.execution.configuration import Configuration
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.verify import interleavings
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.interleavings import HARTS, SMALL, Interleavings, Task, carry_out, named

CONFIGURATION_OF = {
    1: Configuration("interrupt", "partial"),
    2: Configuration("process", "full"),
    4: Configuration("process", "none"),
}
FULL = Configuration("process", "full")


@pytest.mark.parametrize("harts", HARTS)
@pytest.mark.parametrize("name", SMALL)
def test_program_ends_well_whoever_goes_on(name: str, harts: int) -> None:
    found = carry_out(Task(name, harts, CONFIGURATION_OF[harts], departures=1, schedules=60, seeds=range(1, 4)))
    assert found.failures == []
    assert found.schedules > 5
    assert found.seeds == 3


def test_schedules_differ_in_what_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not each of them in which calls are completed, but most."""
    runs: list[tuple[object, ...]] = []
    close = ClosedRun.close

    def note(run: ClosedRun) -> None:
        runs.append(tuple(run.completed))
        close(run)

    small = Interleavings(named("bounded_buffer", 2), FULL)
    monkeypatch.setattr(ClosedRun, "close", note)
    explored = small.explore(departures=1)
    assert explored.is_complete
    assert len(runs) == explored.schedules
    assert len(set(runs)) > explored.schedules / 2


def test_what_fails_is_told_with_the_command_that_shows_it_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mutex that forgets who waits, which nobody does as long as threads take turns as usual."""

    def forget(mutex: Mutex, core: Core) -> None:
        mutex.own(core, None)

    task = Task("philosophers:2,1", 2, FULL, departures=2, schedules=400, seeds=())
    assert carry_out(task).failures == []
    monkeypatch.setattr(Mutex, "hand_over", forget)
    (failure,) = carry_out(task).failures
    command = failure.rpartition("; again: ")[2]
    assert command.startswith(interleavings.COMMAND)
    assert interleavings.main(command.removeprefix(interleavings.COMMAND).split()) == 1
