"""
The two execution models side by side: what each keeps for 1,000 threads that wait for one mutex.

    python examples/compare_models.py

The program `locks_bench crowd` makes the threads; each locks a mutex that the main thread holds. Then it reads a line,
so that there is time to look. In the interrupt model a waiting thread is its registers and a short record; in the
process model there is the suspended operation besides, as it would be on a kernel stack.
"""

from __future__ import annotations

import sys
from collections import Counter

import anyio

import fluke_async as fluke

THREADS = 1_000


async def look(model: str) -> None:
    """Print what a kernel of one model keeps for the crowd, and that both models wake it in the same order."""
    lines, stdin = anyio.create_memory_object_stream[bytes](1)
    async with lines, stdin, fluke.Kernel(model=model) as kernel:
        process = await kernel.spawn("locks_bench", args=["crowd", str(THREADS)], stdin=stdin)
        await process.stdout.receive()
        waiting = [thread for thread in process.threads() if thread.continuation is not None]
        crowd = [thread for thread in waiting if thread.entry_point == "mutex_lock"]
        stacks = Counter(thread.stack for thread in crowd)
        print(f"{model} model: {len(crowd)} threads wait in mutex_lock")
        print(f"  records: {len(crowd)}, the first {crowd[0].continuation}")
        for stack, count in stacks.items():
            print(f"  stacks: {'none' if stack is None else f'{count} times {stack}'}")
        await lines.send(b"go on\n")
        print(f"  then: {(await process.stdout.receive()).decode().splitlines()[0]}", end="")
        await process.wait()
        counts = kernel.statistics()
        print(f"; {counts.restarts} calls were restarted, {counts.resumes} stacks resumed")


async def main() -> None:
    for model in ("interrupt", "process"):
        await look(model)


if __name__ == "__main__":
    sys.exit(anyio.run(main))
