"""
Verifies a kernel with a mistake planted in it: `python -m tests.verify.planted NAME [PROGRAM...]`.

Prints the first divergence as one line; exit status 1 if there is none. It has a process of its own, because a mistake
stays planted, and because verification forks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fluke_async.verify import branch, check
from fluke_async.verify.campaign import differing_models
from fluke_async.verify.check import Check
from fluke_async.verify.programs import program
from tests.verify import mistakes, mistakes_of_memory, mistakes_of_others

SOURCES = (mistakes, mistakes_of_memory, mistakes_of_others)
MISTAKES = {each.__name__: each for source in SOURCES for each in source.MISTAKES}
PROGRAMS = ("primes", "bounded_buffer", "bulk", "inversion", "philosophers", "clock", "pager", "usertests")
POINTS = 150


def find(name: str, programs: Sequence[str]) -> str:
    """The first divergence that a mistake leads to; empty if it is not found. A program may be NAME:ARGUMENT,..."""
    check.FAILURES_MAX, branch.BRANCH_S = 1, 5  # the first will do, and a copy that hangs has diverged
    MISTAKES[name]()
    for each in programs or PROGRAMS:
        title, _, arguments = each.partition(":")
        named = program(title, tuple(arguments.split(",")) if arguments else None)
        for preemption in ("partial", "none"):
            results = []
            for model in ("interrupt", "process"):
                results.append(Check(named, model, preemption, points=POINTS, instructions=5).run())
                for failure in (*results[-1].divergences, *results[-1].stalls):
                    return f"{each}, {model}-{preemption}: {failure}"
            for difference in differing_models(results):
                return difference
    return ""


if __name__ == "__main__":
    found = find(sys.argv[1], sys.argv[2:])
    sys.stdout.write(f"{found or 'not found'}\n")
    sys.exit(0 if found else 1)
