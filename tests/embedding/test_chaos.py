"""Anything at any time: processes are started, killed, held, fed and given budgets at random, and all stays sound."""

from __future__ import annotations

import random

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.kernel.consistency import check
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import Feed

PROGRAMS: list[tuple[str, list[str]]] = [
    ("hello", []),
    ("primes", ["200", "3"]),
    ("clock", ["2", "1"]),
    ("spin", []),
    ("echo", []),
    ("wild", ["null-read"]),
    ("badpointers", ["ipc_call"]),
    ("badpointers", ["thread_destroy"]),
]
STEPS, MOST_PROCESSES = 60, 12


class Chaos:
    """A host that does not know what it wants."""

    def __init__(self, kernel: fluke.Kernel, seed: int) -> None:
        self.kernel = kernel
        self.chance = random.Random(seed)
        self.processes: list[fluke.Process] = []
        self.feeds: list[Feed] = []

    async def start(self) -> None:
        if len(self.processes) == MOST_PROCESSES:
            return
        name, args = self.chance.choice(PROGRAMS)
        feed = Feed()
        self.feeds.append(feed)
        budget = self.chance.choice([None, 1, 500, 5000, 50_000])
        self.processes.append(await self.kernel.spawn(name, args=args, stdin=feed, budget=budget))

    async def kill(self) -> None:
        await self.chance.choice(self.processes).kill()

    async def suspend(self) -> None:
        await self.chance.choice(self.processes).suspend()

    async def resume(self) -> None:
        await self.chance.choice(self.processes).resume()

    async def add_budget(self) -> None:
        process = self.chance.choice(self.processes)
        if process.loaded is not None and process.loaded.account.instructions_left is not None:
            process.add_budget(self.chance.choice([1, 100, 10_000]))

    async def feed(self) -> None:
        self.chance.choice(self.feeds).give(b"x" * self.chance.randrange(2000) + b"\n")

    async def end_input(self) -> None:
        self.chance.choice(self.feeds).end()

    async def look(self) -> None:
        for _ in range(self.chance.randrange(30)):
            await anyio.lowlevel.checkpoint()
        for process in self.processes:
            for thread in process.threads():
                assert len(thread.registers) == 32

    async def step(self) -> None:
        actions = [self.start] * 4 + [self.kill, self.add_budget, self.add_budget, self.feed, self.end_input, self.look]
        actions += [self.suspend, self.resume]
        await (self.chance.choice(actions) if self.processes else self.start)()


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("clock", ["virtual", "real"])
async def test_the_kernel_stays_sound(make_kernel: MakeKernel, clock: str, seed: int) -> None:
    async with make_kernel(clock=clock, memory="4M") as kernel:
        chaos = Chaos(kernel, seed)
        for _ in range(STEPS):
            await chaos.step()
            await kernel.inspect(check)
        for process in chaos.processes:
            await process.kill()
        now = kernel.statistics()
        assert (now.processes, now.objects, now.frames, now.memory_used_bytes) == (0, 0, 0, 0)
        with anyio.fail_after(10):
            for process in chaos.processes:
                assert (await process.wait()).reason in {"exited", "killed", "exception"}
                await process.stdout.read_all()
