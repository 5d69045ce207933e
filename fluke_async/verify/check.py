"""
One check: a program in one configuration, with everything created again at every point.

Chains take all points, each with some undisturbed ones after it; some are also tried alone, in a copy of the process,
where what threads wait for is restored (*parked*), or, at waits, all calls are issued anew (*re-issued*), which is
compared by its outcome, if the program is indifferent to that.
"""

from __future__ import annotations

import gc
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field

from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.verify.branch import Branch, fork
from fluke_async.verify.canonical import Observer
from fluke_async.verify.chain import Chain, comparisons
from fluke_async.verify.closed_run import ClosedRun, Program
from fluke_async.verify.record import PointName, add_states, name_of, record

STRIDE = 7  # a chain takes one point in so many; as many chains take all
BRANCHES = 40  # points that are tried in a copy too, evenly spread
FOLLOWED_POINTS = 60  # behind a point that is tried alone, among which it is compared
REISSUED = 20  # and waits that are tried in the re-issued form
TO_THE_END_EVERY = 10  # one copy in so many runs to the end of the program
NO_POINT: PointName = (0, 0, "no such point", 0, "none", 0)
INSTRUCTION = "instruction"
IN_A_CHAIN, AT_ONCE, PARKED, REISSUED_FORM = "in a chain", "all at once", "parked", "re-issued"
FAILURES_MAX = 5  # a check that has found so many divergences has found enough


@dataclass(frozen=True, slots=True)
class Failure:
    """A point where something differs."""

    number: int
    point: PointName
    form: str
    what: str

    @property
    def is_instant(self) -> bool:
        """Whether the number is an instant, between two instructions."""
        return self.point[2] == INSTRUCTION

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
    harts: int = 1
    seed: int = 0
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
    `only` takes a single one by its number, in a copy, and `instant` one between two instructions; with `at_once`, one
    chain takes one after the other.
    Beside them, `instructions` boundaries between two instructions are taken, evenly spread over the program's time.
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
        instant: int | None = None,
        at_once: bool = False,
    ) -> None:
        self.program = program
        self.result = Result(program.name, model, preemption, program.harts, program.seed)
        self.points_max = points
        self.instructions = instructions
        self.only = only
        self.instant = instant
        self.form, self.stride = (AT_ONCE, 1) if at_once else (IN_A_CHAIN, STRIDE)
        self.branch: Branch | None = None  # in a copy of the process
        self.is_reissued = False

    def run(self) -> Result:
        """Carry the check out. The process must have no other threads, for it forks."""
        result = self.result
        self.undisturbed = record(self.program, result.model, result.preemption)
        result.points = list(self.undisturbed.points)
        self.taken: set[int] = set()
        wanted = [] if self.instant is not None else self._wanted(len(result.points))
        chains = self._chains(wanted)
        alone, reissued = self._alone(wanted)
        states = {number for numbers, instants in chains for number in comparisons(self.undisturbed, numbers, instants)}
        for number in alone | reissued:
            states.update(range(number, number + FOLLOWED_POINTS))
        add_states(self.undisturbed, self.program, result.model, result.preemption, states)
        for numbers, instants in chains:
            self._run_chain(numbers, instants)
        if self.form != AT_ONCE:
            self._run_branches(alone | reissued | {number for number in wanted if number not in self.taken}, reissued)
        result.kernel_points = result.exact = len(self.taken)
        result.coverage = {row for row, number in self.undisturbed.first_of_row.items() if number in self.taken}
        return result

    def _wanted(self, count: int) -> list[int]:
        if self.only is not None:
            return [self.only]
        if self.points_max is None or self.points_max >= count:
            return list(range(count))
        spread = {index * count // self.points_max for index in range(self.points_max)}
        return sorted(spread | set(self.undisturbed.first_of_row.values()))

    # -- chains ------------------------------------------------------------------------------------------------------

    def _chains(self, wanted: Sequence[int]) -> list[tuple[Sequence[int], Sequence[int]]]:
        """Chains as what they take: numbers of points, or instants."""
        if self.instant is not None:
            return [((), [self.instant])]
        if self.only is not None:
            return []
        end, count, point_count = self.undisturbed.end.time, self.instructions, max(1, len(self.result.points))
        instants = sorted({(2 * index + 1) * end // (2 * count) for index in range(count)})
        of_points = -(-self.stride * len(wanted) // point_count)
        of_instants = min(self.stride, -(-self.stride * len(instants) // point_count))
        return [
            *((wanted[first::of_points], ()) for first in range(of_points)),
            *(((), instants[first::of_instants]) for first in range(of_instants)),
        ]

    def _run_chain(self, numbers: Sequence[int], instants: Sequence[int]) -> None:
        """Run a chain; where it breaks, another goes on behind that point."""
        result = self.result
        while (numbers or instants) and len(result.divergences) < FAILURES_MAX:
            chain = Chain(self.program, result.model, result.preemption, self.undisturbed, numbers, instants)
            links = chain.run()
            self.taken |= links.taken
            result.instruction_points += links.instants
            for number, what in links.stalls.items():
                result.stalls.append(self._failure(number, self.form, what))
            if not links.broken:
                return
            if instants:
                name = (links.broken_at, 0, INSTRUCTION, 0, "none", 0)
                result.divergences.append(Failure(links.broken_at, name, self.form, links.broken))
            else:
                result.divergences.append(self._failure(links.broken_at, self.form, links.broken))
            numbers = [number for number in numbers if number > links.broken_at]
            instants = [instant for instant in instants if instant > links.broken_at]

    def _failure(self, number: int, form: str, what: str) -> Failure:
        name = self.result.points[number] if 0 <= number < len(self.result.points) else NO_POINT
        return Failure(number, name, form, what)

    # -- branches ----------------------------------------------------------------------------------------------------

    def _alone(self, wanted: Sequence[int]) -> tuple[set[int], set[int]]:
        """Points to be tried alone, evenly spread; and waits to be tried in the re-issued form."""
        points = self.result.points
        waits = [number for number in wanted if number < len(points) and points[number][2] == Point.WAIT.value]
        reissued = waits[:: max(1, len(waits) // REISSUED)] if self.program.indifferent else []
        return set(wanted[:: max(1, len(wanted) // BRANCHES)]), set(reissued)

    def _run_branches(self, wanted: set[int], reissued: set[int]) -> None:
        """Try points in copies."""
        self.wanted, self.reissued = wanted, reissued
        if not self.wanted or len(self.result.divergences) >= FAILURES_MAX:
            return
        result = self.result
        gc.collect()
        gc.freeze()  # copies share what is there by now, as long as nobody touches it
        self.closed = ClosedRun(self.program, result.model, result.preemption)
        self.observer = Observer(self.closed.hart, self.closed.output.data)
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
            what = f"this point and {len(self.wanted) - 1} others never came in the second run"
            result.divergences.append(self._failure(min(self.wanted), "undisturbed", what))

    def _probe(self, point: Point, thread: Thread) -> bool:
        if self.branch is not None:
            return self.branch.probe(point, thread)
        number = self.undisturbed.points.get(name_of(self.closed.core, point, thread))
        if number is None or number not in self.wanted or len(self.result.divergences) >= FAILURES_MAX:
            return False
        self.wanted.discard(number)
        self.taken.add(number)
        if self._branch_off(number, parked=True):
            return True
        return number in self.reissued and self._branch_off(number, parked=False)

    def _branch_off(self, number: int, *, parked: bool) -> bool:
        """Try a point in a copy; True in the copy, where all has been created again."""
        to_the_end = not parked or number % TO_THE_END_EVERY == 0
        branch = fork(self.closed, self.undisturbed, self.observer, to_the_end=to_the_end)
        if isinstance(branch, Branch):
            self.branch, self.is_reissued = branch, not parked
            branch.recreate(parked=parked)
            return True
        if not parked:
            self.result.outcome += 1
        form = PARKED if parked else REISSUED_FORM
        if branch.divergence:
            self.result.divergences.append(self._failure(number, form, branch.divergence))
        if branch.stall:
            self.result.stalls.append(self._failure(number, form, branch.stall))
        return False
