"""Operations of the kernel, timed from inside the guest: the slope of a program's run time over its loop count."""

from __future__ import annotations

import time

from fluke_async.bench.measure import Figure, figure
from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.process import Process
from fluke_async.errors import FlukeError

PROGRAM = "pingpong_bench"
RUNS = 7
SHORT, LONG = 2_000, 42_000


async def operation_us(
    operation: str, model: str, name: str, bound_us: float, per_round: int = 1, *, program: str = PROGRAM
) -> Figure:
    """Microseconds of one operation that the program repeats `per_round` times in a round."""
    samples = []
    async with Kernel(model=model) as kernel:
        for _ in range(RUNS):
            seconds = [await _timed(kernel, program, operation, count) for count in (SHORT, LONG)]
            samples.append((seconds[1] - seconds[0]) * 1e6 / (LONG - SHORT) / per_round)
    return figure(name, "us", samples, bound_us)


async def _timed(kernel: Kernel, program: str, operation: str, count: int) -> float:
    begun = time.perf_counter()
    process = await kernel.spawn(program, args=[operation, str(count)])
    await check(process)
    return time.perf_counter() - begun


async def check(process: Process) -> None:
    """Wait for the end of a benchmark's program; FlukeError if it failed."""
    exit_ = await process.wait()
    if exit_.reason != "exited" or exit_.status != 0:
        raise FlukeError(f"the benchmark's program failed: {exit_}; rebuild the programs of userland")
