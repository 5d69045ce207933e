"""Verification of several harts in short: some points of programs whose threads run at the same time."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.verify.test_verify import verify

PROGRAMS = ("primes", "philosophers", "bounded_buffer", "pingpong", "pipeline")


def found_by(*arguments: str) -> dict[str, Any]:
    """What a verification has found that must not find that anything is wrong."""
    result = verify(*arguments, "--json")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.returncode == 0, found["failures"]
    assert found["divergences"] == found["stalls"] == 0
    return found


@pytest.mark.timeout(900)
def test_nothing_differs_and_every_row_is_passed() -> None:
    configuration = ("--model", "process", "--preemption", "full")
    found = found_by("usertests", "--cpus", "4", *configuration, "--points", "10", "--instructions", "10")
    assert found["coverage"]["missed"] == []
    assert found["kernel_points"] > 500


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("harts", "seed"), [("2", "1"), ("4", "0"), ("4", "2")])
def test_nothing_differs_where_turns_are_drawn(harts: str, seed: str) -> None:
    found = found_by(*PROGRAMS, "--cpus", harts, "--seed", seed, "--points", "10", "--preemption", "partial")
    assert found["programs"].keys() == {*PROGRAMS}
    assert all(len(checks) == 2 for checks in found["programs"].values())
