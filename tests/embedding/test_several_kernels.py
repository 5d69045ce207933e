"""Kernels do not know of each other, in one event loop or in several threads of the host, nor of those before."""

from __future__ import annotations

import asyncio
import gc
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import anyio

import fluke_async as fluke
from fluke_async.kernel.core import Core
from tests.embedding import traces
from tests.embedding.conftest import MakeKernel
from tests.resident import measures_memory, resident_bytes

COUNT = 3


async def test_several_in_one_loop(model: str, preemption: str, tmp_path: Path) -> None:
    alone = await traces.write(tmp_path / "alone", model=model, preemption=preemption)
    paths = [tmp_path / str(i) for i in range(COUNT)]
    async with anyio.create_task_group() as tasks:
        for path in paths:
            tasks.start_soon(partial(traces.write, path, model=model, preemption=preemption))
    for path in paths:
        assert path.read_bytes() == alone


def test_several_in_threads(model: str, preemption: str, tmp_path: Path) -> None:
    def run(name: str) -> bytes:
        return asyncio.run(traces.write(tmp_path / name, model=model, preemption=preemption))

    alone = run("alone")
    with ThreadPoolExecutor(COUNT) as threads:
        assert list(threads.map(run, map(str, range(COUNT)))) == [alone] * COUNT


async def test_one_inside_another(make_kernel: MakeKernel) -> None:
    async with make_kernel() as outer, make_kernel() as inner:
        first = await outer.spawn("hello", args=["outer"])
        second = await inner.spawn("hello", args=["inner"])
        assert await second.stdout.read_all() == b"Hello, inner!\n"
        assert await first.stdout.read_all() == b"Hello, outer!\n"


async def test_the_end_of_one_leaves_the_other(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("spin", budget=10_000_000)
        async with make_kernel() as other:
            killed = await other.spawn("spin")
        assert (await killed.wait()).reason == "killed"
        assert await process.wait() == fluke.Exit("budget", 1, "the budget of instructions is used up")


@measures_memory
async def test_one_after_the_other_they_leave_nothing_behind(make_kernel: MakeKernel) -> None:
    async def live_once() -> None:
        async with make_kernel() as kernel:
            process = await kernel.spawn("primes", args=["1000", "2"])
            await process.stdout.read_all()
            await kernel.spawn("spin")

    for _ in range(5):
        await live_once()
    cores, before = live_cores(), resident_bytes()
    for _ in range(20):
        await live_once()
    assert live_cores() == cores
    assert resident_bytes() - before < 4 << 20


def live_cores() -> int:
    gc.collect()
    return sum(isinstance(each, Core) for each in gc.get_objects())
