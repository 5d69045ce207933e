"""A program's output on its way to standard output, or into a JSON object; how far it has come is known."""

from __future__ import annotations

import sys

import anyio
from anyio.abc import ByteReceiveStream


class PrintedOutput:
    """From the byte at `start` of all that the program writes; `collected` has it instead if it is not printed."""

    def __init__(self, start: int, *, collect: bool) -> None:
        self.collected = bytearray()
        self._collects = collect
        self._reached = start
        self._progress = anyio.Event()

    async def pass_on(self, stdout: ByteReceiveStream) -> None:
        """Take all that comes until the process has ended; each piece is with whoever reads it before the next."""
        async for chunk in stdout:
            if self._collects:
                self.collected += chunk
            else:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
            self._reached += len(chunk)
            self._progress.set()

    async def reach(self, count: int) -> None:
        """Wait until the program's output has come so far."""
        while self._reached < count:
            if self._progress.is_set():
                self._progress = anyio.Event()
            await self._progress.wait()
