"""
A chain: one run of a program in which everything is created again at many points, one after the other.

What a branch does in a copy of the process, a chain does in the run itself: after each re-creation it goes on for some
points, and at the last return to a program before the next one its canonical state, and the calls completed since the
last comparison, must be those of the undisturbed run. Where they are, the run is as good as undisturbed, and so the
next point is taken as it would be alone. Chains that begin at different points take every point between them, a
hundred times faster than copies; and where each point is the next, all are taken at once. A chain ends with its first
difference. At the end of the program the whole outcome is compared.
"""

from __future__ import annotations

import signal
import traceback
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType

from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.verify.canonical import Observer
from fluke_async.verify.closed_run import ClosedRun, Program
from fluke_async.verify.record import End, UndisturbedRun, name_of
from fluke_async.verify.recreate import recreate

CHAIN_S = 60  # of the processor's time, in which a chain that comes to no point to take or to compare at hangs


@dataclass(slots=True)
class Links:
    """What a chain has come to: the points taken; where it broke, if it did, and how; and stalls by their points.

    A place is the number of a point or, in a chain of instants, an instant.
    """

    taken: set[int] = field(default_factory=set)
    instants: int = 0
    broken_at: int = 0
    broken: str = ""
    stalls: dict[int, str] = field(default_factory=dict)


class _Broken(Exception):
    """What differs."""


class Chain:
    """
    The chain through the points of some numbers, which are those of an undisturbed run of the same program.

    Or it goes through some instants, between two instructions each.
    """

    def __init__(
        self,
        program: Program,
        model: str,
        preemption: str,
        undisturbed: UndisturbedRun,
        numbers: Sequence[int],
        instants: Sequence[int] = (),
    ) -> None:
        self.undisturbed = undisturbed
        self.links = Links()
        self._numbers, self._instants = numbers, instants
        self._next = 0  # in one of these
        self._returns = sorted(undisturbed.states)
        self._times = [undisturbed.returns[number] for number in self._returns] if instants else []
        self._compared = 0  # calls
        self._compare_at = -1
        self._closed = ClosedRun(program, model, preemption)
        self._closed.on_pause = self._pause
        self._observer = Observer(self._closed.hart, self._closed.output.data)

    def run(self) -> Links:
        """Run it to its end."""
        links = self.links
        before = signal.signal(signal.SIGPROF, _hangs)
        try:
            signal.setitimer(signal.ITIMER_PROF, CHAIN_S)
            for instant in self._instants:
                self._closed.pause_at(instant)
            self._closed.run(self._probe)
            self._compare_end()
        except _Broken as broken:
            links.broken = str(broken)
        except Exception:  # noqa: BLE001  (whatever the kernel raises is a difference)
            links.broken = traceback.format_exc()
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
            self._closed.close()
        return links

    def _probe(self, point: Point, thread: Thread) -> bool:
        number = self.undisturbed.points.get(name_of(self._closed.core, point, thread))
        if number is None:
            return False  # a page may have to be looked up again
        if number == self._compare_at:
            self._compare(number)
        numbers = self._numbers
        if self._next < len(numbers) and number >= numbers[self._next]:
            self._next = bisect_left(numbers, number, self._next)  # a page may be there already
            if self._next < len(numbers) and number == numbers[self._next]:
                self._take(number)
                return True
        return False

    def _take(self, number: int) -> None:
        self._recreate(number)
        self.links.taken.add(number)
        following = self._numbers[self._next] if self._next < len(self._numbers) else len(self.undisturbed.points)
        last = bisect_right(self._returns, following) - 1
        self._compare_at = self._returns[last] if last >= 0 and self._returns[last] > number else -1

    def _pause(self) -> None:
        now = self._closed.core.time
        if self._next >= len(self._instants) or self._instants[self._next] > now:
            return  # a call has run over several instants, which are one point
        self._recreate(now)
        self.links.instants += 1
        self._next = bisect_right(self._instants, now, self._next)
        following = self._instants[self._next] if self._next < len(self._instants) else self.undisturbed.end.time
        last = bisect_left(self._times, following) - 1
        self._compare_at = self._returns[last] if last >= 0 and self._times[last] > now else -1

    def _recreate(self, place: int) -> None:
        if self._compare_at >= 0:
            raise _Broken(f"point {self._compare_at} was not passed, where the comparison was to be")
        signal.setitimer(signal.ITIMER_PROF, CHAIN_S)
        self.links.broken_at = place
        stall = recreate(self._closed, parked=True)
        if stall:
            self.links.stalls[place] = stall
        self._next += 1

    def _compare(self, number: int) -> None:
        self._compare_at = -1
        state, count = self.undisturbed.states[number]
        self._compare_calls(count)
        now = self._observer.state()
        if now != state:
            raise _Broken(f"at point {number} these differ: {now.difference(state)}")

    def _compare_calls(self, count: int) -> None:
        completed, expected = (
            self._closed.completed[self._compared :],
            self.undisturbed.completed[self._compared : count],
        )
        self._compared = count
        if completed != expected:
            pairs = [(one, other) for one, other in zip(completed, expected, strict=False) if one != other]
            what = (
                f"completed call {pairs[0][0]}, undisturbed {pairs[0][1]}" if pairs else "more or fewer were completed"
            )
            raise _Broken(f"{what}; {len(completed)} since the last comparison, undisturbed {len(expected)}")

    def _compare_end(self) -> None:
        closed, expected = self._closed, self.undisturbed.end
        end = End(closed.exit, bytes(closed.output.data), closed.core.time)
        if end != expected:
            raise _Broken(f"the end is {_short(end)}, undisturbed {_short(expected)}")
        self._compare_calls(len(self.undisturbed.completed))


def comparisons(undisturbed: UndisturbedRun, numbers: Sequence[int], instants: Sequence[int]) -> Iterator[int]:
    """The points at which a chain is compared, if it takes all of its own: their states are wanted."""
    returns, times = list(undisturbed.returns), list(undisturbed.returns.values())
    for following in (*numbers[1:], len(undisturbed.points)) if numbers else ():
        yield from returns[max(0, bisect_right(returns, following) - 1) :][:1]
    for following in (*instants[1:], undisturbed.end.time) if instants else ():
        yield from returns[max(0, bisect_left(times, following) - 1) :][:1]


def _short(end: End) -> str:
    return f"{end.exit} at {end.time} after {end.output[-200:]!r}"


def _hangs(_number: int, _frame: FrameType | None) -> None:
    raise _Broken(f"it came to no point for {CHAIN_S} s")
