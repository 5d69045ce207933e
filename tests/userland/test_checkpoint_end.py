"""What the library of checkpoints makes for its steps is gone before a program that used it ends."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import fluke_async as fluke
from fluke_devices.store import Store
from tests.userland.stores import shelf_with

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


async def objects_at_the_end(model: str, program: str, args: Sequence[str]) -> int:
    """How many objects there are when a program that ends well is about to be gone."""
    found: list[int] = []
    async with fluke.Kernel(model=model) as kernel:
        process = await kernel.spawn(program, args=args, services={"store": kernel.plug_in(Store(shelf_with()))})
        process.on_end.append(lambda: found.append(kernel.statistics().objects))
        assert await process.wait() == fluke.Exit("exited", 0)
        await process.kill()
    (number,) = found
    return number


async def test_program_that_takes_its_child_down_leaves_no_more_than_one_that_does_not(model: str) -> None:
    idle = await objects_at_the_end(model, "checkpoint", ["-n", "0", "1"])
    assert await objects_at_the_end(model, "checkpoint", ["-n", "3", "-e", "100", "1"]) == idle


async def test_manager_that_renews_its_child_leaves_no_more_than_one_that_does_not(model: str) -> None:
    idle = await objects_at_the_end(model, "manager", ["hello"])
    assert await objects_at_the_end(model, "manager", ["-c", "1", "hello"]) == idle
