"""Every example runs, and prints what its reader is told that it prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tidy import ROOT

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
SAYS = {
    "compare_models.py": ("stacks: none", "stacks: 1000 times mutex_lock suspended", "woken in order"),
    "embed.py": ("hello: Hello, asyncio!", "primes: 303 primes below 2000", "spin has ended: budget", "went on: True"),
    "shared_mutex.py": ("shared_counter 1: exited", "counted together: 6200"),
}


def test_every_example_is_tested() -> None:
    assert set(EXAMPLES) == set(SAYS)


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_example_runs(name: str) -> None:
    command = [sys.executable, f"examples/{name}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    for text in SAYS[name]:
        assert text in result.stdout
