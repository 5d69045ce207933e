"""
Processes read out, saved, restored and forked: what it takes, and for how long they stand still.

The pause is the time from the moment at which a process stands still until it goes on, by the kernel's own two calls.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio

from fluke_async.bench.measure import Figure, figure
from fluke_async.embedding.driver import Driver
from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.process import Process
from fluke_async.errors import FlukeError
from fluke_async.image.image import Image

PROGRAM = "images_bench"
RUNS = 9
SIZES_MIB = (1, 16, 256)
THREADS = 8
COMPUTING = "spin"  # while its instructions are executed, time passes for the others
CHANGED_PAGES = 41  # 1 % of 16 MiB
NAP_S = 0.001


async def image_figures() -> list[Figure]:
    """Milliseconds for a process of 16 MiB with 8 threads; the pause also for 1 and 256 MiB; a fork of 4 MiB."""
    pauses = [await _pause_ms(mib) for mib in SIZES_MIB]
    ratio = max(each.median for each in pauses) / min(each.median for each in pauses)
    whole = await _whole_figures()
    return [*pauses, figure("  the longest of these, beside the shortest", "x", [ratio], 1.5), *whole, await _fork_ms()]


async def _started(kernel: Kernel, mib: int, threads: int) -> Process:
    gc.collect()  # what earlier kernels have left
    process = await kernel.spawn(PROGRAM, args=[str(mib), str(threads)])
    if await process.stdout.receive() != b"ready\n":
        raise FlukeError(f"{PROGRAM} could not start: {await process.wait()}")
    await process.checkpoint()  # the manager is there, and has its memory
    return process


async def _ms(action: Callable[[], Awaitable[object]]) -> float:
    begun = time.perf_counter()
    await action()
    return (time.perf_counter() - begun) * 1e3


async def _pause_ms(mib: int) -> Figure:
    samples: list[float] = []
    begun = 0.0
    set_held = Driver.set_held

    def timed(driver: Driver, process: Process, held: bool) -> None:
        nonlocal begun
        if held:
            begun = time.perf_counter()
        set_held(driver, process, held)
        if not held:
            samples.append((time.perf_counter() - begun) * 1e3)

    async with Kernel(memory=f"{2 * mib + 32}M") as kernel:
        process = await _started(kernel, mib, THREADS)
        Driver.set_held = timed  # type: ignore[method-assign, assignment]
        try:
            for _ in range(RUNS):
                await process.checkpoint()
                await anyio.sleep(NAP_S)
        finally:
            Driver.set_held = set_held  # type: ignore[method-assign]
    return figure(f"pause of a process of {mib} MiB", "ms", samples, 3)


async def _whole_figures() -> list[Figure]:
    complete: list[float] = []
    incremental: list[float] = []
    shares: list[float] = []
    save: list[float] = []
    lag: list[float] = []
    load: list[float] = []
    restore: list[float] = []
    async with Kernel(memory="96M") as kernel:
        process = await _started(kernel, 16, THREADS)
        with TemporaryDirectory() as folder:
            for run in range(RUNS):
                begun = time.perf_counter()
                base = await process.checkpoint()
                complete.append((time.perf_counter() - begun) * 1e3)
                await _let_change(kernel)
                begun = time.perf_counter()
                change = await process.checkpoint(base)
                incremental.append((time.perf_counter() - begun) * 1e3)
                path, small = Path(folder) / f"{run}", Path(folder) / f"{run}-change"
                lag.append(await _lag_ms(lambda base=base, path=path: base.save(path), save))  # type: ignore[misc]
                change.save(small)
                shares.append(small.stat().st_size / path.stat().st_size * 100)
                begun = time.perf_counter()
                image = Image.load(path)
                load.append((time.perf_counter() - begun) * 1e3)
                begun = time.perf_counter()
                restored = await kernel.restore(image)
                restore.append((time.perf_counter() - begun) * 1e3)
                await restored.kill()
    ratios = [each / whole * 100 for each, whole in zip(incremental, complete, strict=True)]
    return [
        figure("complete image of 16 MiB in memory, hashed", "ms", complete, 120),
        figure("  compressed to a file", "ms", save, 200),
        figure("  event-loop lag p99 meanwhile", "ms", lag, 5),
        figure("  loaded from the file, and checked", "ms", load, 120),
        figure("  restored", "ms", restore, 80),
        figure("incremental image after 1 % was written", "%", ratios, 15),
        figure("  its file, beside the complete one", "%", shares, 3),
    ]


async def _let_change(kernel: Kernel) -> None:
    """Wait until the program has written a hundredth of its pages, one a millisecond of its time."""
    other = await kernel.spawn(COMPUTING, args=["1000000", "1"], budget=CHANGED_PAGES * 1_000_000)
    await other.wait()
    await other.kill()


async def _lag_ms(save: Callable[[], None], durations: list[float]) -> float:
    """Save in a thread; how late the event loop was meanwhile, 99 times of 100."""
    lags: list[float] = []
    is_done = anyio.Event()

    async def watch() -> None:
        while not is_done.is_set():
            begun = time.perf_counter()
            await anyio.sleep(NAP_S)
            lags.append((time.perf_counter() - begun - NAP_S) * 1e3)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        durations.append(await _ms(lambda: anyio.to_thread.run_sync(save)))
        is_done.set()
    return sorted(lags)[len(lags) * 99 // 100]


async def _fork_ms() -> Figure:
    samples: list[float] = []
    async with Kernel(memory="64M") as kernel:
        process = await _started(kernel, 4, 1)
        for _ in range(RUNS * 3):
            await anyio.sleep(NAP_S)  # what the program does beside is done
            begun = time.perf_counter()
            (branch,) = await process.fork(1)
            samples.append((time.perf_counter() - begun) * 1e3)
            await branch.kill()
    return figure("fork of a process of 4 MiB", "ms", samples, 2)
