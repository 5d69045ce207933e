"""A kernel in every configuration."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

import fluke_async as fluke

MakeKernel = Callable[..., fluke.Kernel]


@pytest.fixture
def make_kernel(model: str, preemption: str) -> MakeKernel:
    """Makes kernels of one model and one preemption setting; further options are the test's."""
    return partial(fluke.Kernel, model=model, preemption=preemption)
