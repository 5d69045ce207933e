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
from typing import NamedTuple

from tests.tidy import ROOT
from tests.verify.mutated import UNCHANGED
from tests.verify.mutation import Mutation, mutations

PACKAGE = "fluke_async.kernel"
TRIAL_S = 300  # a trial that takes longer hangs
PROGRAMS = ("usertests",)
LAW = ("bounded_buffer", "bulk", "pipeline", "fairshare", "memtest:32")

TESTS: dict[str, tuple[str, ...]] = {
    "reliable": ("alerts", "reliable", "recreated_connections", "connections_named_midway"),
    "ipc": ("parked_by_a_state", "ipc_mistakes", "ipc_references", "ipc", "ipc_ends"),
    "connection": ("parked_by_a_state", "ipc", "rings_of_calls", "ipc_ends", "connections_named_midway"),
    "message": ("ipc_mistakes", "ipc_references", "ipc", "message_tables", "scattered_messages"),
    "buffers": ("ipc_mistakes", "ipc", "message_tables", "scattered_messages"),
    "links": ("alerts", "reliable", "recreated_connections", "connections_named_midway"),
    "scheduler": ("core", "packing", "interrupt", "in_call", "priority", "thread_state", "thread_schedule"),
    "scheduling": ("schedule_requests", "thread_schedule"),
    "donation": ("schedule_requests", "thread_schedule"),
    "recreation": ("recreated_connections", "thread_schedule", "loaded_faults"),
    "questions": ("keeper_ends", "fault_states", "keepers", "space_keepers"),
    "asking": ("keeper_ends", "keepers", "space_keepers"),
    "objects.thread_state": (
        "parked_by_a_state",
        "loaded_again",
        "thread_state",
        "loaded_faults",
        "away_created_again",
    ),
    "objects.mutex": ("mutex", "priority", "priority_ends"),
    "objects.cond": ("cond", "cond_changes", "priority"),
    "objects.thread": ("packing", "thread_calls", "thread_state", "priority_ends"),
    "region_scan": ("region_search", "region_changed", "scans_cut_off"),
    "revocation": ("mapping", "translation", "memory_pulled_away"),
}
"""The modules that are changed, and by which files of `tests/kernel` each is tried, the quickest first."""

HARMLESS = {
    (
        "revocation",
        "other constant: 0 in first, last = (max(start - region.start, 0), min(end - re...",
    ): "the same page",
    ("revocation", "other comparison: low < high"): "it forgets what can be looked up again",
    (
        "objects.thread",
        "removed: self.stack.close()",
    ): "nobody else knows the coroutine, which closes as it is forgotten",
    (
        "objects.thread",
        "removed: self.scheduler.scheduled = self.scheduler.scheduled or None",
    ): "an empty table will do",
    ("ipc", "other constant: 0 in registers[reg.PROGRESS_WORDS] = 0"): "whoever is captured next begins to count anew",
}
"""What no trial can notice, by module and change, and why."""


class Mutant(NamedTuple):
    """A module, the number of a change of it, and the change."""

    module: str
    number: int
    mutation: Mutation

    def __str__(self) -> str:
        path = f"{PACKAGE}.{self.module}".replace(".", "/")
        return f"{path}.py:{self.mutation.line}: {self.mutation.what}"


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
    files = [f"tests/kernel/test_{name}.py" for name in TESTS[module]]
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


def main(arguments: Sequence[str]) -> int:
    """Try a sample; exit status 1 if the trials notice something where nothing was changed."""
    parser = argparse.ArgumentParser(prog="python -m tests.verify.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {PACKAGE}; by default: {', '.join(TESTS)}")
    options = parser.parse_args(arguments)
    chosen = sample(all_mutants(options.modules or list(TESTS)), options.seed, options.count)
    survived, harmless = [], 0
    for each in chosen:
        noticed = noticed_by(each.module, each.number)
        reason = HARMLESS.get((each.module, each.mutation.what))
        survival = "SURVIVED" if reason is None else f"survived: {reason}"
        say(f"{each}: {f'killed by {noticed}' if noticed else survival}")
        if not noticed:
            survived.append(each)
            harmless += reason is not None
    # A survivor has passed all trials of its module; where there is none, it is not known yet that anything passes.
    for module in sorted({each.module for each in chosen} - {each.module for each in survived}):
        if noticed := noticed_by(module, UNCHANGED):
            say(f"{module}: its {noticed} fail without a change")
            return 1
    killed, count = len(chosen) - len(survived), len(chosen) - harmless
    say(f"{killed} of {count} killed ({100 * killed // max(count, 1)} %); {harmless} others change nothing")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
