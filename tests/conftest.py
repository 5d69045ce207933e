"""
One suite over all combinations.

A test that takes `model`, `preemption` or both runs once for each configuration that there is; one that takes
`preemption` alone, for each that both models have. Every async test runs on each event
loop (`@pytest.mark.asyncio(loop_factories=["asyncio"])` names one alone). A test marked `sdk` is left
out where the compiler is not installed.
"""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Callable
from importlib.util import find_spec

import pytest

from fluke_async.execution.configuration import CONFIGURATIONS, MODELS, Preemption

try:
    import uvloop
except ImportError:  # there is none for Windows
    uvloop = None  # type: ignore[assignment]


def pytest_configure() -> None:
    """Take interrupts from the keyboard: a shell's background job ignores them, and so do the programs it starts."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if find_spec("ziglang") is None:
        unfit = [item for item in items if item.get_closest_marker("sdk")]
        config.hook.pytest_deselected(items=unfit)
        items[:] = [item for item in items if item not in unfit]
    items[:] = [item for item in items if is_a_configuration(item)]
    items.sort(key=time_allowed, reverse=True)


def pytest_collection_finish() -> None:
    """Keep the tests themselves out of the collector's sight: else it comes too seldom for the machines they leave."""
    gc.collect()  # those that were left out go first, or they would stay for good
    gc.freeze()


def time_allowed(item: pytest.Item) -> float:
    """The seconds that a test may take beyond the usual: the longest come first, or one is left alone at the end."""
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker is not None else 0


def is_a_configuration(item: pytest.Item) -> bool:
    """Whether the test's `model` and `preemption` exist together; who takes no `model` may mean either."""
    params = item.callspec.params if isinstance(item, pytest.Function) and hasattr(item, "callspec") else {}
    models = [params["model"]] if "model" in params else MODELS
    return "preemption" not in params or all((model, params["preemption"]) in CONFIGURATIONS for model in models)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    factories: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": asyncio.new_event_loop}
    if uvloop is not None:
        factories["uvloop"] = uvloop.new_event_loop
    return factories


@pytest.fixture
async def loop() -> str:
    """The name of the event loop that the test runs on."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


@pytest.fixture(params=MODELS)
def model(request: pytest.FixtureRequest) -> str:
    """An execution model."""
    name: str = request.param
    return name


@pytest.fixture(params=[each.value for each in Preemption])
def preemption(request: pytest.FixtureRequest) -> str:
    """Where a system call may be preempted."""
    name: str = request.param
    return name
