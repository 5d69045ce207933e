"""Messages between two programs, timed from inside the guest: round trips in three ways, long ones, and in a crowd."""

from __future__ import annotations

import time

import anyio

from fluke_async.abi.codes import SLOT_SIZE, WORD_SIZE
from fluke_async.bench.guest import PROGRAM, check
from fluke_async.bench.measure import Figure, figure
from fluke_async.bench.threads import CROWD_MEMORY
from fluke_async.bench.threads import PROGRAM as CROWD_PROGRAM
from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.loader import START_BLOCK_VA
from fluke_async.embedding.process import Process
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference

RUNS = 7
ROUNDS = (2_000, 22_000)
KEEP = ("keep", "server")
WAYS = {  # ways to ask, and to serve, by their names; and what a round trip may take, in us
    ("call", "server"): ("ipc_call", 50.0),
    KEEP: ("  over a kept connection", 40.0),
    ("connect", "brief-server"): ("  with connect and disconnect, by the server", 60.0),
    ("connect", "server"): ("  with connect and disconnect, by the client", 60.0),
}
KIB = 1024
LONG_ROUNDS = {64 * KIB: (200, 2_200), 8192 * KIB: (4, 24)}
LONG_BOUND_US = {64 * KIB: 120.0, 8192 * KIB: 15_000.0}
CROWD_THREADS, CROWD_PORTS = 10_000, 1_000
FREE_SLOT_VA = START_BLOCK_VA + 64 * SLOT_SIZE  # beyond the objects that a program starts with


async def round_trip_figures(model: str) -> list[Figure]:
    """Microseconds of a request and a reply of 8 bytes each: by a call, over a kept connection, over one for each."""
    async with Kernel(model=model) as kernel:
        runs = [{way: await _round_trip_us(kernel, way, ROUNDS) for way in WAYS} for _ in range(RUNS)]
    return [
        figure(f"{name}, two spaces, {model}", "us", [run[way] for run in runs], bound_us)
        for way, (name, bound_us) in WAYS.items()
    ]


async def long_message_figures(model: str) -> list[Figure]:
    """Microseconds of a long request and a reply of 8 bytes, over a kept connection."""
    figures = []
    async with Kernel(model=model) as kernel:
        for size_bytes, rounds in LONG_ROUNDS.items():
            words = size_bytes // WORD_SIZE
            samples = [await _round_trip_us(kernel, KEEP, rounds, words) for _ in range(RUNS)]
            name = f"  message of {size_bytes // KIB:,} KiB, {model}"
            figures.append(figure(name, "us", samples, LONG_BOUND_US[size_bytes]))
    return figures


async def models_figure() -> Figure:
    """A round trip over a kept connection in the process model, beside one in the interrupt model; in turns."""
    ratios = []
    async with Kernel(model="interrupt") as interrupt, Kernel(model="process") as process:
        for _ in range(RUNS):
            of_interrupt, of_process = [await _round_trip_us(each, KEEP, ROUNDS) for each in (interrupt, process)]
            ratios.append(of_process / of_interrupt)
    return figure("  process model, beside the interrupt model", "x", ratios, 1.5)


async def crowd_figure(model: str) -> Figure:
    """A round trip beside many blocked threads, on a set of many ports, beside one with neither; in turns."""
    async with Kernel(model=model) as empty, Kernel(model=model, memory=CROWD_MEMORY) as full:
        lines, stdin = anyio.create_memory_object_stream[bytes](1)
        crowd = await full.spawn(CROWD_PROGRAM, args=["crowd", str(CROWD_THREADS)], stdin=stdin)
        await crowd.stdout.receive()
        ratios = []
        for _ in range(RUNS):
            alone_us = await _round_trip_us(empty, KEEP, ROUNDS)
            ratios.append(await _round_trip_us(full, KEEP, ROUNDS, ports=CROWD_PORTS) / alone_us)
        await crowd.kill()
        lines.close()
        stdin.close()
    return figure(f"  beside {CROWD_THREADS:,} blocked threads, {CROWD_PORTS:,} ports, {model}", "x", ratios, 1.2)


async def _round_trip_us(
    kernel: Kernel, way: tuple[str, str], rounds: tuple[int, int], words: int = 1, ports: int = 1
) -> float:
    few, many = rounds
    seconds = [await _timed_pair(kernel, way, count, words, ports) for count in (few, many)]
    return (seconds[1] - seconds[0]) * 1e6 / (many - few)


async def _timed_pair(kernel: Kernel, way: tuple[str, str], count: int, words: int, ports: int) -> float:
    """A server and a client, each stopped by its budget at once, tied together, and let go."""
    asks, serves = way
    portset = {"FLUKE_PORTSET": str(FREE_SLOT_VA)}
    reference = {"FLUKE_PORT_REF": str(FREE_SLOT_VA)}
    server = await kernel.spawn(PROGRAM, args=[serves, "0", str(words)], env=portset, budget=1)
    client = await kernel.spawn(PROGRAM, args=[f"{asks}-client", str(count), str(words)], env=reference, budget=1)
    await server.wait()
    await client.wait()
    await kernel.inspect(lambda core: _tie(core, server, client, ports))
    begun = time.perf_counter()
    server.add_budget(1 << 60)
    client.add_budget(1 << 60)
    await check(client)
    seconds = time.perf_counter() - begun
    await server.kill()
    return seconds


def _tie(core: Core, server: Process, client: Process, ports: int) -> None:
    """A port set and its ports in the server's memory, a reference to the last port in the client's."""
    assert server.loaded is not None
    assert client.loaded is not None
    portset = server.loaded.slab.object_at(FREE_SLOT_VA, Portset)
    for _ in range(ports):
        port = server.loaded.slab.parent_object(Port)
        port.import_state(core, None, None, {"portset": portset})
    client.loaded.slab.object_at(FREE_SLOT_VA, Reference).target = port
