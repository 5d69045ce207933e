"""Every mistake that is planted in the kernel is found."""

from __future__ import annotations

import subprocess

import pytest

from tests.tidy import ROOT
from tests.verify.planted import ALSO_FULL, FULL, MISTAKES, OF_FULL, OF_STRANGERS, SOURCES, command_for


@pytest.mark.parametrize("name", [name for name in MISTAKES if name not in OF_FULL])
def test_the_mistake_is_found(name: str) -> None:
    check_found(name)


@pytest.mark.parametrize("name", [*OF_FULL, *ALSO_FULL])
def test_the_mistake_is_found_under_full_preemption(name: str) -> None:
    assert "process-full" in check_found(name, FULL)


def check_found(name: str, *preemption: str) -> str:
    """Plant a mistake in a kernel; what shows it."""
    command = command_for(name, *preemption)
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "point" in result.stdout
    return result.stdout


def test_there_are_enough_and_half_of_them_are_of_strangers() -> None:
    assert len(MISTAKES) >= 44
    assert len(MISTAKES) == sum(len(source.MISTAKES) for source in SOURCES), "two have the same name"
    assert sum(len(source.MISTAKES) for source in OF_STRANGERS) >= len(MISTAKES) / 2
