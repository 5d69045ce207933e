"""What an undisturbed run was: its points in order, and its state wherever a thread returned to its program."""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

from fluke_async.abi.entry_points import BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.verify.canonical import Observer, State
from fluke_async.verify.closed_run import ClosedRun, Program
from fluke_async.verify.coverage import rows_of

PointName = tuple[int, int, str, int, str, int]


def name_of(core: Core, point: Point, thread: Thread) -> PointName:
    """
    What tells a point from all others, before and after everything was created again.

    Time, thread, kind, program counter, the call that the registers name, and the hash of what the thread waits for.
    """
    entry = BY_NUMBER.get(thread.registers[ENTRY_POINT])
    name = "none" if entry is None else entry.name
    waits_for = 0 if thread.waiting_for is None else thread.waiting_for.hash
    return core.time, thread.hash, point.value, thread.pc, name, waits_for


@dataclass(frozen=True, slots=True)
class End:
    """How a program ended."""

    exit: tuple[str, int] | None
    output: bytes
    time: int


@dataclass(slots=True)
class UndisturbedRun:
    """
    The record of one run: its points, numbered in order, and the first that belongs to each row of the coverage.

    `returns` are the times of the points of return, by their numbers. `states` says for some of these, by their
    numbers, the state, and how many calls had been completed.
    """

    points: dict[PointName, int] = field(default_factory=dict)
    returns: dict[int, int] = field(default_factory=dict)
    states: dict[int, tuple[State, int]] = field(default_factory=dict)
    first_of_row: dict[str, int] = field(default_factory=dict)
    completed: list[tuple[Any, ...]] = field(default_factory=list)
    end: End = End(None, b"", 0)


def record(program: Program, model: str, preemption: str) -> UndisturbedRun:
    """Run a program and take everything down but the states."""
    run = ClosedRun(program, model, preemption)
    result = UndisturbedRun()

    def probe(point: Point, thread: Thread) -> bool:
        name = name_of(run.core, point, thread)
        if name not in result.points:
            number = result.points[name] = len(result.points)
            for row in rows_of(run.core, point, thread, run.threads):
                result.first_of_row.setdefault(row, number)
            if point is Point.RETURN:
                result.returns[number] = run.core.time
        return False

    try:
        run.run(probe)
        result.completed = run.completed
        result.end = End(run.exit, bytes(run.output.data), run.core.time)
    finally:
        run.close()
    return result


def add_states(
    undisturbed: UndisturbedRun, program: Program, model: str, preemption: str, wanted: AbstractSet[int]
) -> None:
    """Run the program once more and take the states down, at the points of return of these numbers."""
    run = ClosedRun(program, model, preemption)
    observer = Observer(run.hart, run.output.data)
    points, states = undisturbed.points, undisturbed.states

    def probe(point: Point, thread: Thread) -> bool:
        if point is Point.RETURN:
            number = points[name_of(run.core, point, thread)]
            if number in wanted and number not in states:
                states[number] = (observer.state(), len(run.completed))
        return False

    try:
        run.run(probe)
    finally:
        run.close()
