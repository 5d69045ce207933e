"""Leaving the kernel's block ends everything, however it is left, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.device import DevicePort
from fluke_async.kernel.core import Core
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import Feed, Sink, idle


def other_tasks() -> set[asyncio.Task[object]]:
    return asyncio.all_tasks() - {asyncio.current_task()}


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = other_tasks()
    yield
    for _ in range(3):  # tasks that were woken end in the next turns
        await anyio.lowlevel.checkpoint()
    assert other_tasks() == before


async def start_two(kernel: fluke.Kernel) -> tuple[fluke.Process, fluke.Process]:
    feed = Feed()
    waits = await kernel.spawn("echo", stdin=feed, stdout=Sink())
    await feed.wanted.wait()
    return await kernel.spawn("spin"), waits


async def check_ended(*processes: fluke.Process) -> None:
    with anyio.fail_after(5):
        for process in processes:
            assert (await process.wait()).reason == "killed"
            assert await process.stdout.read_all() == b""
            assert process.threads() == ()


async def test_leaving_ends_all_processes(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        processes = await start_two(kernel)
    await check_ended(*processes)
    assert kernel.statistics().memory_used_bytes == 0
    assert kernel.statistics().objects == 0


async def test_a_kernel_that_does_nothing(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        pass
    assert kernel.statistics().time_ns == 0


async def test_leaving_by_an_exception(make_kernel: MakeKernel) -> None:
    with pytest.raises(LookupError, match="mine") as caught:
        async with make_kernel() as kernel:
            processes = await start_two(kernel)
            raise LookupError("mine")
    assert caught.type is LookupError
    await check_ended(*processes)


async def test_an_exception_group_of_the_body_stays_one(make_kernel: MakeKernel) -> None:
    mine = ExceptionGroup("mine", [LookupError("only one")])
    with pytest.raises(ExceptionGroup) as caught:
        async with make_kernel():
            raise mine
    assert caught.value is mine


async def test_leaving_by_cancellation_of_the_task(make_kernel: MakeKernel) -> None:
    processes: list[fluke.Process] = []
    started = anyio.Event()

    async def host() -> None:
        async with make_kernel() as kernel:
            processes.extend(await start_two(kernel))
            started.set()
            await anyio.sleep_forever()

    task = asyncio.create_task(host())
    await started.wait()
    waiting = asyncio.create_task(processes[0].wait())
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await waiting).reason == "killed"
    await check_ended(*processes)


async def test_leaving_by_cancellation_of_a_scope(make_kernel: MakeKernel) -> None:
    with anyio.CancelScope() as scope:
        async with make_kernel() as kernel:
            processes = await start_two(kernel)
            waiting = asyncio.create_task(processes[0].wait())
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    with anyio.fail_after(5):
        assert (await waiting).reason == "killed"
    await check_ended(*processes)


async def test_cancellation_while_a_process_is_being_started(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        with anyio.CancelScope() as scope:
            scope.cancel()
            await kernel.spawn("spin")
        after = await kernel.spawn("hello")
        assert await after.wait() == fluke.Exit("exited", 0)


class Failing:
    """A timer that breaks when it is asked."""

    async def run(self, port: DevicePort) -> None:
        async for _ in port:
            raise RuntimeError("the timer is broken")


async def test_a_device_that_raises_stops_the_kernel_with_that_error(
    make_kernel: MakeKernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluke_async.embedding.devices.TIMER", "tests.embedding.test_lifecycle:Failing")
    with pytest.raises(RuntimeError, match="the timer is broken"):
        async with make_kernel() as kernel:
            spinning, waiting = await start_two(kernel)
            elsewhere = asyncio.create_task(spinning.wait())
            clock = await kernel.spawn("clock")
            await clock.wait()
            raise AssertionError("the host's task is cancelled first")
    with anyio.fail_after(5):
        assert (await elsewhere).reason == "killed"
    await check_ended(spinning, waiting)
    with pytest.raises(fluke.FlukeError, match="kernel has stopped"):
        await kernel.spawn("hello")


def slip() -> None:
    raise ZeroDivisionError("a slip")


async def test_a_bug_of_ours_is_told_with_the_state(make_kernel: MakeKernel) -> None:
    def break_down(core: Core) -> None:
        core.at(core.time, slip)

    with pytest.raises(fluke.KernelBug, match="ZeroDivisionError") as caught:
        async with make_kernel() as kernel:
            process = await kernel.spawn("spin")
            elsewhere = asyncio.create_task(process.wait())
            await kernel.inspect(break_down)
            await anyio.sleep_forever()
    assert "'spin' running" in str(caught.value)
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    with anyio.fail_after(5):
        assert (await elsewhere).reason == "killed"


async def test_whoever_calls_while_the_kernel_breaks_is_told(make_kernel: MakeKernel) -> None:
    def break_down(core: Core) -> None:
        core.at(core.time, slip)

    async def spawn_later(kernel: fluke.Kernel) -> fluke.Process:
        return await kernel.spawn("hello")

    with pytest.raises(fluke.KernelBug):
        async with make_kernel() as kernel:
            process = await kernel.spawn("spin")
            await kernel.inspect(break_down)
            late = asyncio.create_task(spawn_later(kernel))
            kill = asyncio.create_task(process.kill())
            await anyio.sleep_forever()
    with anyio.fail_after(5):
        for task in (late, kill):
            with pytest.raises(fluke.FlukeError, match="kernel has stopped"):
                await task


async def test_what_inspect_raises_is_the_callers_and_harms_nobody(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        with pytest.raises(ZeroDivisionError, match="a slip"):
            await kernel.inspect(lambda _: slip())
        assert (await (await kernel.spawn("hello")).wait()).reason == "exited"


async def test_cancelled_spawn_leaves_no_process(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        spawning = asyncio.create_task(kernel.spawn("spin"))
        await anyio.lowlevel.checkpoint()
        spawning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await spawning
        await idle()
        assert (kernel.statistics().processes, kernel.statistics().objects) == (0, 0)


async def test_kill_is_served_in_the_middle_of_a_message(make_kernel: MakeKernel) -> None:
    """Long messages one after the other: the kernel is hardly ever between two calls when the loop has its turn."""
    async with make_kernel() as kernel:
        process = await kernel.spawn("bulk", args=["100000", "1024"])
        while kernel.statistics().words_copied < 1_000_000:
            await anyio.lowlevel.checkpoint()
        with anyio.fail_after(20):
            await process.kill()
        assert (await process.wait()).reason == "killed"
        other = await kernel.spawn("hello")
        assert (await other.wait()).status == 0
