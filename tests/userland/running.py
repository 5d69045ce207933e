"""Running a program to its end, at once or in steps, and seeing that nothing is left of it."""

from __future__ import annotations

from collections.abc import Sequence

import fluke_async as fluke

STEP = 1_009  # instructions; it ends at instants that a program cannot choose


def in_use(kernel: fluke.Kernel) -> tuple[int, int, int]:
    """Objects, frames and bytes of memory."""
    counts = kernel.statistics()
    return counts.objects, counts.frames, counts.memory_used_bytes


async def output_of(model: str, preemption: str, name: str, args: Sequence[str]) -> bytes:
    """What a program prints that ends well and leaves nothing."""
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn(name, args=args)
        output = await process.stdout.read_all()
        assert await process.wait() == fluke.Exit("exited", 0), output
        assert in_use(kernel) == (0, 0, 0)
    return output


async def output_in_steps(model: str, preemption: str, name: str, args: Sequence[str]) -> bytes:
    """What a program prints that gets its budget in small steps, and stops after each."""
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn(name, args=args, budget=STEP)
        stops = 0
        while (end := await process.wait()).reason == "budget":
            process.add_budget(STEP)
            stops += 1
        assert end == fluke.Exit("exited", 0)
        assert stops > 5
        return await process.stdout.read_all()


async def cut_off(model: str, preemption: str, name: str, args: Sequence[str], budget: int) -> None:
    """Kill a program when its budget is spent; nothing is left of it."""
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn(name, args=args, budget=budget)
        assert (await process.wait()).reason in ("budget", "exited")
        await process.kill()
        assert in_use(kernel) == (0, 0, 0)
