"""
Hostile cases against a kernel with a mistake planted in it: `python -m tests.verify.planted_input NAME...`.

Prints how each mistake is found first, one line each; exit status 1 if one is not found. Each has a process of its own,
forked off this one, for a mistake stays planted.
"""

from __future__ import annotations

import os
import sys

from fluke_async.verify import hostile
from fluke_async.verify.hostile_files import file_case
from fluke_async.verify.hostile_images import image_case
from fluke_async.verify.hostile_states import state_case
from tests.verify.mistakes_of_images import OF_IMAGES
from tests.verify.mistakes_of_input import OF_FILES, OF_STATES

SEED = 1
CASES = ((OF_FILES, file_case, 4000), (OF_IMAGES, image_case, 4000), (OF_STATES, state_case, 200))
MISTAKES = {each.__name__: (each, case, count) for mistakes, case, count in CASES for each in mistakes}


def find(name: str) -> str:
    """How a mistake escapes first; empty if it is not found."""
    mistake, case, count = MISTAKES[name]
    case(SEED, 0)  # without it, all is well
    mistake()
    hostile.ESCAPES_MAX = 1
    escapes = hostile.run(case, SEED, range(count)).escapes
    return f"case {escapes[0][0]}: {escapes[0][1].splitlines()[-1]}" if escapes else ""


def found_in_a_process(name: str) -> bool:
    """Look for a mistake in a copy of this process, which says how it was found."""
    child = os.fork()
    if child == 0:
        found = find(name)
        sys.stdout.write(f"{name}: {found or 'not found'}\n")
        sys.stdout.flush()
        os._exit(0 if found else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


if __name__ == "__main__":
    image_case(SEED, 0)  # its samples are this process's to remove
    not_found = [name for name in sys.argv[1:] or MISTAKES if not found_in_a_process(name)]
    sys.exit(1 if not_found else 0)
