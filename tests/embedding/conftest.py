"""A kernel in every configuration."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

import fluke_async as fluke

MakeKernel = Callable[..., fluke.Kernel]


@pytest.fixture
def make_kernel(model: str, preemption: str) -> MakeKernel:
    """Makes kernels of one model and one preemption setting; further options are the test's."""
    return partial(fluke.Kernel, model=model, preemption=preemption)


@pytest.fixture
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """The host gets its turn after a few system calls or instructions."""
    for name in ("EFFORT_START", "EFFORT_MIN", "EFFORT_MAX"):
        monkeypatch.setattr(f"fluke_async.embedding.driver.{name}", 3000)


@pytest.fixture
def path() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "s"


@pytest.fixture(params=["native", "scope"])
def way(request: pytest.FixtureRequest) -> str:
    """How a task is cancelled."""
    name: str = request.param
    return name
