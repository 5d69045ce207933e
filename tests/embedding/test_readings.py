"""An image that is being made has the pages of its moment, whatever becomes of the process meanwhile."""

from __future__ import annotations

import asyncio

import pytest

import fluke_async as fluke
from tests.embedding.conftest import MakeKernel

ENOUGH = 100_000_000
WHOLE = {"echo": b"14\n", "factors": b"the table is there\n14 = 2 x 7\n"}


@pytest.mark.parametrize(("name", "start"), [("echo", 500), ("factors", 3_000_000)])
@pytest.mark.parametrize("is_killed", [False, True])
async def test_process_that_ends_while_its_pages_are_read_has_its_image_all_the_same(
    make_kernel: MakeKernel, monkeypatch: pytest.MonkeyPatch, name: str, start: int, *, is_killed: bool
) -> None:
    monkeypatch.setattr("fluke_async.embedding.checkpointer.PAGES_AT_A_TIME", 1)
    async with make_kernel() as kernel:
        process = await kernel.spawn(name, stdin=b"14\n", budget=start)
        await process.wait()
        process.add_budget(ENOUGH)
        checkpoint = asyncio.create_task(process.checkpoint())
        if is_killed:
            while not process.readings or process.is_held:  # noqa: ASYNC110  # there is no event that says so
                await asyncio.sleep(0)
            await process.kill()
        await process.wait()
        assert not checkpoint.done()
        image = await checkpoint
        assert not process.readings
        written = image.manifest.devices["console"].state["written"]
        restored = await kernel.restore(image)
        assert await restored.stdout.read_all() == WHOLE[name][written:]
        assert await restored.wait() == fluke.Exit("exited", 0)
