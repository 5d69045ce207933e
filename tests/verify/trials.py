"""
What a mutant is tried by: programs that check themselves, files of tests, the first law at some points of programs.

This module imports the kernel, so it is imported when that has been changed.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence

import pytest

from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.programs import program
from tests.verify.planted import first_divergence

TEST_S, RUN_S = 20, 20  # what takes longer hangs
CONFIGURATIONS = (("interrupt", "partial"), ("process", "full"))
PREEMPTIONS = ("partial", "full")
POINTS = 60


def run_programs(names: Sequence[str]) -> bool:
    """Whether programs come to a good end; a run that hangs is killed."""
    for name in names:
        for model, preemption in CONFIGURATIONS:
            signal.alarm(RUN_S)
            run = ClosedRun(program(name), model, preemption)
            run.run()
            run.close()
            if run.exit != ("exited", 0):
                return False
    signal.alarm(0)
    return True


def run_tests(files: Sequence[str]) -> bool:
    """Whether all tests of some files pass."""
    options = ("-x", "-q", "-p", "no:cacheprovider", f"--timeout={TEST_S}")
    return pytest.main([*options, *files]) == pytest.ExitCode.OK


def keep_law(programs: Sequence[str]) -> bool:
    """Whether the first law holds at some points of programs."""
    return first_divergence(PREEMPTIONS, programs, POINTS) == ""


TRIALS: dict[str, Callable[[Sequence[str]], bool]] = {"programs": run_programs, "tests": run_tests, "law": keep_law}
