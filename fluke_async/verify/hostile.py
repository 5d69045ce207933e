"""
A campaign of hostile cases: each has a number, and is determined by that and the seed.

A case says in words what came of it, or raises: what it raises is an *escape*, whatever it is. A case that takes longer
than `SECONDS_MAX` of the processor's time is one too; it is cut off where it is.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType

SECONDS_MAX = 1.0
ESCAPES_MAX = 10
PROGRESS_EVERY = 1000

Case = Callable[[int, int], Counter[str]]
"""Carries out the case of a seed and a number; what came of it, and how often."""


class TookTooLong(BaseException):
    """A case has had its time; no handler of ordinary exceptions stops it."""


@dataclass(slots=True)
class Tally:
    """What came of a campaign."""

    cases: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    escapes: list[tuple[int, str]] = field(default_factory=list)  # the number of a case, and how it failed
    seconds: float = 0.0
    slowest: float = 0.0


@contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `TookTooLong` inside, after so much of the processor's time."""

    def raise_it(number: int, frame: FrameType | None) -> None:
        raise TookTooLong(f"took more than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, raise_it)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def run(case: Case, seed: int, numbers: Sequence[int], *, show_progress: bool = False) -> Tally:
    """Carry out cases until all are done, or too many have escaped."""
    tally, start = Tally(), time.perf_counter()
    for number in numbers:
        began = time.process_time()
        try:
            with limited(SECONDS_MAX):
                tally.outcomes += case(seed, number)
        except (Exception, TookTooLong) as error:  # noqa: BLE001  # any at all is what is looked for
            tally.escapes.append((number, "".join(traceback.format_exception(error)).rstrip()))
        tally.cases += 1
        tally.slowest = max(tally.slowest, time.process_time() - began)
        if show_progress and tally.cases % PROGRESS_EVERY == 0:
            sys.stderr.write(f"{tally.cases} cases, {len(tally.escapes)} escapes\n")
        if len(tally.escapes) >= ESCAPES_MAX:
            break
    tally.seconds = time.perf_counter() - start
    return tally


def main(module: str, case: Case, unit: str, arguments: Sequence[str]) -> int:
    """The command line of a campaign of a module's; the exit status is 1 if something has escaped."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=f"Carries out hostile cases: {unit}.")
    parser.add_argument("--seed", type=int, default=1, help="which cases (default: 1)")
    parser.add_argument("--first", type=int, default=0, help="the number of the first (default: 0)")
    parser.add_argument("--count", type=int, default=1000, help="how many (default: 1000)")
    options = parser.parse_args(arguments)
    numbers = range(options.first, options.first + options.count)
    tally = run(case, options.seed, numbers, show_progress=True)
    for number, text in tally.escapes:
        sys.stdout.write(
            f"{text}\nto see it again: python -m {module} --seed {options.seed} --first {number} --count 1\n\n"
        )
    for outcome, times in sorted(tally.outcomes.items()):
        sys.stdout.write(f"{times:9} {outcome}\n")
    rate = tally.cases / tally.seconds if tally.seconds else 0.0
    sys.stdout.write(
        f"{tally.cases} {unit} of seed {options.seed} in {tally.seconds:.0f} s ({rate:.0f} a second, "
        f"the slowest {tally.slowest:.3f} s): {len(tally.escapes)} escapes\n"
    )
    return 1 if tally.escapes else 0
