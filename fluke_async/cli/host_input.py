"""
The host's standard input as the input of a program.

What is there whole when the program starts, a file or a pipe that has ended, is given as bytes: such
a run is closed, and is the same each time. A terminal or a pipe that is still open is read as it
comes, and only when the program asks: a program that reads nothing never waits for it.
"""

from __future__ import annotations

import os
import select
import stat
import sys

import anyio
import anyio.abc

PIECE = 1 << 16
AHEAD_MAX = 16 << 20  # what is read of a pipe before the program starts


class HostInput(anyio.abc.ByteReceiveStream):
    """`ahead`, then what can be read from `descriptor`."""

    def __init__(self, descriptor: int, ahead: bytes) -> None:
        self._descriptor = descriptor
        self._ahead = ahead

    async def receive(self, max_bytes: int = PIECE) -> bytes:
        if self._ahead:
            piece, self._ahead = self._ahead[:max_bytes], self._ahead[max_bytes:]
            return piece
        await anyio.wait_readable(self._descriptor)
        piece = os.read(self._descriptor, max_bytes)
        if not piece:
            raise anyio.EndOfStream
        return piece

    async def aclose(self) -> None:
        """The descriptor belongs to the host: it stays open."""


def host_input(descriptor: int = 0) -> bytes | HostInput:
    """All input as bytes if it is there, else a stream; no input if the descriptor is closed."""
    try:
        mode = os.fstat(descriptor).st_mode
    except OSError:
        return b""
    if stat.S_ISREG(mode) or sys.platform == "win32":  # no readiness of pipes on Windows
        with os.fdopen(os.dup(descriptor), "rb") as file:
            return file.read()
    ahead = bytearray()
    while not os.isatty(descriptor) and len(ahead) < AHEAD_MAX and select.select([descriptor], [], [], 0)[0]:
        piece = os.read(descriptor, PIECE)
        if not piece:
            return bytes(ahead)
        ahead += piece
    return HostInput(descriptor, bytes(ahead))
