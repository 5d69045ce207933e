"""Processes are read out whatever they are in, and go on from that, here or in another kernel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.embedding.checkpointer import INPUT_TO_COME
from fluke_async.embedding.reading import Pages, Reading
from fluke_async.kernel.consistency import check
from fluke_async.kernel.core import Core
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import LOOP, Feed, cut_off, idle, pass_time
from tests.userland.running import in_use

EXITED = fluke.Exit("exited", 0)
PROGRAMS: list[tuple[str, list[str], int]] = [
    ("clock", ["3", "50"], 500),
    ("philosophers", [], 5_000),
    ("pipeline", [], 2_000_000),
    ("pager", [], 300_000),
    ("nested", [], 40_000),
    ("shared_memory", [], 200_000),
    ("pingpong", [], 200_000),
    ("echo", [], 1_000),
]
STDIN = b"one\ntwo\nthree"


async def result(process: fluke.Process) -> tuple[bytes, fluke.Exit]:
    return await process.stdout.read_all(), await process.wait()


def written(image: fluke.Image) -> int:
    end = image.manifest.devices["console"].state["written"]
    assert isinstance(end, int)
    return end


@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize(("program", "args", "every"), PROGRAMS, ids=[name for name, *_ in PROGRAMS])
async def test_process_that_is_read_out_goes_on_as_if_it_had_not_been(
    make_kernel: MakeKernel, program: str, args: list[str], every: int
) -> None:
    async with make_kernel() as kernel:
        undisturbed = await result(await kernel.spawn(program, args=args, stdin=STDIN))
    async with make_kernel() as kernel:
        process = await kernel.spawn(program, args=args, stdin=STDIN)
        images = [image async for image in process.checkpoints(every, incremental=True)]
        assert await result(process) == undisturbed
    assert images
    for image in images[:: len(images) // 4 + 1]:
        async with make_kernel() as kernel:
            output, end = await result(await kernel.restore(image))
            assert (output, end) == (undisturbed[0][written(image) :], undisturbed[1])


async def test_kernel_is_left_as_it_was(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("clock", args=["2", "10"])
        image = await process.checkpoint()
        await process.kill()
        with_manager = None
        for _ in range(3):  # the first time, the manager takes memory for records
            restored = await kernel.restore(image)
            branch, other = await restored.fork(2)
            await restored.checkpoint()
            for each in (restored, branch, other):
                await each.kill()
            assert with_manager in (None, in_use(kernel))
            with_manager = in_use(kernel)
        assert await kernel.inspect(lambda core: len(core.root._slabs)) == 1  # the manager's
        await kernel.inspect(check)


async def test_input_that_was_not_read_goes_with_the_image(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        feed = Feed()
        process = await kernel.spawn("echo", stdin=feed)
        feed.give(b"abc")
        while not feed.wanted.is_set():
            await anyio.lowlevel.checkpoint()
        await idle()
        image = await process.checkpoint()
        assert image.manifest.unsaved == (INPUT_TO_COME,)
        feed.give(b"first")
        feed.end()
        assert await result(process) == (b"abcfirst\n", EXITED)
        assert written(image) == 0
        for more in (b"second", b""):
            assert await result(await kernel.restore(image, stdin=more)) == (b"abc" + more + b"\n", EXITED)


async def test_branches_of_a_fork_go_on_each_for_itself(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("memtest")
        branches = await process.fork(3)
        outputs = {await each.stdout.read_all() for each in (process, *branches)}
        assert len(outputs) == 1
        assert [await each.wait() for each in (process, *branches)] == [EXITED] * 4


@pytest.mark.parametrize("count", [0, -1, True, 1.5])
async def test_fork_wants_a_number(count: int) -> None:
    async with fluke.Kernel() as kernel:
        process = await kernel.spawn(LOOP)
        with pytest.raises(fluke.FlukeError, match="is no number of copies: give one from 1 up"):
            await process.fork(count)
        with pytest.raises(fluke.FlukeError, match="is no number of instructions between two images"):
            async for _ in process.checkpoints(count):
                pass


async def test_time_goes_on_from_the_image(make_kernel: MakeKernel) -> None:
    """A program never sees time run back, nor that time has passed while it was away."""
    async with make_kernel() as kernel:
        undisturbed = await result(await kernel.spawn("clock", args=["3", "50"]))
    async with make_kernel() as kernel:
        process = await kernel.spawn("clock", args=["3", "50"])
        images = [image async for image in process.checkpoints(30_000_000)]
        await pass_time(kernel)
        for image in images:
            assert (await result(await kernel.restore(image)))[0] == undisturbed[0][written(image) :]


async def test_budget_goes_with_the_image(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=100_001)
        assert (await process.wait()).reason == "budget"
        image = await process.checkpoint()
        assert image.manifest.budget == 0
        [counted] = [record.state["x"] for record in image.manifest.objects if record.type == "thread"]
        restored = await kernel.restore(image, budget=1000)
        assert (await restored.wait()).reason == "budget"
        [further] = [
            record.state["x"] for record in (await restored.checkpoint()).manifest.objects if record.type == "thread"
        ]
        assert isinstance(counted, tuple)
        assert isinstance(further, tuple)
        assert further[11] - counted[11] == 500


async def test_suspended_process_is_read_out_and_stays_suspended(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("primes", args=["300", "2"])
        await process.suspend()
        image = await process.checkpoint()
        assert process.is_suspended
        restored = await kernel.restore(image)
        undisturbed = await result(restored)
        await process.resume()
        assert await result(process) == undisturbed


async def test_incremental_images_have_what_was_written(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("clock", args=["3", "50"])
        images = [image async for image in process.checkpoints(1_000, incremental=True)]
    assert len(images) >= 3
    first, *others = images
    assert all(len(each.table) < len(first.table) for each in others)
    assert [each.parent for each in others] == images[:-1]


async def test_an_image_on_another_parent_is_complete_too(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("clock", args=["3", "50"])
        first = await process.checkpoint()
        await pass_time(kernel, 1000)
        await process.suspend()
        second = await process.checkpoint(first)
        third = await process.checkpoint(first)
        await process.kill()
        assert second.parent == third.parent == first
        assert dict(second.pages()) == dict(third.pages())


async def test_only_an_image_of_the_process_can_be_a_parent(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("memtest")
        first = await process.checkpoint()
        await pass_time(kernel)
        later = await process.checkpoint()
        before, other = await kernel.restore(first), await kernel.spawn(LOOP)
        assert (await before.checkpoint(first)).parent == first
        for each in (before, other):
            with pytest.raises(fluke.FlukeError, match="the parent is no image of this process: give one"):
                await each.checkpoint(later)
            for no_image in ("image", b"", 1):
                with pytest.raises(fluke.FlukeError, match="is no image: give one"):
                    await each.checkpoint(no_image)  # type: ignore[arg-type]
            assert (await each.checkpoint()).parent is None


async def test_process_that_ends_meanwhile_has_a_whole_image(
    make_kernel: MakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Reading.pages

    async def pages(reading: Reading) -> AsyncIterator[Pages]:
        some = reading.hold.take(core[0], 3)
        yield some
        await process.kill()
        async for each in whole(reading):
            yield each

    async with make_kernel() as kernel:
        core = [await kernel.inspect(lambda core: core)]
        undisturbed = await result(await kernel.spawn("primes", args=["2000", "2"]))
        process = await kernel.spawn("primes", args=["2000", "2"])
        with monkeypatch.context() as patch:
            patch.setattr(Reading, "pages", pages)
            image = await process.checkpoint()
        assert process.has_ended
        assert await result(await kernel.restore(image)) == undisturbed


async def test_cancelled_checkpoint_leaves_the_process_alone(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        undisturbed = await result(await kernel.spawn("clock", args=["3", "50"]))
        for turns in range(0, 60, 7):
            process = await kernel.spawn("clock", args=["3", "50"])
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(process.checkpoint)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                tasks.cancel_scope.cancel()
            output, end = await result(process)
            assert (output.count(b"\n"), end) == (undisturbed[0].count(b"\n"), undisturbed[1])


async def test_cancelled_restore_and_fork_leave_nothing(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP)
        image = await process.checkpoint()
        for each in (await kernel.restore(image), *await process.fork(2)):
            await each.kill()
        before = in_use(kernel)
        for turns in range(0, 60, 7):
            await cut_off(turns, kernel, process, partial(kernel.restore, image), partial(process.fork, 3))
            assert in_use(kernel) == before


async def test_process_that_has_ended_cannot_be_read_out(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello")
        await process.wait()
        for what in (process.checkpoint, lambda: process.fork(2)):
            with pytest.raises(fluke.FlukeError, match="'hello' has ended: there is nothing left of it"):
                await what()
        assert [image async for image in process.checkpoints(1000)] == []


async def test_too_little_memory_for_a_fork_leaves_nothing() -> None:
    async with fluke.Kernel(memory="4M") as kernel:
        process = await kernel.spawn(LOOP)
        await process.checkpoint()
        before = in_use(kernel)
        with pytest.raises(fluke.FlukeError, match=r"memory of \d+ bytes is used up"):
            await process.fork(500)
        assert in_use(kernel) == before
        await process.fork(2)


async def test_manager_that_is_gone_is_replaced(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("clock", args=["2", "50"])
        await process.checkpoint()

        def end(_: Core) -> None:
            manager = process.checkpointer._driver.manager
            assert manager is not None
            manager.end("for the test")

        await kernel.inspect(end)
        await process.checkpoint()
        assert await process.wait() == EXITED


async def test_kernel_can_end_in_the_middle_of_it(make_kernel: MakeKernel) -> None:
    for turns in range(0, 40, 5):
        async with make_kernel() as kernel, anyio.create_task_group() as tasks:
            process = await kernel.spawn("clock", args=["2", "50"])

            async def read_out(process: fluke.Process = process) -> None:
                with pytest.raises(fluke.FlukeError):
                    while True:
                        await process.checkpoint()

            tasks.start_soon(read_out)
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            await process.kill()
