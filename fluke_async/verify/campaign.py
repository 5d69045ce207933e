"""A campaign: many checks side by side, what they found together, and what the table has that none of them passed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, TypeVar

from fluke_async.verify.check import AT_ONCE, Check, Failure, Result
from fluke_async.verify.closed_run import Program
from fluke_async.verify.coverage import rows
from fluke_async.verify.report import name_of, options_of

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Task:
    """One check to be carried out; the fields are `Check`'s."""

    program: Program
    model: str
    preemption: str
    points: int | None = None
    instructions: int = 0
    only: int | None = None
    instant: int | None = None
    at_once: bool = False


def carry_out(task: Task) -> Result:
    """Carry out one check."""
    return Check(
        task.program,
        task.model,
        task.preemption,
        points=task.points,
        instructions=task.instructions,
        only=task.only,
        instant=task.instant,
        at_once=task.at_once,
    ).run()


def run(tasks: Sequence[Task], on_result: Callable[[Result], None] | None = None) -> list[Result]:
    """Carry out checks on all processors; `on_result` sees each as it comes. In the order of `tasks`."""
    return side_by_side(carry_out, tasks, on_result)


def side_by_side(work: Callable[[T], R], tasks: Sequence[T], on_result: Callable[[R], None] | None = None) -> list[R]:
    """Do the same with each of many things, on all processors."""
    context = multiprocessing.get_context("spawn")  # a process that forks must have no threads
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        futures = [pool.submit(work, task) for task in reversed(tasks)]  # the longest come last in the table
        for future in as_completed(futures):
            if on_result is not None:
                on_result(future.result())
        return [future.result() for future in reversed(futures)]


def differing_models(results: Iterable[Result]) -> list[str]:
    """Where the two models do not pass through the same points, under the same preemption: none, if all is well."""
    first: dict[tuple[str, str], Result] = {}
    found = []
    for each in results:
        one = first.setdefault((each.program, each.preemption), each)
        for number, (mine, theirs) in enumerate(zip_longest(one.points, each.points)):
            if mine != theirs:
                found.append(
                    f"{each.program}, {each.preemption}: point {number} is {mine} in the {one.model} model, "
                    f"{theirs} in the {each.model} model"
                )
                break
    return found


def missed_rows(results: Sequence[Result]) -> tuple[int, list[str]]:
    """How many rows there are to cover in the configurations that were run, and those that no program passed."""
    configurations = sorted({(each.model, each.preemption) for each in results})
    missed, count = [], 0
    for model, preemption in configurations:
        runs = [each for each in results if (each.model, each.preemption) == (model, preemption)]
        hit = set().union(*(each.coverage for each in runs))
        wanted = list(rows())
        count += len(wanted)
        missed += [f"{model}-{preemption}: {row}" for row in wanted if row not in hit]
    return count, missed


def summary(results: Sequence[Result]) -> dict[str, Any]:
    """The whole as one JSON object."""
    programs: dict[str, list[dict[str, Any]]] = {}
    for each in results:
        programs.setdefault(each.program, []).append(
            {
                "model": each.model,
                "preemption": each.preemption,
                "kernel_points": each.kernel_points,
                "instruction_points": each.instruction_points,
                "exact": each.exact,
                "outcome": each.outcome,
                "divergences": len(each.divergences),
                "stalls": len(each.stalls),
            }
        )
    differing = differing_models(results)
    row_count, missed = missed_rows(results)
    kernel_points = sum(each.kernel_points for each in results)
    return {
        "programs": programs,
        "points": kernel_points + sum(each.instruction_points for each in results),
        "kernel_points": kernel_points,
        "exact": sum(each.exact for each in results),
        "outcome": sum(each.outcome for each in results),
        "divergences": sum(len(each.divergences) for each in results) + len(differing),
        "stalls": sum(len(each.stalls) for each in results),
        "coverage": {"rows": row_count, "hit": row_count - len(missed), "missed": missed},
        "failures": [
            f"{name_of(each)}: {failure}\n  {replay(each, failure)}"
            for each in results
            for failure in (*each.divergences, *each.stalls)
        ]
        + differing,
    }


def replay(result: Result, failure: Failure) -> str:
    """The command that shows a failure again, alone if it comes alone."""
    command = f"fluke verify {options_of(result)}"
    if failure.form == AT_ONCE:
        return f"{command} --all-points-at-once"
    return f"{command} {'--instant' if failure.is_instant else '--point'} {failure.number}"
