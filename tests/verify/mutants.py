"""
How many small mistakes the tests notice: `python -m tests.verify.mutants [--seed N] [--count M] [MODULE...]`.

Takes the kernel's code for waiting and for export, draws changes of it by a seed, and tries each: what checks itself
and is quick comes first, the first law at some points of some programs last. A mutant that nothing notices has
survived: it is printed with its file, its line and what was changed. One process runs at a time.
"""

from __future__ import annotations

import argparse
import ast
import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import NamedTuple

from tests.tidy import ROOT
from tests.verify.mutant_tables import HARMLESS, SURVIVORS, TESTS, file_of
from tests.verify.mutated import UNCHANGED
from tests.verify.mutation import Mutation, mutations

PACKAGE = "fluke_async.kernel"
TRIAL_S = 900  # what is bounded by the processor's time ends before; what takes longer waits for nothing
PROGRAMS = ("usertests",)
LAW = ("bounded_buffer", "bulk", "pipeline", "fairshare", "memtest:32")


class Mutant(NamedTuple):
    """A module, the number of a change of it, and the change."""

    module: str
    number: int
    mutation: Mutation

    @property
    def key(self) -> tuple[str, str]:
        """By what the tables name it."""
        return self.module, self.mutation.what

    @property
    def place(self) -> str:
        """Its file and line."""
        path = f"{PACKAGE}.{self.module}".replace(".", "/")
        return f"{path}.py:{self.mutation.line}"

    def __str__(self) -> str:
        return f"{self.place}: {self.mutation.what}"


def all_mutants(modules: Sequence[str]) -> list[Mutant]:
    """Every change of some modules."""
    found = []
    for module in modules:
        path = ROOT / f"{PACKAGE}.{module}".replace(".", "/")
        tree = ast.parse(path.with_suffix(".py").read_text(encoding="utf-8"))
        found += [Mutant(module, number, each) for number, each in enumerate(mutations(tree))]
    return found


def sample(mutants: Sequence[Mutant], seed: int, count: int) -> list[Mutant]:
    """Some of them, always the same by a seed."""
    return random.Random(seed).sample(mutants, min(count, len(mutants)))


def trials_of(module: str) -> list[list[str]]:
    """What a module is tried by, in order."""
    files = [file_of(name) for name in TESTS[module]]
    return [["programs", *PROGRAMS], ["tests", *files], ["law", *LAW]]


def noticed_by(module: str, number: int) -> str:
    """The first trial that notices a change; empty if none does."""
    for trial in trials_of(module):
        command = [sys.executable, "-m", "tests.verify.mutated", f"{PACKAGE}.{module}", str(number), *trial]
        try:
            status = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=TRIAL_S, check=False).returncode
        except subprocess.TimeoutExpired:
            return f"{trial[0]}, which did not end"
        if status:
            return trial[0]
    return ""


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


@dataclass
class Tally:
    """What has become of a sample."""

    seed: int
    killed: int = 0
    harmless: list[Mutant] = field(default_factory=list)
    survivors: list[Mutant] = field(default_factory=list)

    def add(self, mutant: Mutant, noticed: str) -> None:
        """Take note of a mutant, and say it."""
        if noticed:
            self.killed += 1
            say(f"{mutant}: killed by {noticed}")
            return
        reason = HARMLESS.get(mutant.key)
        (self.survivors if reason is None else self.harmless).append(mutant)
        say(f"{mutant}: {reason_of(mutant)}")

    @property
    def count(self) -> int:
        """How many could have been noticed."""
        return self.killed + len(self.survivors)

    @property
    def summary(self) -> str:
        """The figures in one line."""
        share = 100 * self.killed // max(self.count, 1)
        return f"{self.killed} of {self.count} killed ({share} %); {len(self.harmless)} others change nothing"

    def report(self, day: date) -> str:
        """A section in Markdown."""
        drawn, share = self.count + len(self.harmless), 100 * self.killed / max(self.count, 1)
        figures = (drawn, len(self.harmless), self.killed, len(self.survivors), f"{share:.1f} %")
        lines = [
            "## Mutants",
            "",
            "Small changes of the kernel's code for waiting and for export, drawn at random, and whether the tests or",
            "the checks of `fluke verify` notice them.",
            f"`python -m tests.verify.mutants --seed {self.seed} --count {drawn}`, of the code of {day}.",
            "",
            "| drawn | change nothing | killed | survived | killed of those that could be noticed |",
            "|---|---|---|---|---|",
            f"| {' | '.join(map(str, figures))} |",
        ]
        lived = [*self.survivors, *self.harmless]
        if lived:
            lines += ["", "| lived | what was changed | why |", "|---|---|---|"]
            lines += [f"| `{each.place}` | `{_cell(each.mutation.what)}` | {reason_of(each)} |" for each in lived]
        return "\n".join(lines) + "\n"


def _cell(text: str) -> str:
    """What a cell of a table can hold."""
    return text.replace("|", "\\|")


def reason_of(mutant: Mutant) -> str:
    """Why a mutant lives."""
    if mutant.key in HARMLESS:
        return f"changes nothing: {HARMLESS[mutant.key]}"
    return f"survived: {SURVIVORS.get(mutant.key, 'not understood yet')}"


def main(arguments: Sequence[str]) -> int:
    """Try a sample; exit status 1 if the trials notice something where nothing was changed."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--report", type=Path, metavar="FILE", help="write the figures there, as Markdown")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {PACKAGE}; by default: {', '.join(TESTS)}")
    options = parser.parse_args(arguments)
    chosen = sample(all_mutants(options.modules or list(TESTS)), options.seed, options.count)
    tally = Tally(options.seed)
    for each in chosen:
        tally.add(each, noticed_by(each.module, each.number))
    # What lives has passed all trials of its module; where nothing does, it is not known yet that anything passes.
    lived = {each.module for each in (*tally.survivors, *tally.harmless)}
    for module in sorted({each.module for each in chosen} - lived):
        if noticed := noticed_by(module, UNCHANGED):
            say(f"{module}: its {noticed} fail without a change")
            return 1
    say(tally.summary)
    if options.report is not None:
        options.report.write_text(tally.report(datetime.now(UTC).date()), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
