"""
One warm program, and a hundred copies of it that go on with different inputs.

    python examples/fork_and_explore.py

The program `factors` makes a large table and then takes apart the numbers that it reads. It is run up to there once,
and forked while it waits for input. The copies share its memory until they write to it, so a hundred of them cost
neither the hundredfold time nor the hundredfold memory.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

import fluke_async as fluke

NUMBERS = range(100_000, 100_100)


@asynccontextmanager
async def warm_program(kernel: fluke.Kernel) -> AsyncIterator[fluke.Process]:
    """The program, when its table is there and it waits for input."""
    keyboard, stdin = anyio.create_memory_object_stream[bytes](1)
    async with keyboard, stdin:
        process = await kernel.spawn("factors", stdin=stdin)
        print((await process.stdout.receive()).decode(), end="")
        yield process


async def main() -> None:
    async with fluke.Kernel() as kernel, warm_program(kernel) as process:
        once = kernel.statistics()
        inputs = [anyio.create_memory_object_stream[bytes](1) for _ in NUMBERS]  # or bytes, where nothing is to wait
        branches = await process.fork(len(NUMBERS), stdin=[receiver for _, receiver in inputs])
        forked = kernel.statistics()
        for number, (sender, _) in zip(NUMBERS, inputs, strict=True):
            sender.send_nowait(b"%d\n" % number)
            sender.close()
        answers = await asyncio.gather(*(branch.stdout.read_all() for branch in branches))
        for _, receiver in inputs:
            receiver.close()
        finished = kernel.statistics()

    most = max(answers, key=lambda answer: answer.count(b"x"))
    print(f"{len(answers)} copies have answered; most factors: {most.decode()}", end="")
    print(
        f"the table took {once.time_ns:,} instructions, once; all copies together {finished.time_ns - once.time_ns:,}"
    )
    print(f"memory: {once.memory_used_bytes:,} bytes for one, {forked.memory_used_bytes:,} with {len(branches)} copies")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
