"""The event loop that a command runs on."""

from __future__ import annotations

import importlib.util
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio

from fluke_async.cli.usage import UsageError

T = TypeVar("T")


def run_async(main: Callable[[], Awaitable[T]], wants_uvloop: bool | None = None) -> T:
    """Run `main` on uvloop's event loop if that is wanted or, when nothing is said, installed."""
    if wants_uvloop is None:
        wants_uvloop = importlib.util.find_spec("uvloop") is not None
    if not wants_uvloop:
        return anyio.run(main)
    try:
        import uvloop  # noqa: PLC0415  (an extra)
    except ModuleNotFoundError:
        raise UsageError(
            "--uvloop: the package uvloop is not installed; install it, pip install uvloop, or leave the option away"
        ) from None
    return anyio.run(main, backend_options={"loop_factory": uvloop.new_event_loop})
