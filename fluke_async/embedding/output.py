"""A program's output as an async byte stream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import anyio
from anyio.abc import ByteReceiveStream

HIGH_WATER_BYTES = 1 << 20  # unread output beyond which the program's next write waits for a reader


class OutputStream(ByteReceiveStream):
    """What a program has written and nobody has read yet; ends when the program has ended."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._ended = False
        self._closed = False
        self._change = anyio.Event()
        self._on_room: list[Callable[[], None]] = []

    @property
    def is_full(self) -> bool:
        """Whether the writer has to wait for a reader."""
        return len(self._buffer) >= HIGH_WATER_BYTES

    def write(self, data: bytes) -> None:
        """Add output; never waits."""
        if not self._closed:
            self._buffer += data
            self._change.set()

    def on_room(self, action: Callable[[], None]) -> None:
        """Do `action` once, when the buffer is no longer full."""
        self._on_room.append(action)

    def end(self) -> None:
        """No more comes until `reopen`."""
        self._ended = True
        self._change.set()

    def reopen(self) -> None:
        """The program goes on."""
        self._ended = False

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """
        The next bytes, at most `max_bytes`.

        Raises:
            anyio.EndOfStream: the program has ended and all is read.
            anyio.ClosedResourceError: the stream has been closed.
        """
        while not self._buffer:
            if self._closed:
                raise anyio.ClosedResourceError
            if self._ended:
                raise anyio.EndOfStream
            if self._change.is_set():
                self._change = anyio.Event()
            await self._change.wait()
        data = bytes(self._buffer[:max_bytes])
        del self._buffer[:max_bytes]
        self._make_room()
        return data

    async def read_all(self) -> bytes:
        """All that comes until the program ends."""
        return b"".join([chunk async for chunk in self])

    async def send_on(self, stdout: Any) -> None:
        """Send everything on to another stream, until nobody takes it any more."""
        try:
            async for chunk in self:
                await stdout.send(chunk)
        except (anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self.aclose()

    async def aclose(self) -> None:
        """Read no more: what is there and what still comes is thrown away, and the program does not wait for it."""
        self._closed = True
        self._buffer.clear()
        self._change.set()
        self._make_room()

    def _make_room(self) -> None:
        if self._on_room and not self.is_full:
            actions, self._on_room = self._on_room, []
            for action in actions:
                action()
