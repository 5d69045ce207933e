"""Threads, one by one and in crowds: creating again, blocking, waking, and what a blocked one takes of the host."""

from __future__ import annotations

import math
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from fluke_async.bench.measure import Figure, figure
from fluke_async.embedding.kernel import Kernel
from fluke_async.errors import FlukeError
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.recreation import capture, destroy, restore

PROGRAM = "locks_bench"
RUNS = 7
RECREATIONS = 1_000
FEW, SOME, MANY = 1_000, 20_000, 100_000
CROWD_RUNS, CROWD_RUNS_FEW = 3, 9
BOUND_BYTES = {"interrupt": 0.9 * 1024}
CROWD_MEMORY = "512M"


async def recreation_us(model: str, name: str, bound_us: float) -> Figure:
    """Microseconds to export, destroy and re-create one thread that waits for a mutex."""
    async with Kernel(model=model) as kernel:
        here, there = anyio.create_memory_object_stream[bytes](1)
        process = await kernel.spawn(PROGRAM, args=["crowd", "10"], stdin=there)
        await process.stdout.receive()
        samples = [await kernel.inspect(_recreate_us) for _ in range(RUNS)]
        await process.kill()
        here.close()
        there.close()
    return figure(name, "us", samples, bound_us)


def _recreate_us(core: Core) -> float:
    thread = next(each for each in core.objects.values() if isinstance(each, Thread) and each.waiting_for is not None)
    begun = time.perf_counter()
    for _ in range(RECREATIONS):
        records = capture(core, [thread])
        destroy(core, [thread])
        again = restore(core, records)[records[0].address]
        assert isinstance(again, Thread)
        thread = again
    return (time.perf_counter() - begun) * 1e6 / RECREATIONS


@dataclass(frozen=True, slots=True)
class Crowd:
    """What a crowd of threads took: to be created and block on one mutex, and to be woken in order; and its memory."""

    block_s: float
    wake_s: float
    resident_bytes: int


async def crowd(model: str, count: int) -> Crowd:
    """Make `count` threads wait for one mutex, and hand it to each of them in order."""
    async with Kernel(model=model, memory=CROWD_MEMORY) as kernel:
        lines, stdin = anyio.create_memory_object_stream[bytes](1)
        idle = await kernel.spawn(PROGRAM, args=["crowd", "0"])  # what is done once is done before the clock starts
        await idle.wait()
        begun = time.perf_counter()
        process = await kernel.spawn(PROGRAM, args=["crowd", str(count)], stdin=stdin)
        await _expect(process.stdout.receive, b"blocked\n")
        blocked = time.perf_counter()
        resident_bytes = _resident_bytes()
        await lines.send(b"\n")
        lines.close()
        woken_from = time.perf_counter()
        await _expect(process.stdout.receive, b"woken in order\n")
        woken = time.perf_counter()
        await process.wait()
        stdin.close()
    return Crowd(blocked - begun, woken - woken_from, resident_bytes)


async def _expect(receive: Any, line: bytes) -> None:
    received = await receive()
    if not received.startswith(line):
        raise FlukeError(f"{PROGRAM} printed {received!r} instead of {line!r}: rebuild the programs of userland")


def crowd_figures(model: str) -> list[Figure]:
    """
    Seconds for a crowd, what each thread of it costs beside one of a small crowd, and bytes for each.

    Every crowd lives in a fresh process, which is what makes its memory comparable. Bytes are the slope of resident
    memory over the number of threads.
    """
    small = [_in_fresh_process(model, FEW) for _ in range(CROWD_RUNS_FEW)]
    middle = [_in_fresh_process(model, SOME) for _ in range(CROWD_RUNS)]
    large = [_in_fresh_process(model, MANY) for _ in range(CROWD_RUNS)]
    figures = []
    for phase, bound_s in (("block_s", 10.0), ("wake_s", 5.0)):
        seconds = [getattr(each, phase) for each in large]
        few_s = statistics.median(getattr(each, phase) for each in small)
        what = {"block_s": "threads that block on one mutex", "wake_s": "threads woken in order"}[phase]
        figures.append(figure(f"{MANY:,} {what}, {model}", "s", seconds, bound_s))
        ratios = [each / MANY / (few_s / FEW) for each in seconds]
        figures.append(figure(f"  each, beside one of {FEW:,}", "x", ratios, 1.3))
    slopes = [
        (many.resident_bytes - some.resident_bytes) / (MANY - SOME) for some, many in zip(middle, large, strict=True)
    ]
    bound_bytes = BOUND_BYTES.get(model, math.inf)
    figures.append(figure(f"memory of a blocked thread, {model} model", "B", slopes, bound_bytes))
    return figures


def _in_fresh_process(model: str, count: int) -> Crowd:
    command = [sys.executable, "-m", "fluke_async.bench.threads", model, str(count)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    block_s, wake_s, resident_bytes = output.split()
    return Crowd(float(block_s), float(wake_s), int(resident_bytes))


def _resident_bytes() -> int:
    """Of this process, by the kernel's count (proc(5))."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise FlukeError("/proc/self/status names no VmRSS: measure memory on Linux")


if __name__ == "__main__":
    result = anyio.run(crowd, sys.argv[1], int(sys.argv[2]))
    sys.stdout.write(f"{result.block_s} {result.wake_s} {result.resident_bytes}\n")
