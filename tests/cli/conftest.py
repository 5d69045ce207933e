"""The command `fluke`, called in this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fluke_async.cli.application import execute


@dataclass(frozen=True)
class Finished:
    """What a command came to."""

    status: int
    output: str
    errors: str


Fluke = Callable[..., Finished]


@pytest.fixture
def fluke(capfd: pytest.CaptureFixture[str]) -> Fluke:
    """Runs `fluke` with arguments."""

    def run(*arguments: object) -> Finished:
        capfd.readouterr()
        status = execute([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        return Finished(status, captured.out, captured.err)

    return run
