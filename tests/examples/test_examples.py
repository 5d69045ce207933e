"""Every example runs, and prints what its reader is told that it prints."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tidy import ROOT

EXAMPLES = sorted(path.name for path in (ROOT / "examples").glob("*.py"))
SAYS = {
    "compare_models.py": ("stacks: none", "stacks: 1000 times mutex_lock suspended", "woken in order"),
    "custom_device.py": (
        "thrown, then saved:  5 3 1 5 6\n",
        "restored, and on:    3 4 1 5 3 4 2\n",
        "undisturbed:         5 3 1 5 6 3 4 1 5 3 4 2\n",
        "has {'seed': 668893310, 'thrown': [5, 3, 1, 5, 6, 3]}",
        "uses the services dice (a __main__.Dice)",
    ),
    "embed.py": ("hello: Hello, asyncio!", "primes: 303 primes below 2000", "spin has ended: budget", "went on: True"),
    "fork_and_explore.py": ("100 copies have answered", "100000 = 2 x 2 x 2 x 2 x 2 x 5 x 5 x 5 x 5 x 5\n"),
    "kill_and_resume.py": ("begin: killed with status -9", "resume: killed with status -9", "as undisturbed: True"),
    "shared_mutex.py": ("shared_counter 1: exited", "counted together: 6200"),
    "web_service.py": (
        "the client has left; frozen: primes 100000 2\n",
        "thread 0: 5133 primes from 0 to 50000\nthread 1: 4459 primes from 50000 to 100000\n9592 primes below 100000\n",
        "once more: nothing is frozen under this token\n",
    ),
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
