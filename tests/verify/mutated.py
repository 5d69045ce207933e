"""
One mutant and one trial of it, in a process of its own: `python -m tests.verify.mutated MODULE NUMBER TRIAL [WHAT...]`.

The module is changed as it is imported; no file is. A trial is `tests`, by files, or one of `trials`, by programs. Exit
status 0: nothing was noticed.
With the number -1 nothing is changed, and nothing must be noticed.
"""

from __future__ import annotations

import ast
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from pathlib import Path
from types import CodeType, ModuleType

import pytest

from tests.verify.mutation import mutant

UNCHANGED = -1
TEST_S = 20  # of the processor's time, however busy it is with others: a test that takes more hangs


class MutantLoader(SourceFileLoader):
    """Compiles a module's source with one change; nothing is taken from a cache, or put there."""

    number = UNCHANGED

    def get_code(self, fullname: str) -> CodeType:
        source = Path(self.path).read_text(encoding="utf-8")
        tree = ast.parse(source) if self.number == UNCHANGED else mutant(source, self.number)
        return compile(tree, self.path, "exec", dont_inherit=True)


class MutantFinder(MetaPathFinder):
    """Finds the one module that is changed."""

    def __init__(self, module: str, number: int) -> None:
        self.module = module
        self.number = number

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname != self.module:
            return None
        spec = PathFinder.find_spec(fullname, path)
        assert spec is not None
        assert spec.origin is not None
        loader = MutantLoader(fullname, spec.origin)
        loader.number = self.number
        spec.loader = loader
        return spec


class Limit:
    """Ends the process where a test hangs."""

    def pytest_runtest_setup(self) -> None:
        signal.setitimer(signal.ITIMER_PROF, TEST_S)


def run_tests(files: Sequence[str]) -> bool:
    """Whether all tests of some files pass; pytest must be the first to import what it runs."""
    options = ("-x", "-q", "-p", "no:cacheprovider", "--timeout=0")
    return pytest.main([*options, *files], plugins=[Limit()]) == pytest.ExitCode.OK


def passes(trial: str, what: Sequence[str]) -> bool:
    """Whether a trial notices nothing."""
    if trial == "tests":
        return run_tests(what)
    passed: bool = import_module("tests.verify.trials").TRIALS[trial](what)
    return passed


if __name__ == "__main__":
    module, number, name, *rest = sys.argv[1:]
    sys.meta_path.insert(0, MutantFinder(module, int(number)))
    assert module not in sys.modules, "it was imported before it could be changed"
    sys.exit(0 if passes(name, rest) else 1)
