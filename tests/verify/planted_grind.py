"""
Grinds a kernel with a mistake planted in it: `python -m tests.verify.planted_grind NAME [again]`.

With `again`, everything is created again after each batch of calls. Prints what was found; exit status 1 if it is
nothing. It has a process of its own, because a mistake stays planted.
"""

from __future__ import annotations

import sys

from fluke_async.execution.configuration import Configuration
from fluke_async.verify.grind import grind
from tests.verify import mistakes, mistakes_of_care

MISTAKES = {each.__name__: each for source in (mistakes, mistakes_of_care) for each in source.MISTAKES}
FIRST = {"room_in_a_table_taken_on_trust": 150}
"""The first world to be ground, for a mistake that few of them show; else the first of all."""
WORLDS, CALLS, AGAIN_CALLS = 40, 2_000, 400
CONFIGURATION = Configuration("process", "partial")  # in which there are stacks to go wrong

if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    MISTAKES[name]()
    calls = AGAIN_CALLS if rest else CALLS
    first = FIRST.get(name, 0)
    results = (grind(seed, CONFIGURATION, calls, again=bool(rest)).failure for seed in range(first, first + WORLDS))
    found = next(filter(None, results), "")
    sys.stdout.write(f"{found or 'not found'}\n")
    sys.exit(0 if found else 1)
