"""
One check: a program in one configuration, with a branch at every point.

Each point is taken once. Its branch restores what threads wait for (*parked*) and is compared exactly. At some waits a
second branch issues all calls anew (*re-issued*) and is compared by its outcome, if the program is indifferent to that;
and some branches of the first kind run to the end of the program.
"""

from __future__ import annotations

import gc
import traceback
from dataclasses import dataclass, field

from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.verify.branch import Branch, fork
from fluke_async.verify.canonical import Observer
from fluke_async.verify.closed_run import ClosedRun, Program
from fluke_async.verify.coverage import rows_of
from fluke_async.verify.record import PointName, name_of, record

TO_THE_END_EVERY = 50  # one branch in so many runs to the end of the program
REISSUED_EVERY = 10  # one wait in so many is tried in the re-issued form too
NO_POINT: PointName = (0, 0, "no such point", 0, "none", 0)
FAILURES_MAX = 5  # a check that has found so many divergences has found enough


@dataclass(frozen=True, slots=True)
class Failure:
    """A point where something differs."""

    number: int
    point: PointName
    form: str
    what: str

    def __str__(self) -> str:
        time, thread, kind, pc, entry, _ = self.point
        place = f"{kind} of thread {thread} in {entry} at {time}, pc {pc:#x}"
        return f"point {self.number} ({place}), {self.form}: {self.what}"


@dataclass(slots=True)
class Result:
    """What a check has found; `coverage` are the rows of the table that were taken."""

    program: str
    model: str
    preemption: str
    kernel_points: int = 0
    instruction_points: int = 0
    exact: int = 0
    outcome: int = 0
    divergences: list[Failure] = field(default_factory=list)
    stalls: list[Failure] = field(default_factory=list)
    coverage: set[str] = field(default_factory=set)
    points: list[PointName] = field(default_factory=list)


class Check:
    """
    A program under one execution model and one kind of preemption.

    `points` bounds how many kernel points are taken: evenly spread ones, and the first of each row of the coverage;
    `only` takes a single one by its number. Beside them, `instructions` boundaries between two instructions are taken,
    evenly spread over the program's time.
    """

    def __init__(
        self,
        program: Program,
        model: str,
        preemption: str,
        *,
        points: int | None = None,
        instructions: int = 0,
        only: int | None = None,
    ) -> None:
        self.program = program
        self.result = Result(program.name, model, preemption)
        self.points_max = points
        self.instructions = instructions
        self.only = only
        self.branch: Branch | None = None  # in a copy of the process
        self.is_reissued = False

    def run(self) -> Result:
        """Carry the check out. The process must have no other threads, for it forks."""
        result = self.result
        self.undisturbed = record(self.program, result.model, result.preemption)
        result.points = list(self.undisturbed.points)
        self.wanted = self._wanted(len(result.points))
        gc.collect()
        gc.freeze()  # copies share what is there by now, as long as nobody touches it
        self.closed = ClosedRun(self.program, result.model, result.preemption)
        self.observer = Observer(self.closed.hart, self.closed.output.data)
        self.closed.on_pause = self._take_instruction_point
        for index in range(self.instructions):
            self.closed.pause_at((2 * index + 1) * self.undisturbed.end.time // (2 * self.instructions))
        try:
            self.closed.run(self._probe)
        except BaseException:
            if self.branch is None:
                raise
            self.branch.report(traceback.format_exc())
        if self.branch is not None:
            self.branch.report(self.branch.difference_at_end(exact=not self.is_reissued))
        self.closed.close()
        gc.unfreeze()
        if self.wanted and len(result.divergences) < FAILURES_MAX:
            number = min(self.wanted)
            name = result.points[number] if number < len(result.points) else NO_POINT
            what = f"this point and {len(self.wanted) - 1} others never came in the second run"
            result.divergences.append(Failure(number, name, "undisturbed", what))
        return result

    def _wanted(self, count: int) -> set[int]:
        if self.only is not None:
            return {self.only}
        if self.points_max is None or self.points_max >= count:
            return set(range(count))
        spread = {index * count // self.points_max for index in range(self.points_max)}
        return spread | set(self.undisturbed.first_of_row.values())

    def _probe(self, point: Point, thread: Thread) -> bool:
        if self.branch is not None:
            return self.branch.probe(point, thread)
        name = name_of(self.closed.core, point, thread)
        number = self.undisturbed.points.get(name)
        if number is None or number not in self.wanted or len(self.result.divergences) >= FAILURES_MAX:
            return False
        self.wanted.discard(number)
        self.result.kernel_points += 1
        self.result.coverage.update(rows_of(self.closed.core, point, thread, self.closed.threads))
        if self._branch_off(number, name, parked=True):
            return True
        wanted_anew = point is Point.WAIT and number % REISSUED_EVERY == 0 and self.program.indifferent
        return wanted_anew and self._branch_off(number, name, parked=False)

    def _take_instruction_point(self) -> None:
        core = self.closed.core
        thread = core.ready.head() or next(iter(self.closed.threads), None)
        if self.branch is not None or thread is None or len(self.result.divergences) >= FAILURES_MAX:
            return
        self.result.instruction_points += 1
        name = (core.time, thread.hash, "instruction", thread.pc, "none", 0)
        self._branch_off(self.result.instruction_points, name, parked=True)

    def _branch_off(self, number: int, name: PointName, *, parked: bool) -> bool:
        """Try a point in a copy; True in the copy, where all has been created again."""
        to_the_end = not parked or number % TO_THE_END_EVERY == 0
        branch = fork(self.closed, self.undisturbed, self.observer, to_the_end=to_the_end)
        if isinstance(branch, Branch):
            self.branch, self.is_reissued = branch, not parked
            branch.recreate(parked=parked)
            return True
        if not parked:
            self.result.outcome += 1
        elif name[2] != "instruction":
            self.result.exact += 1
        form = "parked" if parked else "re-issued"
        if branch.divergence:
            self.result.divergences.append(Failure(number, name, form, branch.divergence))
        if branch.stall:
            self.result.stalls.append(Failure(number, name, form, branch.stall))
        return False
