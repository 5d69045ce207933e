"""
Programs under many interleavings: `python -m fluke_async.verify.interleavings`.

Small programs go through all schedules that depart little from the usual one, and through short turns that are drawn
by one seed after the other. Whatever the interleaving, a program must end as it does undisturbed, with the same output
if that does not tell the time, and the invariants of the kernel must hold wherever a schedule departs.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from typing import NamedTuple

from fluke_async.execution.configuration import CONFIGURATIONS, Configuration
from fluke_async.kernel.turns import Turns
from fluke_async.verify.closed_run import ClosedRun, Program
from fluke_async.verify.explorer import UNLIMITED, Departure, Explored, Explorer, Schedule, explore
from fluke_async.verify.invariants import check
from fluke_async.verify.programs import program
from fluke_async.verify.record import End

COMMAND = "python -m fluke_async.verify.interleavings"
SMALL: dict[str, tuple[str, ...]] = {
    "memtest": ("8",),
    "pingpong": ("1", "1"),
    "bounded_buffer": ("1", "1", "2", "1"),
    "philosophers": ("2", "1"),
    "pipeline": ("1", "1"),
    "rpc_server": ("1", "1"),
    "primes": ("30", "2"),
    "bulk": ("1", "64"),
    "pager": ("8",),
}
"""Programs with arguments that make them small."""

TELLING_TIME = ("pingpong",)
"""Their output says how long things took."""

LONGER = 20  # times as long as undisturbed: so long may a program take
HARTS = (1, 2, 4)
DEPARTURES, SCHEDULES, SEEDS = 2, 400, 100  # by default


def outcome(named: Program, configuration: Configuration, turns: Turns | None, instructions_max: int) -> End:
    """How a program ends that takes these turns; it is cut off after so many instructions."""
    run = ClosedRun(named, *configuration)
    core = run.core

    def look() -> None:
        if core.current is not None and core.current.waiting_for is not None:
            core.current = None  # it has just come to wait
        check(core)

    if isinstance(turns, Explorer):
        turns.on_departure = look
    try:
        core.turns = turns
        while run.step() and core.time < instructions_max:
            pass
        check(core)
        return End(run.exit, bytes(run.output.data), core.time)
    finally:
        run.close()


class Interleavings:
    """A program in one configuration, on so many harts as it says."""

    def __init__(self, named: Program, configuration: Configuration) -> None:
        self.program = named
        self.configuration = configuration
        self.expected = outcome(replace(named, harts=1, seed=0), configuration, None, UNLIMITED)
        self.instructions_max = LONGER * self.expected.time + 1_000_000

    def explore(self, departures: int, limit: int = UNLIMITED) -> Explored:
        """All schedules with so many departures, at most `limit`."""
        return explore(self.wrong_under, self.program.harts, departures, limit)

    def draw(self, seeds: Sequence[int]) -> Explored:
        """Turns drawn by each of these seeds: as many schedules as were tried, the last of which may have failed."""
        explored = Explored(is_complete=False)
        for seed in seeds:
            explored.schedules += 1
            explored.failure = self.wrong_under(Turns(self.program.harts, seed))
            if explored.failure:
                break
        return explored

    def wrong_under(self, turns: Turns | None) -> str:
        """What is wrong about the program's end under some turns, or in a plain run; empty if nothing is."""
        try:
            end = outcome(self.program, self.configuration, turns, self.instructions_max)
        except Exception:  # noqa: BLE001  (whatever the kernel raises is wrong)
            return traceback.format_exc()
        if end.exit != self.expected.exit:
            return f"it ended with {end.exit}, not {self.expected.exit}, after {end.output[-200:]!r}"
        if end.output != self.expected.output and self.program.name not in TELLING_TIME:
            return f"it wrote {end.output[-200:]!r}, not {self.expected.output[-200:]!r}"
        return ""


class Task(NamedTuple):
    """What one process does: a program on so many harts, and how thoroughly."""

    name: str
    harts: int
    configuration: Configuration
    departures: int
    schedules: int
    seeds: Sequence[int]

    def __str__(self) -> str:
        return f"{self.name} --cpus {self.harts} --configuration {'-'.join(self.configuration)}"


class Found(NamedTuple):
    """What came of a task; `failures` are in words, each with the command that shows it again."""

    schedules: int
    is_complete: bool
    seeds: int
    failures: list[str]


def carry_out(task: Task) -> Found:
    """Explore and draw."""
    interleavings = Interleavings(named(task.name, task.harts), task.configuration)
    explored = interleavings.explore(task.departures, task.schedules)
    drawn = interleavings.draw(task.seeds)
    failures = []
    if explored.failure:
        where = ",".join(f"{departure.choice}:{departure.candidate}" for departure in explored.failing)
        failures.append(f"{explored.failure}; again: {COMMAND} {task} --schedule {where or 'usual'}")
    if drawn.failure:
        failures.append(f"{drawn.failure}; again: {COMMAND} {task} --seed {task.seeds[drawn.schedules - 1]}")
    return Found(explored.schedules, explored.is_complete, drawn.schedules, failures)


def named(name: str, harts: int) -> Program:
    """A program by its name, or NAME:ARGUMENT,...; without arguments, one that is small."""
    title, _, arguments = name.partition(":")
    return program(title, tuple(arguments.split(",")) if arguments else SMALL.get(title), harts)


def run(tasks: Sequence[Task]) -> Iterator[tuple[Task, Found]]:
    """Carry out tasks on all processors; as they come to their ends."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(os.cpu_count(), mp_context=context) as pool:
        futures = {pool.submit(carry_out, task): task for task in tasks}
        for future in as_completed(futures):
            yield futures[future], future.result()


def show_again(task: Task, schedule: Schedule | None) -> str:
    """What is wrong under one schedule, or under the one seed of the task."""
    interleavings = Interleavings(named(task.name, task.harts), task.configuration)
    if schedule is not None:
        return interleavings.wrong_under(Explorer(task.harts, schedule))
    return interleavings.draw(task.seeds).failure


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit status."""
    by_name = {"-".join(each): each for each in CONFIGURATIONS}
    parser = argparse.ArgumentParser(prog=COMMAND, description="Run programs under many interleavings.")
    parser.add_argument("programs", nargs="*", metavar="NAME[:ARGUMENT,...]", help="default: some small ones")
    parser.add_argument("--cpus", type=int, help="harts; 1, 2 and 4 in turn if it is not given")
    parser.add_argument("--configuration", choices=by_name, help="one alone; all if it is not given")
    parser.add_argument("--departures", type=int, default=DEPARTURES, help="how often a schedule may depart")
    parser.add_argument("--schedules", type=int, default=SCHEDULES, help="at most, of each")
    parser.add_argument("--seeds", type=int, default=SEEDS, help="how many, of each")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--schedule", help="this one alone: CHOICE:CANDIDATE,... or usual")
    options = parser.parse_args(arguments)
    seeds = range(1, options.seeds + 1) if options.seed is None else (options.seed,)
    tasks = [
        Task(name, harts, configuration, options.departures, options.schedules, seeds)
        for name in options.programs or SMALL
        for harts in ((options.cpus,) if options.cpus else HARTS)
        for text, configuration in by_name.items()
        if options.configuration in (None, text)
    ]
    if options.seed is not None or options.schedule is not None:
        schedule = None if options.schedule is None else _schedule(options.schedule)
        failures = [failure for task in tasks if (failure := show_again(task, schedule))]
        sys.stdout.write("\n".join(failures or ["nothing wrong"]) + "\n")
        return 1 if failures else 0
    began, schedules, drawn, failed = time.perf_counter(), 0, 0, 0
    for task, found in run(tasks):
        how = "all" if found.is_complete else "the first"
        result = "\n".join(found.failures) or "nothing wrong"
        sys.stdout.write(f"{task}: {how} {found.schedules:,} schedules, {found.seeds:,} seeds: {result}\n")
        sys.stdout.flush()
        schedules, drawn, failed = schedules + found.schedules, drawn + found.seeds, failed + len(found.failures)
    took = time.perf_counter() - began
    sys.stdout.write(f"{schedules:,} schedules, {drawn:,} drawn interleavings, {failed} failures, in {took:.0f} s\n")
    return 1 if failed else 0


def _schedule(text: str) -> Schedule:
    pairs = (part.split(":") for part in text.split(",") if part != "usual")
    return tuple(Departure(int(choice), int(candidate)) for choice, candidate in pairs)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
