"""
What a mutant is tried by besides tests: programs that check themselves, and the first law at some points of programs.

This module imports the kernel, so it must not be imported before that has been changed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.programs import program
from tests.verify.planted import first_divergence

RUN_S = 20  # of the processor's time: what takes more hangs
CONFIGURATIONS = (("interrupt", "partial"), ("process", "full"))
PREEMPTIONS = ("partial", "full")
POINTS = 40


def run_programs(names: Sequence[str]) -> bool:
    """Whether programs come to a good end; a run that hangs is killed."""
    for name in names:
        for model, preemption in CONFIGURATIONS:
            signal.setitimer(signal.ITIMER_PROF, RUN_S)
            run = ClosedRun(program(name), model, preemption)
            run.run()
            run.close()
            if run.exit != ("exited", 0):
                return False
    signal.setitimer(signal.ITIMER_PROF, 0)
    return True


def keep_law(programs: Sequence[str]) -> bool:
    """Whether the first law holds at some points of programs."""
    return first_divergence(PREEMPTIONS, programs, POINTS) == ""


TRIALS: dict[str, Callable[[Sequence[str]], bool]] = {"programs": run_programs, "law": keep_law}
