"""Verification in short: some points of some programs, and what the check itself is made of."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.verify.branch import Verdict
from fluke_async.verify.campaign import differing_models, missed_rows, summary
from fluke_async.verify.canonical import Observer
from fluke_async.verify.check import Failure, Result
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.coverage import rows
from fluke_async.verify.programs import ARGUMENTS, program
from fluke_async.verify.record import add_states, record
from tests.tidy import ROOT

POINTS = 12  # of each program in each configuration


def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `fluke verify` in a process of its own: it forks."""
    command = [sys.executable, "-m", "fluke_async", "verify", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)


@pytest.mark.timeout(900)
def test_nothing_differs_at_some_points_of_every_program() -> None:
    result = verify("--points", str(POINTS), "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.returncode == 0, found["failures"]
    assert found["programs"].keys() == ARGUMENTS.keys()
    assert found["divergences"] == found["stalls"] == 0
    assert found["kernel_points"] > 10 * len(CONFIGURATIONS) * len(ARGUMENTS)
    assert found["exact"] >= 0.8 * found["kernel_points"]
    assert found["points"] > found["kernel_points"]
    for checks in found["programs"].values():
        configurations = {(each["model"], each["preemption"]) for each in checks}
        assert configurations == set(CONFIGURATIONS)
        assert all(each["kernel_points"] > 10 for each in checks)


def test_a_point_can_be_taken_alone() -> None:
    result = verify("hello", "--point", "7", "--model", "process", "--preemption", "none", "--json")
    found = json.loads(result.stdout)
    assert result.returncode == 0
    assert found["kernel_points"] == 1
    assert [list(found["programs"]), len(found["programs"]["hello"])] == [["hello"], 1]


def test_a_point_that_does_not_come_is_a_failure() -> None:
    result = verify("hello", "--point", "9999", "--json")
    found = json.loads(result.stdout)
    assert result.returncode == 1
    assert found["kernel_points"] == 0
    assert "never came" in found["failures"][0]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--points", "few"], "--points few is no number"),
        (["--points", "0"], "--points 0 is too small"),
        (["--all", "hello"], "--all and hello exclude each other"),
        (["hello", "hello"], "named twice"),
        (["no-such-program"], "no-such-program"),
        (["--model", "both"], "both"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: list[str], complaint: str) -> None:
    result = verify(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["primes", "bulk", "bounded_buffer"])
def test_both_models_pass_through_the_same_points_and_states(name: str, preemption: str) -> None:
    interrupt = record(program(name), "interrupt", preemption)
    process = record(program(name), "process", preemption)
    for run, model in ((interrupt, "interrupt"), (process, "process")):
        add_states(run, program(name), model, preemption, run.returns.keys())
    assert list(interrupt.points) == list(process.points)
    assert interrupt.returns == process.returns
    assert interrupt.states == process.states
    assert interrupt.states.keys() == interrupt.returns.keys()
    assert interrupt.completed == process.completed
    assert interrupt.end == process.end
    assert len(interrupt.points) > 50


def test_the_state_tells_every_part_of_a_kernel_apart() -> None:
    run = ClosedRun(program("primes"), "interrupt", "none")
    observer = Observer(run.hart, run.output.data)
    thread, first = run.threads[0], observer.state()
    assert observer.state() == first
    run.core.time += 5
    assert first.difference(observer.state()) == "time"
    run.core.time -= 5
    thread.pc += 4
    assert first.difference(observer.state()) == "threads"
    thread.pc -= 4
    run.core.ready.remove(thread)
    assert first.difference(observer.state()) == "queues"
    run.core.ready.push((-thread.priority, thread.run_order, thread))
    _, frame = next(run.core.root.frames())
    run.cpu.ram[frame + 77] ^= 1
    assert first.difference(observer.state()) == "memory"
    run.cpu.ram[frame + 77] ^= 1
    run.output.data += b"!"
    assert first.difference(observer.state()) == "output"
    del run.output.data[-1:]
    assert observer.state() == first
    run.close()


def test_a_run_shows_every_trap_and_every_return() -> None:
    run = ClosedRun(program("hello"), "interrupt", "none")
    seen: list[Point] = []

    def probe(point: Point, thread: Thread) -> bool:
        assert thread.active
        seen.append(point)
        return False

    run.run(probe)
    calls = run.core.statistics.system_calls
    run.close()
    assert run.exit == ("exited", 0)
    assert bytes(run.output.data) == b"Hello, you!\n"
    assert seen.count(Point.TRAP) >= calls > 5
    assert seen.count(Point.RETURN) + seen.count(Point.WAIT) == calls


def test_every_call_has_rows_to_cover() -> None:
    wanted = list(rows())
    assert len(wanted) == len(set(wanted))
    for entry in ENTRY_POINTS:
        assert f"{entry.name} trap" in wanted
    assert "mutex_lock wait on cond" in wanted
    assert "cond_broadcast marked" in wanted


def result_with(**fields: Any) -> Result:
    return Result("p", "interrupt", "none", **fields)


def test_a_row_that_no_program_passes_is_missed() -> None:
    count, missed = missed_rows([result_with(coverage=set(rows()) - {"mutex_lock wait on mutex"})])
    assert count == len(list(rows()))
    assert missed == ["interrupt-none: mutex_lock wait on mutex"]


def test_models_that_pass_through_other_points_differ() -> None:
    one = result_with(points=[(1, 2, "trap", 3, "hello", 0)])
    other = Result("p", "process", "none", points=[(1, 2, "trap", 4, "hello", 0)])
    assert differing_models([one, one]) == []
    assert "point 0 is" in differing_models([one, other])[0]
    assert summary([one, other])["divergences"] == 1


def test_a_failure_says_where_and_what() -> None:
    failure = Failure(3, (10, 11, "wait", 0x40, "mutex_lock", 12), "parked", "memory")
    assert str(failure) == "point 3 (wait of thread 11 in mutex_lock at 10, pc 0x40), parked: memory"
    assert Verdict() == Verdict(divergence="", stall="")
