"""
A device of one's own, whose state goes into images.

    python examples/custom_device.py

The program `ask` throws dice again and again. The device is a task of the application: what it throws next, and what it
has thrown, is its state. The process is saved in the middle, and goes on in another kernel with other dice, which take
over the state: it throws what it would have thrown. Callers are restarted now and then, so a request says by its number
which throw it wants, and one that comes again gets the same answer.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import fluke_async as fluke
from fluke_async.device import DevicePort

THROWS, BEFORE = 12, 7_000  # how many, and instructions until the process is saved


class Dice:
    """Answers `number` with the throw of that number: 1 to 6, drawn from what the last one left."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.thrown: list[int] = []

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            (number,) = request.words
            while len(self.thrown) <= number < THROWS:
                self.seed = self.seed * 48271 % 0x7FFFFFFF
                self.thrown.append(self.seed % 6 + 1)
            request.reply(self.thrown[number])

    @property
    def state(self) -> dict[str, Any]:
        """What goes into an image: plain values."""
        return {"seed": self.seed, "thrown": self.thrown}

    def load_state(self, state: dict[str, Any]) -> None:
        """What comes out of one, before the program goes on; an image may be a stranger's."""
        match state:
            case {"seed": int(seed), "thrown": [*thrown]} if all(each in range(1, 7) for each in thrown):
                self.seed, self.thrown = seed, thrown
            case _:
                raise fluke.FlukeError("these are no dice")


def shown(output: bytes) -> str:
    return " ".join(output.decode().split())


async def main() -> None:
    ask = ["dice", str(THROWS), "n"]
    async with fluke.Kernel() as kernel:
        process = await kernel.spawn("ask", ask, services={"dice": kernel.plug_in(Dice(2026))}, budget=BEFORE)
        await process.wait()
        image = await process.checkpoint()
        print(f"thrown, then saved:  {shown(await process.stdout.read_all())}")
    saved = image.manifest.devices["service:dice"]
    print(f"the image names {saved.device} and has {saved.state}")

    async with fluke.Kernel() as kernel:
        other = kernel.plug_in(Dice(1))
        process = await kernel.restore(image, services={"dice": other}, budget=10 * BEFORE)
        print(f"restored, and on:    {shown(await process.stdout.read_all())}")

        whole = await kernel.spawn("ask", ask, services={"dice": kernel.plug_in(Dice(2026))})
        print(f"undisturbed:         {shown(await whole.stdout.read_all())}")

        try:
            await kernel.restore(image)
        except fluke.FlukeError as error:
            print(f"without a device: {error}")


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
