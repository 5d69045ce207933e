"""Where a store keeps its blobs and pages: in memory, or in a folder of the host's."""

from __future__ import annotations

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes

KEY_BYTES = 32
NEW = ".new"


def key_of(page: bytes) -> bytes:
    """The name of a page: what is in it, by BLAKE2b."""
    return blake2b(page, digest_size=KEY_BYTES).digest()


class Shelf(Protocol):
    """Blobs by name and pages by key. What is put there is there whole, or not at all."""

    def names(self) -> Iterable[bytes]: ...
    def get(self, name: bytes) -> bytes | None: ...
    def put(self, name: bytes, data: bytes) -> None: ...
    def remove(self, name: bytes) -> None: ...
    def get_page(self, key: bytes) -> bytes | None: ...
    def put_page(self, page: bytes) -> bytes: ...


class MemoryShelf:
    """In the memory of the process."""

    def __init__(self) -> None:
        self.blobs: dict[bytes, bytes] = {}
        self.pages: dict[bytes, bytes] = {}

    def names(self) -> Iterable[bytes]:
        return self.blobs

    def get(self, name: bytes) -> bytes | None:
        return self.blobs.get(name)

    def put(self, name: bytes, data: bytes) -> None:
        self.blobs[name] = data

    def remove(self, name: bytes) -> None:
        self.blobs.pop(name, None)

    def get_page(self, key: bytes) -> bytes | None:
        return self.pages.get(key)

    def put_page(self, page: bytes) -> bytes:
        key = key_of(page)
        self.pages.setdefault(key, page)
        return key


class FolderShelf:
    """
    In a folder: a file for each blob, `pages/` for the pages. A file gets its name when it is complete and written out.

    A page whose file holds something else is not there. Raises OSError where the host does.
    """

    def __init__(self, folder: Path) -> None:
        self.blobs, self.pages = folder / "blobs", folder / "pages"
        for each in (self.blobs, self.pages):
            each.mkdir(parents=True, exist_ok=True)

    def names(self) -> Iterable[bytes]:
        return [unquote_to_bytes(path.name) for path in self.blobs.iterdir() if path.suffix != NEW]

    def get(self, name: bytes) -> bytes | None:
        return _read(self._path(name))

    def put(self, name: bytes, data: bytes) -> None:
        _write(self._path(name), data)

    def remove(self, name: bytes) -> None:
        self._path(name).unlink(missing_ok=True)

    def get_page(self, key: bytes) -> bytes | None:
        page = _read(self.pages / key.hex())
        return page if page is not None and key_of(page) == key else None

    def put_page(self, page: bytes) -> bytes:
        key = key_of(page)
        if self.get_page(key) is None:
            _write(self.pages / key.hex(), page)
        return key

    def _path(self, name: bytes) -> Path:
        return self.blobs / quote_from_bytes(name, safe="").replace(".", "%2E")


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None


def _write(path: Path, data: bytes) -> None:
    """Write a file so that it is there whole or not at all, even if the host stops meanwhile."""
    new = path.with_name(path.name + NEW)
    with new.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
