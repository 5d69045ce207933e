"""Machines for the tests of the engines."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fluke_async.cpu.unicorn_cpu import UnicornCpu
from tests.cpu.machine import RAM_SIZE, RX, Machine

MachineFactory = Callable[..., Machine]


@pytest.fixture
def unicorn_machine() -> Iterator[MachineFactory]:
    """Make machines with Unicorn engines from bytes of code; closed at the end of the test."""
    engines: list[UnicornCpu] = []

    def make(program: bytes = b"", code_permissions: int = RX) -> Machine:
        engines.append(UnicornCpu(RAM_SIZE))
        return Machine(engines[-1], program, code_permissions)

    yield make
    for engine in engines:
        engine.close()
