"""
A branch: a copy of the process in which everything is created again at one point, and what becomes of it.

The copy runs on until every thread that was created again has finished the call that it was in and has been seen twice
more, or for a bounded number of points where one waits for long. Then, at the next return to a program, its canonical
state and the calls completed so far must be those of the undisturbed run at the same point; or, if the program ends
before that, its end.
"""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass
from typing import NoReturn

from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.kernel.recreation import closed_set
from fluke_async.verify.canonical import Observer
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.record import End, UndisturbedRun, name_of
from fluke_async.verify.recreate import recreate

SETTLING_POINTS = 20  # points after which a branch is compared even though a thread still waits
BRANCH_S = 60  # of the processor's time: a branch that takes longer hangs; several harts take turns
UNSEEN = (Point.WAIT, Point.SOFT_FAULT, Point.HARD_FAULT)  # a thread that comes there has not got on
DIVERGENCE_MAX = 3000  # characters of a message, which fits into a pipe at once


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a branch: what differs, or nothing; and what was wrong about the export itself, or nothing."""

    divergence: str = ""
    stall: str = ""


class Branch:
    """The procedure at one point, and the comparison after it; lives in the forked copy."""

    def __init__(
        self, run: ClosedRun, undisturbed: UndisturbedRun, observer: Observer, pipe: int, *, to_the_end: bool
    ) -> None:
        self.run = run
        self.pipe = pipe
        self.undisturbed = undisturbed
        self.observer = observer
        self.to_the_end = to_the_end
        self.points_left = SETTLING_POINTS
        self.unsettled: dict[int, int] = {}
        self.stall = ""

    def recreate(self, *, parked: bool) -> None:
        """The procedure."""
        threads = [each for each in closed_set(self.run.core) if isinstance(each, Thread)]
        self.unsettled = {each.hash: 2 for each in threads if not each.stopped}
        self.stall = recreate(self.run, parked=parked)

    def probe(self, point: Point, thread: Thread) -> bool:
        """See a point go by; compare when all has settled."""
        self.points_left -= 1
        left = self.unsettled.get(thread.hash)
        if left is not None and point not in UNSEEN:
            if left <= 1:
                del self.unsettled[thread.hash]
            else:
                self.unsettled[thread.hash] = left - 1
        if not self.to_the_end and point is Point.RETURN and (not self.unsettled or self.points_left < 0):
            name = name_of(self.run.core, point, thread)
            number = self.undisturbed.points.get(name)
            if number is None:
                self.report(f"the undisturbed run does not come to {name}")
            elif number in self.undisturbed.states:
                self.report(self._difference_at(number))
        return False

    def _difference_at(self, number: int) -> str:
        state, count = self.undisturbed.states[number]
        if (different := self._difference_in_calls(count)) != "":
            return different
        if (now := self.observer.state()) != state:
            return f"at point {number} these differ: {now.difference(state)}"
        return ""

    def _difference_in_calls(self, count: int) -> str:
        completed, expected = self.run.completed, self.undisturbed.completed[:count]
        for one, other in zip(completed, expected, strict=False):
            if one != other:
                return f"completed call {one}, undisturbed {other}"
        if len(completed) != len(expected):
            return f"{len(completed)} calls completed, undisturbed {len(expected)}"
        return ""

    def difference_at_end(self, *, exact: bool) -> str:
        """The program has ended: what differs from the undisturbed end; the outcome alone unless `exact`."""
        run, expected = self.run, self.undisturbed.end
        end = End(run.exit, bytes(run.output.data), run.core.time)
        if end.exit != expected.exit:
            return f"the program ended with {end.exit}, undisturbed {expected.exit}"
        if end.output != expected.output:
            return f"the output is {end.output[-200:]!r}, undisturbed {expected.output[-200:]!r}"
        if not exact:
            return ""
        if end.time != expected.time:
            return f"the program ended at {end.time}, undisturbed {expected.time}"
        return self._difference_in_calls(len(self.undisturbed.completed))

    def report(self, divergence: str) -> NoReturn:
        """Hand the verdict to the process that forked, and end."""
        os.write(self.pipe, json.dumps({"divergence": divergence[:DIVERGENCE_MAX], "stall": self.stall}).encode())
        os._exit(0)


def fork(run: ClosedRun, undisturbed: UndisturbedRun, observer: Observer, *, to_the_end: bool) -> Branch | Verdict:
    """
    Fork. In the copy: the branch, to be carried out there. Here: its verdict, when the copy has ended.

    A copy that dies or hangs diverges.
    """
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        signal.setitimer(signal.ITIMER_PROF, BRANCH_S)
        return Branch(run, undisturbed, observer, writer, to_the_end=to_the_end)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(process, 0)
    if answer:
        return Verdict(**json.loads(answer))
    number = os.waitstatus_to_exitcode(status)
    reason = f"it took more than {BRANCH_S} s" if number == -signal.SIGPROF else f"exit status {number}"
    return Verdict(divergence=f"the copy ended without a verdict: {reason}")
