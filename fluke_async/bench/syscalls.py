"""
The table of system calls by class: how many there are, and what the host spends on one.

The time of a call is what the dispatcher takes from its trap until it ends, waits or is cut off, in a run of
`usertests`, which makes every call; of a class, the median over its calls of the median of each. The paper's numbers
are recalled, not read, and stand beside ours for the shape alone.
"""

from __future__ import annotations

import platform
import statistics
import time
from importlib.metadata import version
from typing import Any, NamedTuple

from fluke_async.abi.entry_point import Class
from fluke_async.abi.entry_points import BY_NUMBER, ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.errors import FlukeError
from fluke_async.execution.configuration import MODELS, Preemption
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.kernel.objects.thread import Thread
from fluke_async.programs import find_program
from fluke_async.verify.closed_run import ClosedRun, Program

RECALLED = {Class.TRIVIAL: 8, Class.SHORT: 68, Class.LONG: 8, Class.MULTI_STAGE: 23}
"""The OSDI '99 paper's table of the same name, from memory."""
CONFIGURATION = ("interrupt", "partial")
PROGRAM = "usertests"
RUNS = 5
EXAMPLES = 3


class Stopwatch(Dispatcher):
    """A dispatcher that notes how long each call takes, in seconds, by the number of the entry point."""

    def __init__(self, run: ClosedRun) -> None:
        model, preemption = CONFIGURATION
        super().__init__(run.core, MODELS[model](), Preemption(preemption))
        self.seconds: dict[int, list[float]] = {}

    def dispatch(self, thread: Thread) -> None:
        """Carry out a call, and note how long that took."""
        number = thread.registers[ENTRY_POINT]
        begun = time.perf_counter()
        super().dispatch(thread)
        if number in BY_NUMBER:
            self.seconds.setdefault(number, []).append(time.perf_counter() - begun)


class Timing(NamedTuple):
    """Microseconds of a call of some class: the median of the runs, the least and the greatest."""

    median: float
    least: float
    greatest: float


def time_calls(runs: int = RUNS) -> dict[Class, Timing]:
    """
    The time of a call of each class.

    Raises:
        FlukeError: the program that makes the calls has failed.
    """
    medians: dict[Class, list[float]] = {each: [] for each in Class}
    for _ in range(runs):
        seconds = _time_once()
        for each, found in medians.items():
            calls = [statistics.median(taken) for number, taken in seconds.items() if _class_of(number) is each]
            found.append(statistics.median(calls) * 1e6)
    return {each: Timing(statistics.median(found), min(found), max(found)) for each, found in medians.items()}


def _time_once() -> dict[int, list[float]]:
    run = ClosedRun(Program(PROGRAM, find_program(PROGRAM)), *CONFIGURATION)
    stopwatch = run.hart.dispatcher = Stopwatch(run)
    try:
        run.run()
    finally:
        run.close()
    if run.exit != ("exited", 0):
        raise FlukeError(f"{PROGRAM}, which makes the calls that are measured, ended with {run.exit}; rebuild it")
    return stopwatch.seconds


def _class_of(number: int) -> Class:
    return BY_NUMBER[number].call_class


def report(timings: dict[Class, Timing]) -> dict[str, Any]:
    """The table as JSON has it: a row for each class, and every entry point."""
    rows = []
    for each in Class:
        names = [entry.name for entry in ENTRY_POINTS if entry.call_class is each]
        timing = timings[each]
        rows.append(
            {
                "class": each.value,
                "count": len(names),
                "percent": round(100 * len(names) / len(ENTRY_POINTS), 1),
                "examples": names[:EXAMPLES],
                "recalled_count": RECALLED[each],
                "recalled_percent": round(100 * RECALLED[each] / sum(RECALLED.values()), 1),
                "us": round(timing.median, 2),
                "us_min": round(timing.least, 2),
                "us_max": round(timing.greatest, 2),
            }
        )
    entries = [
        {
            "name": entry.name,
            "number": entry.number,
            "class": entry.call_class.value,
            "restarts_as": list(entry.restarts_as),
        }
        for entry in ENTRY_POINTS
    ]
    return {
        "table": "syscalls",
        "host": {"machine": platform.machine(), "system": platform.system(), "python": platform.python_version()},
        "version": version("fluke_async"),
        "configuration": "-".join(CONFIGURATION),
        "rows": rows,
        "entry_points": entries,
    }
