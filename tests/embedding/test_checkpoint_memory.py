"""A process that is to be read out goes on where there is no memory for that."""

from __future__ import annotations

import re
from functools import partial

import pytest

import fluke_async as fluke
from fluke_async.kernel.consistency import check
from fluke_async.kernel.core import Core
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import LOOP
from tests.userland.running import in_use

PAGE = 4096


async def test_process_goes_on_where_there_is_no_memory_for_the_manager(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("philosophers")
        undisturbed = await process.stdout.read_all(), await process.wait()
    came_to: set[str] = set()
    for left in range(0, 5 * PAGE, PAGE):
        async with make_kernel() as kernel:
            small = await kernel.spawn(LOOP)
            await small.checkpoint()  # so that the manager is there, with memory for a few objects
            await small.kill()
            process = await kernel.spawn("philosophers", budget=20_000)
            assert (await process.wait()).reason == "budget"
            hoard = await kernel.inspect(partial(_hoard, left))
            try:
                await process.checkpoint()
                came_to.add("an image")
            except fluke.FlukeError as error:
                came_to.add(re.sub(r"\d+", "N", str(error).partition(":")[0]))
            await kernel.inspect(partial(_give_back, hoard))
            await process.checkpoint()
            process.add_budget(10**9)
            assert (await process.stdout.read_all(), await process.wait()) == undisturbed
            await kernel.inspect(check)
    assert came_to == {
        "the kernel's memory of N bytes is used up",
        "the kernel's memory does not suffice for the objects of this process",
        "an image",
    }


async def test_process_goes_on_where_there_is_no_memory_to_begin() -> None:
    async with fluke.Kernel() as kernel:
        process = await kernel.spawn(LOOP)
        before = in_use(kernel)
        hoard = await kernel.inspect(partial(_hoard, 10 * PAGE))
        with pytest.raises(fluke.FlukeError, match="does not suffice for the program that reads others out: give it"):
            await process.checkpoint()
        await kernel.inspect(partial(_give_back, hoard))
        assert in_use(kernel) == before
        await process.checkpoint()


def _hoard(left: int, core: Core) -> int:
    """Use up the memory but for so many bytes; returns how much that was."""
    hoard = core.quota.limit_bytes - core.quota.used_bytes - left
    assert core.quota.charge(hoard)
    return hoard


def _give_back(hoard: int, core: Core) -> None:
    core.quota.release(hoard)
