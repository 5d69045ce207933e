"""
The command `fluke`.

``application``     the commands, and what becomes of errors
``run``             run a program, from its start or from an image; ``options`` are what both take
``printed_output``  what it writes, on its way out
``image_keeper``    the file with the newest image of a run
``checkpoint``      an image of a run, from outside
``ps``              look at a run from outside, and hold it; ``control_client`` is how
``host_input``      the host's standard input as a program's
``built_programs``  list programs, compile programs
``demo``            the tour
``trace``           print and sum up a trace; ``trace_file`` reads one, ``trace_text`` words its events
``image``           look at images, check and compare them
``event_loop``      the loop that a command runs on
``tables``          tables for people
``usage``           the ways to go wrong, and the checks of values that several commands share

Exit statuses: a program's own; 0 for done; 1 for a program or check that failed; 2 for wrong usage;
130 after Ctrl-C; 141 if nobody reads the output. An error is one line on standard error.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec

EXTRA = ("cyclopts", "orjson", "rich")


def main() -> int:
    """Run the command line of this process and return its exit status."""
    missing = [package for package in EXTRA if find_spec(package) is None]
    if missing:
        print(
            f"fluke: the command line needs {', '.join(missing)}, not installed here; "
            f"install them: pip install {' '.join(missing)}",
            file=sys.stderr,
        )
        return 2
    from fluke_async.cli.application import execute  # noqa: PLC0415  (needs the extra)

    return execute(sys.argv[1:])
