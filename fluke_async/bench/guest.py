"""Operations of the kernel, timed from inside the guest: the slope of a program's run time over its loop count."""

from __future__ import annotations

import time

from fluke_async.abi.codes import SLOT_SIZE
from fluke_async.bench.measure import Figure, figure
from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.loader import START_BLOCK_VA
from fluke_async.embedding.process import Process
from fluke_async.errors import FlukeError
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference

PROGRAM = "pingpong_bench"
RUNS = 7
SHORT, LONG = 2_000, 42_000
FREE_SLOT_VA = START_BLOCK_VA + 64 * SLOT_SIZE  # beyond the objects that a program starts with


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


async def ipc_between_spaces_us(model: str, name: str, bound_us: float) -> Figure:
    """Microseconds of an `ipc_call` round trip of 8 bytes between two programs."""
    samples = []
    async with Kernel(model=model) as kernel:
        for _ in range(RUNS):
            seconds = [await _timed_pair(kernel, count) for count in (SHORT, LONG)]
            samples.append((seconds[1] - seconds[0]) * 1e6 / (LONG - SHORT))
    return figure(name, "us", samples, bound_us)


async def _timed(kernel: Kernel, program: str, operation: str, count: int) -> float:
    begun = time.perf_counter()
    process = await kernel.spawn(program, args=[operation, str(count)])
    await _check(process)
    return time.perf_counter() - begun


async def _timed_pair(kernel: Kernel, count: int) -> float:
    """A server and a client, each stopped by its budget at once, tied together, and let go."""
    portset = {"FLUKE_PORTSET": str(FREE_SLOT_VA)}
    reference = {"FLUKE_PORT_REF": str(FREE_SLOT_VA)}
    server = await kernel.spawn(PROGRAM, args=["ipc-server"], env=portset, budget=1)
    client = await kernel.spawn(PROGRAM, args=["ipc-client", str(count)], env=reference, budget=1)
    await server.wait()
    await client.wait()
    await kernel.inspect(lambda core: _tie(core, server, client))
    begun = time.perf_counter()
    server.add_budget(1 << 60)
    client.add_budget(1 << 60)
    await _check(client)
    seconds = time.perf_counter() - begun
    await server.kill()
    return seconds


def _tie(core: Core, server: Process, client: Process) -> None:
    """A port set and its port in the server's memory, a reference to the port in the client's."""
    assert server.loaded is not None
    assert client.loaded is not None
    portset = server.loaded.slab.object_at(FREE_SLOT_VA, Portset)
    port = server.loaded.slab.object_at(FREE_SLOT_VA + SLOT_SIZE, Port)
    port.import_state(core, None, None, {"portset": portset})
    client.loaded.slab.object_at(FREE_SLOT_VA, Reference).target = port


async def _check(process: Process) -> None:
    exit_ = await process.wait()
    if exit_.reason != "exited" or exit_.status != 0:
        raise FlukeError(f"the benchmark's program failed: {exit_}; rebuild the programs of userland")
