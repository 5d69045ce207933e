"""
Unix sockets that carry lines: one to listen on, at a path, and streams of lines to whoever connects.

They are plain sockets on which tasks wait, so that a task can be cancelled at any moment, also while something arrives.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import anyio
from anyio.lowlevel import checkpoint

from fluke_async.errors import FlukeError

OWNER_ONLY = 0o600
PIECE_BYTES = 16 << 10
RETRY_S = 0.1  # when the host has no descriptor left for a connection


class HungUpError(Exception):
    """Nobody is at the other end any more."""


class LineTooLongError(Exception):
    """A line has no end within the bound; where the next one begins is not known."""


class LineStream:
    """A connection; to be used by one task, in a `with` block."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._received = bytearray()

    async def receive(self, bytes_max: int) -> bytes:
        """
        The next line, without its end. Others have a turn before it is looked for.

        Raises:
            HungUpError: there is none.
            LineTooLongError: it has more than `bytes_max` bytes.
        """
        while True:
            await checkpoint()
            line, end, rest = self._received.partition(b"\n")
            if len(line) > bytes_max:
                raise LineTooLongError
            if end:
                self._received = rest
                return bytes(line)
            try:
                piece = self._connection.recv(PIECE_BYTES)
            except BlockingIOError:
                await anyio.wait_readable(self._connection)
                continue
            except OSError:
                raise HungUpError from None
            if not piece:
                raise HungUpError
            self._received += piece

    async def send(self, line: bytes) -> None:
        """
        Send a line; waits for as long as the other end takes nothing.

        Raises:
            HungUpError: it will take nothing any more.
        """
        left = memoryview(line + b"\n")
        while left:
            try:
                left = left[self._connection.send(left) :]
            except BlockingIOError:
                await anyio.wait_writable(self._connection)
            except OSError:
                raise HungUpError from None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection.close()


async def accept(listener: socket.socket) -> LineStream:
    """The next connection; waits while there is none, or no room for one."""
    while True:
        await checkpoint()
        try:
            return LineStream(listener.accept()[0])
        except BlockingIOError:
            await anyio.wait_readable(listener)
        except OSError:
            await anyio.sleep(RETRY_S)


def listen(path: Path) -> tuple[socket.socket, os.stat_result]:
    """
    Listen at `path`, for the owner only; a socket there on which nobody listens any more is replaced.

    Returns the socket, and for `remove` what was made at the path.

    Raises:
        FlukeError: something else is there, or the path cannot be used.
    """
    if not hasattr(socket, "AF_UNIX"):
        raise FlukeError("a control socket is a Unix socket, and this platform has none")
    listener = socket.socket(socket.AF_UNIX)
    listener.setblocking(False)
    try:
        _make_way(path)
        listener.bind(str(path))
        path.chmod(OWNER_ONLY)
        listener.listen()
        return listener, path.lstat()
    except (OSError, ValueError, FlukeError) as error:
        listener.close()
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise FlukeError(f"control socket {str(path)!r}: {reason}; give a short path that is free") from None


def remove(path: Path, ours: os.stat_result) -> None:
    """Remove what `listen` made at `path`, if it is still that."""
    with suppress(OSError):
        if os.path.samestat(path.lstat(), ours):
            path.unlink()


def _make_way(path: Path) -> None:
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise FlukeError("what is there is no socket")
    with socket.socket(socket.AF_UNIX) as probe:
        probe.setblocking(False)
        error = probe.connect_ex(str(path))
    if error in {0, errno.EAGAIN}:
        raise FlukeError("another program answers there")
    if error != errno.ECONNREFUSED:
        raise OSError(error, os.strerror(error))
    path.unlink()
