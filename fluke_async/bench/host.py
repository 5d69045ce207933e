"""What the host sees: start-up times, the event loop's lag, and how fast guest code runs beside the bare engine."""

from __future__ import annotations

import asyncio
import statistics
import subprocess
import sys
import time
from itertools import pairwise
from statistics import mean

from fluke_async.bench.measure import Figure, figure
from fluke_async.cpu.protocol import Cause
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.loader import load_program
from fluke_async.errors import KernelBug
from fluke_async.execution.configuration import Preemption
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.execution.hart import Hart
from fluke_async.execution.interrupt import InterruptModel
from fluke_async.kernel.core import Core
from fluke_async.programs import find_program

RUNS = 15
MEMORY_BYTES = 64 << 20
WARM_UP_INSTRUCTIONS = 5_000_000
MEASURED_INSTRUCTIONS = 60_000_000
SLICE_INSTRUCTIONS = 400_000  # what the driver comes to at some 400 million instructions a second
LAG_PROBE_S = 0.001


def wall_s(name: str, command: list[str], bound_s: float) -> Figure:
    """Seconds of a whole process."""
    samples = []
    for _ in range(RUNS):
        begun = time.perf_counter()
        subprocess.run([sys.executable, *command], check=True, capture_output=True)
        samples.append(time.perf_counter() - begun)
    return figure(name, "s", samples, bound_s)


async def lag_ms(name: str, bound_ms: float) -> Figure:
    """Milliseconds by which an application's timer comes late while `primes` runs: the 99th percentile of each run."""
    samples = []
    for _ in range(3):
        async with Kernel() as kernel:
            process = await kernel.spawn("primes", args=["600000", "3"])
            late: list[float] = []
            while not process.has_ended:
                begun = time.perf_counter()
                await asyncio.sleep(LAG_PROBE_S)
                late.append((time.perf_counter() - begun - LAG_PROBE_S) * 1e3)
        samples.append(statistics.quantiles(late, n=100)[98])
    return figure(name, "ms", samples, bound_ms)


def guest_code_percent(name: str, bound_percent: float) -> Figure:
    """
    Percent by which CPU-bound guest code is slower in the kernel than on the bare engine.

    One engine runs one program, in turn bare and under the kernel; each turn of the kernel is compared with the bare
    turns before and after it.
    """
    cpu = UnicornCpu(MEMORY_BYTES)
    try:
        core = Core(cpu, MEMORY_BYTES)
        hart = Hart(core, cpu, Dispatcher(core, InterruptModel(), Preemption.PARTIAL))
        thread = load_program(core, find_program("primes"), ["primes", "100000000", "1"], {}).thread
        core.start(thread)
        while core.time < WARM_UP_INSTRUCTIONS:
            hart.run(SLICE_INSTRUCTIONS)
        bare_s = [_run_bare(hart)]
        kernel_s = []
        for _ in range(RUNS):
            kernel_s.append(_run_in_kernel(hart))
            bare_s.append(_run_bare(hart))
        pairs = zip(kernel_s, pairwise(bare_s), strict=True)
        return figure(name, "%", [(seconds / mean(around) - 1) * 100 for seconds, around in pairs], bound_percent)
    finally:
        cpu.close()


def _run_bare(hart: Hart) -> float:
    thread = hart.last
    assert thread is not None
    begun = time.perf_counter()
    cause, thread.pc, _, retired = hart.cpu.run(thread.pc, MEASURED_INSTRUCTIONS)
    seconds = time.perf_counter() - begun
    if cause != Cause.LIMIT or retired != MEASURED_INSTRUCTIONS:
        raise KernelBug(f"the measured code is not CPU-bound: {Cause(cause).name} after {retired} instructions")
    return seconds


def _run_in_kernel(hart: Hart) -> float:
    end = hart.core.time + MEASURED_INSTRUCTIONS
    begun = time.perf_counter()
    while hart.core.time < end:
        hart.run(min(SLICE_INSTRUCTIONS, end - hart.core.time))
    return time.perf_counter() - begun
