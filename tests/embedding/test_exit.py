"""How processes end, and what is said about it."""

from __future__ import annotations

import re

import anyio
import pytest

import fluke_async as fluke
from tests.cpu import rv64
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import CODE_ADDRESS, LOOP, RECEIVES_FROM_NOBODY, Feed, elf, idle, pass_time


@pytest.mark.parametrize(("args", "status"), [(["10", "2"], 0), (["10", "99"], 2)])
async def test_exited_with_the_status_of_the_program(make_kernel: MakeKernel, args: list[str], status: int) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("primes", args=args)
        assert await process.wait() == fluke.Exit("exited", status)
        assert process.has_ended
        assert await process.wait() == fluke.Exit("exited", status)


async def test_exception_names_thread_place_and_cause(make_kernel: MakeKernel) -> None:
    program = elf(rv64.NOP, rv64.load("a0", "zero", 8))
    async with make_kernel() as kernel:
        end = await (await kernel.spawn(program)).wait()
    assert (end.reason, end.status) == ("exception", 1)
    assert re.fullmatch(
        rf"thread \d+ at pc {CODE_ADDRESS + 4:#x}: load fault, 0x8 \(nothing can be read there\)", end.message
    )


async def test_an_exception_of_one_thread_leaves_the_others_running(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("badpointers", args=["mutex_lock"])
        output = await process.stdout.read_all()
        assert await process.wait() == fluke.Exit("exited", 0)
        assert b"alive after" in output
        assert kernel.statistics().exceptions > 0


async def test_killed_while_it_runs(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("spin")
        await process.kill()
        end = await process.wait()
        assert (end.reason, end.status) == ("killed", 1)
        assert process.threads() == ()
        assert kernel.statistics().objects == 0


async def test_killed_while_it_waits_for_input(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        await process.kill()
        assert (await process.wait()).reason == "killed"
        feed.give(b"too late\n")
        after = await kernel.spawn("hello")
        assert await after.wait() == fluke.Exit("exited", 0)
        assert await process.stdout.read_all() == b""


async def test_killed_while_it_sleeps(make_kernel: MakeKernel) -> None:
    feed = Feed()  # an open request keeps the virtual clock from jumping
    async with make_kernel() as kernel:
        reader = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        process = await kernel.spawn("clock", args=["1", "1000"])
        await pass_time(kernel, 100_000)
        (thread,) = process.threads()
        assert thread.condition == "waiting"
        await process.kill()
        assert (await process.wait()).reason == "killed"
        feed.end()
        assert (await reader.wait()).reason == "exited"


async def test_killing_what_has_ended_changes_nothing(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello")
        end = await process.wait()
        await process.kill()
        assert await process.wait() == end
        assert await process.stdout.read_all() == b"Hello, world!\n"
    await process.kill()
    assert await process.wait() == end


async def test_killing_twice_at_once_is_killing(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("spin")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(process.kill)
            tasks.start_soon(process.kill)
        assert (await process.wait()).reason == "killed"


async def test_cancelling_a_wait_does_not_disturb_the_process(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=feed)
        async with anyio.create_task_group() as waiters:
            waiters.start_soon(process.wait)
            waiters.start_soon(process.stdout.receive)
            await feed.wanted.wait()
            waiters.cancel_scope.cancel()
        assert not process.has_ended
        feed.give(b"still here\n")
        feed.end()
        assert await process.wait() == fluke.Exit("exited", 0)
        assert await process.stdout.read_all() == b"still here\n"


async def test_deadlock_says_who_waits_for_what(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(RECEIVES_FROM_NOBODY)
        end = await process.wait()
        assert (end.reason, end.status) == ("deadlock", 1)
        assert re.fullmatch(r"no thread can go on: thread \d+ in ipc_wait_receive waits for portset \d+", end.message)
        assert kernel.statistics().objects == 0


async def test_deadlock_is_said_of_every_process_once_all_is_idle(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        busy = await kernel.spawn(LOOP, budget=10_000_000)
        stuck = [await kernel.spawn(RECEIVES_FROM_NOBODY) for _ in range(2)]
        assert (await busy.wait()).reason == "budget"
        assert [(await process.wait()).reason for process in stuck] == ["deadlock"] * 2


async def test_deadlock_is_not_said_while_input_may_come(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        reader = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        stuck = await kernel.spawn(RECEIVES_FROM_NOBODY)
        await pass_time(kernel)
        await idle()
        assert not stuck.has_ended
        feed.end()
        assert (await reader.wait()).reason == "exited"
        assert (await stuck.wait()).reason == "deadlock"


async def test_deadlock_under_the_real_clock(make_kernel: MakeKernel) -> None:
    async with make_kernel(clock="real") as kernel:
        process = await kernel.spawn(RECEIVES_FROM_NOBODY)
        assert (await process.wait()).reason == "deadlock"
