"""
A program survives the death of the process that runs it.

    python examples/kill_and_resume.py

A Python process runs `clock`, saves an image every so often, and is killed with SIGKILL. Another one loads the last
image and lets the program go on. The image says how much output the program had written by then: what the file has
beyond that is written again, so in the end it is complete, with nothing missing and nothing twice. The
program's clock goes on from the image too, so not even the times that it prints differ.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
import tempfile
from pathlib import Path

import fluke_async as fluke

PROGRAM, ARGUMENTS = "clock", ["1000", "1"]  # 1,000 sleeps of a millisecond, a line for each
EVERY = 50_000  # instructions: some 25 sleeps


async def follow(process: fluke.Process, folder: Path, offset: int) -> None:
    """Append a program's output to a file, and keep an image whose output is in the file already."""
    with (folder / "output").open("ab") as file:
        file.truncate(offset)
        async for image in process.checkpoints(EVERY):
            while offset < image.manifest.devices["console"].state["written"]:
                offset += file.write(await process.stdout.receive())
            file.flush()
            image.save(folder / "image")  # there whole or not at all, whenever we are killed
            print("saved", flush=True)
        file.write(await process.stdout.read_all())


async def begin(folder: Path) -> None:
    async with fluke.Kernel() as kernel:
        await follow(await kernel.spawn(PROGRAM, ARGUMENTS), folder, 0)


async def resume(folder: Path) -> None:
    image = fluke.Image.load(folder / "image")
    async with fluke.Kernel() as kernel:
        await follow(await kernel.restore(image), folder, image.manifest.devices["console"].state["written"])


def run_and_kill(deed: str, folder: Path, images: int) -> None:
    """Run this file in another process, and kill that when it has saved so many images."""
    with subprocess.Popen([sys.executable, __file__, deed, folder], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        for _ in range(images):
            child.stdout.readline()
        child.kill()
    print(f"{deed}: killed with status {child.returncode}, {(folder / 'output').stat().st_size} bytes of output")


async def undisturbed() -> bytes:
    async with fluke.Kernel() as kernel:
        return await (await kernel.spawn(PROGRAM, ARGUMENTS)).stdout.read_all()


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run_and_kill("begin", folder, images=3)
        run_and_kill("resume", folder, images=2)
        subprocess.run([sys.executable, __file__, "resume", folder], check=True, stdout=subprocess.DEVNULL)
        output = (folder / "output").read_bytes()
    print(f"resumed to the end: {len(output)} bytes of output, as undisturbed: {output == asyncio.run(undisturbed())}")


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["begin", folder]:
            asyncio.run(begin(Path(folder)))
        case ["resume", folder]:
            asyncio.run(resume(Path(folder)))
        case _:
            main()
