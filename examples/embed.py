"""
Programs inside an asyncio application: metered, watched, and never in the way of the event loop.

    python examples/embed.py

Three programs run at once on one kernel, each with a budget of instructions. Their output arrives as async streams
while the application's own heartbeat goes on. One program computes too much: its budget stops it, the application looks
at where it is, gives it more, and in the end kills it.
"""

from __future__ import annotations

import asyncio
import sys

import fluke_async as fluke

BUDGET = 3_000_000  # instructions


async def follow(process: fluke.Process) -> fluke.Exit:
    """Print a program's output line by line as it comes."""
    text = ""
    async for chunk in process.stdout:
        *lines, text = (text + chunk.decode()).split("\n")
        for line in lines:
            print(f"  {process.name}: {line}")
    return await process.wait()


async def heartbeat(beats: list[float]) -> None:
    """The application's own work: it has its turn about every millisecond, whatever the programs do."""
    while True:
        await asyncio.sleep(0.002)
        beats.append(asyncio.get_running_loop().time())


async def main() -> None:
    beats: list[float] = []
    pulse = asyncio.create_task(heartbeat(beats))
    async with fluke.Kernel(memory="32M") as kernel:
        async with asyncio.TaskGroup() as group:
            for name, args in (("hello", ["asyncio"]), ("primes", ["2000", "2"]), ("philosophers", ["3", "2"])):
                process = await kernel.spawn(name, args=args, budget=BUDGET)
                group.create_task(follow(process))

        greedy = await kernel.spawn("spin", budget=BUDGET)
        end = await greedy.wait()
        thread = greedy.threads()[0]
        print(f"spin has ended: {end.reason}; it stands at {thread.pc:#x}, {thread.condition}")
        greedy.add_budget(BUDGET)
        print(f"with more it goes on, and ends again: {(await greedy.wait()).reason}")
        await greedy.kill()
        counts = kernel.statistics()
    pulse.cancel()
    print(f"{counts.system_calls} system calls; the heartbeat went on: {len(beats) > 0}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
