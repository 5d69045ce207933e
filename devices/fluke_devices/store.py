"""
The store: named blobs that are there whole or not at all, and pages that are named by what is in them.

Requests, in 64-bit words; see `StoreOperation`. A blob is written in pieces under the number of a transaction, which
its writer chooses, and published under a name; nobody sees it before. All of it can be repeated: a piece at an offset
that has been written is acknowledged, and so is the publication that was made last under a number. What is not
published is forgotten when the same number is begun anew, by a piece at offset 0 that differs.

What is in a store is the host's, and no part of a program's image. A program that is restored with another store finds
what that has, and of what it was writing nothing: the next piece is refused, with the offset at which to begin again.
"""

from __future__ import annotations

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE
from fluke_async.abi.devices import (
    CONSOLE_MAX_BYTES,
    PROBE,
    STORE_KEY_WORDS,
    STORE_NAME_WORDS,
    DeviceStatus,
    StoreOperation,
)
from fluke_async.device import DevicePort, Request
from fluke_devices.shelf import MemoryShelf, Shelf
from fluke_devices.words import bytes_of, words_of

OK, BAD_REQUEST, BAD_OFFSET = DeviceStatus.OK, DeviceStatus.BAD_REQUEST, DeviceStatus.BAD_OFFSET
NOT_FOUND, FAILED, FULL = DeviceStatus.NOT_FOUND, DeviceStatus.FAILED, DeviceStatus.FULL
PAGE_WORDS = PAGE_SIZE // WORD_SIZE
CAPACITY_BYTES = 1 << 30
PUBLISHED_MAX = 1 << 16  # numbers of which it is remembered what was published under them


class Store:
    """One store on a shelf; `capacity_bytes` bounds what has been written and not published yet."""

    def __init__(self, shelf: Shelf | None = None, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self.shelf: Shelf = MemoryShelf() if shelf is None else shelf
        self.capacity_bytes = capacity_bytes
        self._written: dict[int, bytearray] = {}  # by transaction
        self._published: dict[int, tuple[int, bytes]] = {}  # size and name

    def copy(self) -> Store:
        """Another with the same, in memory: for a process that is restored from an image of this moment."""
        shelf = MemoryShelf()
        for name in self.shelf.names():
            shelf.put(name, self.shelf.get(name) or b"")
        copy = Store(shelf, self.capacity_bytes)
        copy._written = {transaction: bytearray(data) for transaction, data in self._written.items()}
        copy._published = dict(self._published)
        return copy

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            self.decide(request)

    def decide(self, request: Request) -> None:
        """Answer a request."""
        try:
            request.reply(*self._answer(request.words))
        except OSError:
            request.reply(FAILED)

    def _answer(self, words: tuple[int, ...]) -> tuple[int, ...]:
        match words:
            case [operation, *_] if operation == PROBE:
                return (OK,)
            case [StoreOperation.WRITE, transaction, offset, count, *data] if count <= len(data) * WORD_SIZE:
                return self._write(transaction, offset, bytes_of(data)[:count])
            case [StoreOperation.PUBLISH, transaction, size, *name] if _is_name(name):
                return self._publish(transaction, size, _name(name))
            case [StoreOperation.READ, offset, count, *name] if _is_name(name) and count > 0:
                blob = self.shelf.get(_name(name))
                if blob is None:
                    return (NOT_FOUND,)
                piece = blob[offset : offset + min(count, CONSOLE_MAX_BYTES)]
                return OK, len(piece), *words_of(piece)
            case [StoreOperation.SIZE, *name] if _is_name(name):
                blob = self.shelf.get(_name(name))
                return (NOT_FOUND,) if blob is None else (OK, len(blob))
            case [StoreOperation.REMOVE, *name] if _is_name(name):
                self.shelf.remove(_name(name))
                return (OK,)
            case [StoreOperation.NEXT, *name] if len(name) == STORE_NAME_WORDS:
                later = [each for each in self.shelf.names() if each > _name(name)]
                return (OK, *_words_of_name(min(later))) if later else (NOT_FOUND,)
            case [StoreOperation.KEEP, *words_of_page] if len(words_of_page) == PAGE_WORDS:
                return OK, *words_of(self.shelf.put_page(bytes_of(words_of_page)))
            case [StoreOperation.FETCH, *key] if len(key) == STORE_KEY_WORDS:
                page = self.shelf.get_page(bytes_of(key))
                return (NOT_FOUND,) if page is None else (OK, *words_of(page))
        return (BAD_REQUEST,)

    def _write(self, transaction: int, offset: int, data: bytes) -> tuple[int, ...]:
        written = self._written.get(transaction)
        if offset == 0 and (written is None or written[: len(data)] != data):
            self._published.pop(transaction, None)
            written = self._written[transaction] = bytearray()
        if written is None or offset > len(written):
            return BAD_OFFSET, 0 if written is None else len(written)
        if offset == len(written):
            if sum(map(len, self._written.values())) + len(data) > self.capacity_bytes:
                return (FULL,)
            written += data
        return OK, len(written)

    def _publish(self, transaction: int, size: int, name: bytes) -> tuple[int, ...]:
        if self._published.get(transaction) == (size, name):
            return (OK,)
        written = self._written.get(transaction, b"")
        if len(written) != size:
            return BAD_OFFSET, len(written)
        self.shelf.put(name, bytes(written))
        self._written.pop(transaction, None)
        self._published[transaction] = size, name
        if len(self._published) > PUBLISHED_MAX:
            del self._published[next(iter(self._published))]
        return (OK,)


def _is_name(words: list[int]) -> bool:
    return len(words) == STORE_NAME_WORDS and any(words)


def _name(words: list[int]) -> bytes:
    return bytes_of(words).rstrip(b"\0")


def _words_of_name(name: bytes) -> tuple[int, ...]:
    return words_of(name.ljust(STORE_NAME_WORDS * WORD_SIZE, b"\0"))
