"""A client of a kernel's control socket, in the event loop of the test."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
from anyio.streams.buffered import BufferedByteReceiveStream

if TYPE_CHECKING:
    from anyio.abc import SocketStream

Reply = dict[str, Any]


class Client:
    """Sends lines and reads replies."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self._lines = BufferedByteReceiveStream(stream)

    async def send(self, line: bytes) -> None:
        await self.stream.send(line + b"\n")

    async def receive(self) -> Reply:
        with anyio.fail_after(10):
            reply = json.loads(await self._lines.receive_until(b"\n", 1 << 20))
        assert isinstance(reply, dict)
        return reply

    async def ask(self, command: str, **fields: object) -> Reply:
        await self.send(json.dumps({"command": command, **fields}).encode())
        return await self.receive()

    async def has_been_hung_up(self) -> bool:
        with anyio.fail_after(10):
            try:
                return not await self.stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError):
                return True


@asynccontextmanager
async def connected(path: Path) -> AsyncIterator[Client]:
    async with await anyio.connect_unix(path) as stream:
        yield Client(stream)
