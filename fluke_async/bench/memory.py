"""Faults, mappings and spaces, timed from inside the guest; figures are differences of slopes, taken in turns."""

from __future__ import annotations

import time

import anyio

from fluke_async.bench.measure import Figure, figure
from fluke_async.embedding.kernel import Kernel
from fluke_async.errors import FlukeError

PROGRAM = "memory_bench"
RUNS = 7
SPAN_PAGES, AROUND_PAGES = 4096, 16  # as in the program: 16 MiB, and the pages that are entered together
COUNTS = {"take_away": (500, 5500), "hard": (500, 5500), "map": (100, 1100), "map_some": (2, 22), "map_all": (2, 22)}
MANY_SPACES, ROUNDS = 1_000, (4_000, 24_000)
SPACES_MEMORY = "1200M"


async def memory_figures(model: str) -> list[Figure]:
    """Microseconds of a soft fault, of a page with those around it, of a hard fault, and of mapping 16 MiB."""
    async with Kernel(model=model) as kernel:
        runs = [{operation: await _slope_us(kernel, operation) for operation in COUNTS} for _ in range(RUNS)]
    soft_faults = SPAN_PAGES // AROUND_PAGES
    return [
        figure(f"soft fault, {model} model", "us", [(r["map_some"] - r["map"]) / soft_faults for r in runs], 8),
        figure("  a page, with those around it", "us", [(r["map_all"] - r["map"]) / SPAN_PAGES for r in runs], 1.5),
        figure("  hard fault, keeper in user mode", "us", [r["hard"] - r["take_away"] for r in runs], 90),
        figure("  map and unmap 16 MiB", "us", [r["map"] for r in runs], 2000),
        figure("  the same, with all pages looked up", "us", [r["map_all"] for r in runs], 2000 + 1.5 * SPAN_PAGES),
    ]


async def spaces_figure(model: str) -> Figure:
    """What an operation on one of many spaces costs, beside one on a single space: a page is lost and touched again."""
    async with Kernel(model=model, memory=SPACES_MEMORY) as kernel:
        ratios = []
        for _ in range(RUNS):
            one, many = [await _spaces_us(kernel, count) for count in (1, MANY_SPACES)]
            ratios.append(many / one)
    return figure(f"{MANY_SPACES:,} spaces of 1 MiB, beside one, {model}", "x", ratios, 1.2)


async def _slope_us(kernel: Kernel, operation: str) -> float:
    short, long = COUNTS[operation]
    seconds = [await _timed(kernel, operation, count) for count in (short, long)]
    return (seconds[1] - seconds[0]) * 1e6 / (long - short)


async def _timed(kernel: Kernel, operation: str, count: int) -> float:
    begun = time.perf_counter()
    process = await kernel.spawn(PROGRAM, args=[operation, str(count)])
    exit_ = await process.wait()
    if exit_.status != 0:
        raise FlukeError(f"{PROGRAM} failed: {exit_}; rebuild the programs of userland")
    return time.perf_counter() - begun


async def _spaces_us(kernel: Kernel, spaces: int) -> float:
    seconds = []
    for count in ROUNDS:
        here, there = anyio.create_memory_object_stream[bytes](1)
        process = await kernel.spawn(PROGRAM, args=["spaces", str(count), str(spaces)], stdin=there)
        if await process.stdout.receive() != b"ready\n":
            raise FlukeError(f"{PROGRAM} could not make {spaces} spaces: {await process.wait()}")
        begun = time.perf_counter()
        await here.send(b"\n")
        here.close()
        await process.wait()
        seconds.append(time.perf_counter() - begun)
        there.close()
    return (seconds[1] - seconds[0]) * 1e6 / (ROUNDS[1] - ROUNDS[0])
