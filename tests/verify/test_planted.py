"""Every mistake that is planted in the kernel is found."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tidy import ROOT
from tests.verify.planted import MISTAKES

SHOWN_BY = {
    "stage_kept_in_a_local": "bounded_buffer",
    "order_of_waiters_not_exported": "primes",
    "time_slice_not_exported": "primes",
    "owner_not_exported": "primes",
    "lent_priority_exported": "inversion",
    "progress_kept_beside_the_thread": "bulk",
}
"""A program that shows the mistake soon; without a name here, all are tried."""


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_found(name: str) -> None:
    command = [sys.executable, "-m", "tests.verify.planted", name, *filter(None, [SHOWN_BY.get(name)])]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "point " in result.stdout


def test_there_are_twelve_and_half_of_them_are_of_others() -> None:
    from tests.verify import mistakes, mistakes_of_others  # noqa: PLC0415

    assert len(MISTAKES) >= 12
    assert len(mistakes_of_others.MISTAKES) >= len(mistakes.MISTAKES)
