"""Whoever has a process read out, forked or made again is told when the kernel ends in the middle of that."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint

import fluke_async as fluke
from tests.embedding.guest import LOOP

PATIENCE_S = 30
TURNS = range(1, 12)
Work = Callable[[fluke.Kernel, fluke.Process, fluke.Image], Awaitable[Any]]
WORK: list[Work] = [
    lambda _, process, __: process.checkpoint(),
    lambda _, process, __: process.fork(2),
    lambda kernel, _, image: kernel.restore(image),
]


async def again_and_again(work: Work, kernel: fluke.Kernel, process: fluke.Process, image: fluke.Image) -> None:
    """Until the kernel has stopped."""
    with pytest.raises(fluke.FlukeError):
        while True:
            await work(kernel, process, image)


@pytest.mark.parametrize("work", WORK, ids=["checkpoint", "fork", "restore"])
@pytest.mark.parametrize("budget", [None, 1000], ids=["running", "spent"])
async def test_kernel_that_is_closed_tells_who_still_waits(work: Work, budget: int | None) -> None:
    for turns in TURNS:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks, fluke.Kernel() as kernel:
                process = await kernel.spawn(LOOP, budget=budget)
                if budget is not None:
                    await process.wait()
                image = await process.checkpoint()
                tasks.start_soon(again_and_again, work, kernel, process, image)
                for _ in range(turns):
                    await checkpoint()
            assert (await process.wait()).reason == ("killed" if budget is None else "budget")


@pytest.mark.parametrize("work", WORK, ids=["checkpoint", "fork", "restore"])
async def test_kernel_that_fails_tells_who_still_waits(work: Work) -> None:
    def fail() -> None:
        raise SystemError("for the test")

    for turns in TURNS:
        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as tasks:
                with pytest.raises(fluke.KernelBug, match="for the test"):
                    async with fluke.Kernel() as kernel:
                        process = await kernel.spawn(LOOP, budget=1000)
                        await process.wait()
                        image = await process.checkpoint()
                        tasks.start_soon(again_and_again, work, kernel, process, image)
                        for _ in range(turns):
                            await checkpoint()
                        process.checkpointer._driver.post(fail)
                        await anyio.sleep_forever()
