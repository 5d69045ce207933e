"""A process stands still at exact counts of its own, and loses no time by it."""

from __future__ import annotations

import random

import anyio
import pytest
from anyio.lowlevel import checkpoint

import fluke_async as fluke
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import LOOP, Feed

PATIENCE_S = 30
IMAGES_MAX = 40


async def own_time(
    kernel: fluke.Kernel, program: str, arguments: list[str], seed: int | None
) -> tuple[bytes, int, int]:
    """Output of a program, the process's own time when it has ended, and how many images were made at odd moments."""
    process = await kernel.spawn(program, args=arguments)
    count = 0
    while seed is not None and count < IMAGES_MAX and not process.has_ended:
        try:
            await process.checkpoint()
        except fluke.FlukeError:
            assert process.has_ended
            break
        count += 1
        for _ in range(random.Random(seed + count).randrange(20)):
            await checkpoint()
    await process.wait()
    return await process.stdout.read_all(), kernel.statistics().time_ns + process.attached.timer.offset_ns, count


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize(
    "program", [["clock", "10", "5"], ["philosophers", "5", "12"], ["inversion"], ["primes", "200"]]
)
async def test_who_is_read_out_again_and_again_loses_no_time(make_kernel: MakeKernel, program: list[str]) -> None:
    async with make_kernel() as kernel:
        output, end_ns, _ = await own_time(kernel, program[0], program[1:], None)
    async with make_kernel() as kernel:
        disturbed = await own_time(kernel, program[0], program[1:], 1)
    assert disturbed[:2] == (output, end_ns)
    assert disturbed[2] > 0


async def test_images_are_made_at_multiples_whoever_else_makes_some() -> None:
    async with fluke.Kernel() as kernel, anyio.create_task_group() as tasks:
        process = await kernel.spawn(LOOP, budget=10**12)

        async def make_others() -> None:
            while True:
                await process.checkpoint()

        tasks.start_soon(make_others)
        moments = []
        async for image in process.checkpoints(30_000):
            manifest = image.manifest
            assert manifest.budget is not None
            assert 10**12 - manifest.budget == manifest.clock_ns  # a loop that makes no call
            moments.append(manifest.clock_ns)
            if len(moments) == 20:
                break
        tasks.cancel_scope.cancel()
    assert all(moment % 30_000 == 0 for moment in moments)
    assert moments == sorted(set(moments))


async def test_who_waits_for_a_count_keeps_nobody_waiting(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel, anyio.create_task_group() as tasks:
        process = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        made: list[fluke.Image] = []

        async def wait_for_a_count() -> None:
            made.extend([image async for image in process.checkpoints(10**9)])

        tasks.start_soon(wait_for_a_count)
        with anyio.fail_after(PATIENCE_S):
            image = await process.checkpoint()
            assert (await process.checkpoint()).manifest.clock_ns == image.manifest.clock_ns
        await process.kill()
    assert made == []


async def test_a_count_that_is_not_reached_is_given_up_with_the_budget(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=1000)
        with anyio.fail_after(PATIENCE_S):
            assert [image async for image in process.checkpoints(10**9)] == []
            assert (await process.wait()).reason == "budget"
            image = await process.checkpoint()
        assert (image.manifest.budget, image.manifest.clock_ns) == (0, 1000)
        process.add_budget(500)
        assert [image.manifest.clock_ns async for image in process.checkpoints(1250)] == [1250]


async def test_sleep_is_no_reason_for_images(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("clock", args=["3", "10000000"])  # hours
        images = [image async for image in process.checkpoints(1000)]
        assert len(images) < 20
        assert (await process.wait()).status == 0


async def test_a_restored_process_has_the_budget_that_was_left(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=5000)
        image = await anext(process.checkpoints(2000))
        assert image.manifest.budget == 3000
        await process.kill()
        for given, expected in ((None, 3000), (100, 100)):
            restored = await kernel.restore(image, budget=given)
            assert (await restored.wait()).reason == "budget"
            assert (await restored.checkpoint()).manifest.clock_ns == 2000 + expected
