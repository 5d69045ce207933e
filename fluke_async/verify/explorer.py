"""
The interleavings of a small program, one run after the other.

Wherever several threads might go on, a run has a choice: at every trap, wait, return and marked point where the
configuration lets a thread be preempted. Usually the thread that ran last goes on or, where it cannot or its time slice
has ended, the first in order. A schedule says where a run departs from that, and whom it takes instead. All schedules
with at most so many departures are run, those with few first, each from the start; for most mistakes that depend on
order need few (delay-bounded scheduling: Emmi, Qadeer and Rakamaric, POPL '11). What a thread does between two traps is
one step.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, NamedTuple

from fluke_async.kernel.turns import Turns

if TYPE_CHECKING:
    from fluke_async.kernel.objects.thread import Thread
    from fluke_async.kernel.scheduler import Scheduler

UNLIMITED = 1 << 62


class Departure(NamedTuple):
    """At the choice of this number, the candidate of that number goes on."""

    choice: int
    candidate: int


Schedule = tuple[Departure, ...]


class Explorer(Turns):
    """
    Turns that follow a schedule; `choices` has of each that came how many candidates it had, and the usual one.

    A turn goes on until its thread traps, or for `length` instructions: with one, there is a choice at each.
    """

    def __init__(self, harts: int, schedule: Schedule = (), length: int = UNLIMITED) -> None:
        super().__init__(harts)
        self.length = length
        self.schedule = dict(schedule)
        self.choices: list[tuple[int, int]] = []
        self.on_departure: Callable[[], None] | None = None  # called before each
        self._last: Thread | None = None  # who was chosen
        self._run_order = 0  # its place then: another, once its time slice has ended
        self._moment: tuple[int, ...] = ()

    def choose(self, scheduler: Scheduler) -> Thread | None:
        """Who goes on; no choice is taken twice, though the kernel may ask twice."""
        candidates = self._candidates(scheduler)
        if not candidates:
            return None
        last, number = self._last, 0
        if last is not None and last in candidates and last.run_order == self._run_order:
            number = candidates.index(last)
        if len(candidates) > 1 and self._moment != (moment := _moment(scheduler)):
            self._moment = moment
            number = self._take(len(candidates), number)
        self._last = chosen = candidates[number]
        if self.harts == 1:
            for thread in candidates[:number]:
                scheduler.end_quantum(thread)
                self._moment = _moment(scheduler)
        self._run_order = chosen.run_order
        return chosen

    def left(self, time: int) -> int:
        """A turn is as long wherever it begins."""
        return self.length

    def _take(self, count: int, usual: int) -> int:
        """Take the next choice: the usual candidate or, where the schedule departs from it, another."""
        number = self.schedule.get(len(self.choices), usual)
        assert number < count, "the schedule is another program's"
        self.choices.append((count, usual))
        if number != usual and self.on_departure is not None:
            self.on_departure()
        return number

    def _candidates(self, scheduler: Scheduler) -> list[Thread]:
        """Who might go on: whoever runs on a hart; on a single one, who would if time slices ended."""
        if self.harts > 1:
            return scheduler.ready.first(self.harts)
        head = scheduler.ready.head()
        if head is None or head.interruptible:
            return [] if head is None else [head]
        priority = head.effective_priority
        return list(takewhile(lambda thread: thread.effective_priority == priority, scheduler.ready.in_order()))


def _moment(scheduler: Scheduler) -> tuple[int, ...]:
    """What has changed whenever anything has happened; a thread may come to its end in no time."""
    statistics = scheduler.statistics
    return scheduler.time, scheduler.stamp, statistics.system_calls, statistics.interrupts, len(scheduler.ready)


@dataclass(slots=True)
class Explored:
    """How many schedules were run, the most choices in one, whether that was all; what failed, and which schedule."""

    schedules: int = 0
    choices: int = 0
    is_complete: bool = True
    failure: str = ""
    failing: Schedule = ()


def explore(
    attempt: Callable[[Explorer], str],
    harts: int,
    departures: int = UNLIMITED,
    limit: int = UNLIMITED,
    length: int = UNLIMITED,
) -> Explored:
    """
    Run every schedule with at most so many departures, but no more than `limit` schedules, until one fails.

    `attempt` runs the program from its start, with the explorer as its kernel's turns, and says what is wrong, or
    nothing.
    """
    explored = Explored()
    waiting: deque[Schedule] = deque([()])
    while waiting and not explored.failure:
        if explored.schedules == limit:
            explored.is_complete = False
            break
        schedule = waiting.popleft()
        explorer = Explorer(harts, schedule, length)
        explored.failure, explored.failing = attempt(explorer), schedule
        explored.schedules += 1
        explored.choices = max(explored.choices, len(explorer.choices))
        if len(schedule) < departures:
            waiting.extend((*schedule, another) for another in _others(explorer, schedule))
    return explored


def _others(explorer: Explorer, schedule: Schedule) -> Iterator[Departure]:
    """Where else a run could have departed, behind its last departure."""
    for number in range(schedule[-1].choice + 1 if schedule else 0, len(explorer.choices)):
        count, usual = explorer.choices[number]
        yield from (Departure(number, candidate) for candidate in range(count) if candidate != usual)
