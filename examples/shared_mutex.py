"""
A service of the application that shares memory, and a mutex in it, with programs.

    python examples/shared_mutex.py

Two host threads make system calls with `await`. One serves the port "board": whoever asks gets a reference to a region,
which the program maps. The other counts in that memory, as the programs do, each under the same kernel mutex, so that
no addition is lost, although all of them go on at once.
"""

from __future__ import annotations

import asyncio
import sys

import fluke_async as fluke

PAGE = 4096
CHANGED, COUNTER = 16, 32  # where the program `shared_counter` expects them in the page; the mutex is at its start
PROGRAMS, PROGRAM_TURNS, HOST_TURNS = 3, 2_000, 200


async def hand_out(server: fluke.HostThread, port: fluke.HostPort, region: fluke.HostReference) -> None:
    """Answer every request with the reference."""
    async for request in server.serve(port):
        await request.reply(references=[region])


async def main() -> None:
    async with fluke.Kernel() as kernel, kernel.host_thread() as me, kernel.host_thread() as server:
        page = await me.buffer(PAGE)
        mutex = await me.mutex(within=page)
        changed = await me.cond(within=page, offset=CHANGED)
        region = await me.share(page)
        port = await server.port()
        service = asyncio.create_task(hand_out(server, port, region))

        programs = [
            await kernel.spawn("shared_counter", args=[str(PROGRAM_TURNS)], services={"board": port})
            for _ in range(PROGRAMS)
        ]
        for _ in range(HOST_TURNS):
            async with mutex:  # a program that wants it now waits in mutex_lock
                before = int.from_bytes(page.read(COUNTER, 8), "little")
                await asyncio.sleep(0)  # others have their turn; were there no mutex, their additions would be lost
                page.write((before + 1).to_bytes(8, "little"), COUNTER)
        async with mutex:
            while int.from_bytes(page.read(COUNTER, 8), "little") < HOST_TURNS + PROGRAMS * PROGRAM_TURNS:
                await changed.wait(mutex)  # the programs signal whenever they have counted
        for program in programs:
            print(f"{program.name} {program.number}: {(await program.wait()).reason}")
        print(f"counted together: {int.from_bytes(page.read(COUNTER, 8), 'little')}")
        service.cancel()
        await asyncio.wait([service])


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
