"""
Verifies a kernel with a mistake planted in it: `python -m tests.verify.planted NAME [full] [PROGRAM...]`.

With `full`, the kernel is preempted at every marked point, for which there is one model only; else both models are
tried, preempted between the chunks of messages and then nowhere. Prints the first divergence as one line; exit status
1 if there is none. It has a process of its own, because a mistake stays planted, and because verification forks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fluke_async.execution.configuration import configurations
from fluke_async.verify import branch, chain, check
from fluke_async.verify.campaign import differing_models
from fluke_async.verify.check import Check
from fluke_async.verify.programs import program
from tests.verify import (
    mistakes,
    mistakes_of_memory,
    mistakes_of_order,
    mistakes_of_others,
    mistakes_of_preemption,
    mistakes_of_strangers,
)

OF_STRANGERS = (mistakes_of_others, mistakes_of_strangers, mistakes_of_order)  # who had not read the check
SOURCES = (mistakes, mistakes_of_memory, mistakes_of_preemption, *OF_STRANGERS)
MISTAKES = {each.__name__: each for source in SOURCES for each in source.MISTAKES}
PROGRAMS = ("primes", "bounded_buffer", "bulk", "inversion", "philosophers", "clock", "pager", "usertests")
POINTS = 150
HANGS_S = 3  # a thousand times what it takes from one point to the next
FULL = "full"


def find(name: str, preemptions: Sequence[str], programs: Sequence[str]) -> str:
    """The first divergence that a mistake leads to; empty if it is not found."""
    MISTAKES[name]()
    return first_divergence(preemptions, programs or PROGRAMS)


def first_divergence(preemptions: Sequence[str], programs: Sequence[str], points: int = POINTS) -> str:
    """What differs at some points of some programs, or between the models. A program may be NAME:ARGUMENT,..."""
    check.FAILURES_MAX = 1  # the first will do
    branch.BRANCH_S = chain.CHAIN_S = HANGS_S  # and what hangs has diverged
    for each in programs:
        title, _, arguments = each.partition(":")
        named = program(title, tuple(arguments.split(",")) if arguments else None)
        for preemption in preemptions:
            results = []
            for model, _ in configurations(None, preemption):
                results.append(Check(named, model, preemption, points=points, instructions=5).run())
                for failure in (*results[-1].divergences, *results[-1].stalls):
                    return f"{each}, {model}-{preemption}: {failure}"
            for difference in differing_models(results):
                return difference
    return ""


if __name__ == "__main__":
    mistake, *rest = sys.argv[1:]
    found = find(mistake, (FULL,), rest[1:]) if rest[:1] == [FULL] else find(mistake, ("partial", "none"), rest)
    sys.stdout.write(f"{found or 'not found'}\n")
    sys.exit(0 if found else 1)
