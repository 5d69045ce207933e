"""Running a program that has a store."""

from __future__ import annotations

from collections.abc import Sequence

import fluke_async as fluke
from fluke_async.programs import find_program
from fluke_devices.shelf import MemoryShelf
from fluke_devices.store import Store
from tests.userland.running import in_use

STDIN = b"one\ntwo\n"
DONE = fluke.Exit("exited", 0)
BUDGET = 300_000_000  # many times what any of these runs takes: one that hangs ends
PROGRAMS = ("bounded_buffer", "checkpoint", "cow", "echo", "hello", "manager", "philosophers", "pipeline", "wild")


def shelf_with(**files: bytes) -> MemoryShelf:
    """A shelf with built-in programs, and files."""
    shelf = MemoryShelf()
    for name in PROGRAMS:
        shelf.put(name.encode(), find_program(name))
    for name, data in files.items():
        shelf.put(name.encode(), data)
    return shelf


async def run(
    shelf: MemoryShelf, args: Sequence[str], *, program: str = "manager", budget: int = BUDGET, memory: str = "64M",
    model: str = "interrupt", preemption: str = "partial", cpus: int = 1,
) -> tuple[bytes, fluke.Exit]:  # fmt: skip
    """What a program prints that has a store, and how it ends; nothing is left of it."""
    async with fluke.Kernel(model=model, preemption=preemption, cpus=cpus, memory=memory) as kernel:
        store = kernel.plug_in(Store(shelf))
        process = await kernel.spawn(program, args=args, stdin=STDIN, budget=budget, services={"store": store})
        output = await process.stdout.read_all()
        end = await process.wait()
        await process.kill()
        assert in_use(kernel) == (0, 0, 0)
    return output, end
