"""Pages by their contents: the table says which contents each page has, and no contents are stored twice."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from hashlib import blake2b

from fluke_async.abi.codes import PAGE_SIZE

DIGEST_SIZE = 16
ZERO_PAGE = bytes(PAGE_SIZE)
ZERO_DIGEST = bytes(DIGEST_SIZE)
"""Stands in the table for a page that has been touched and is zero."""

_ENTRY = struct.Struct(f"<Q{DIGEST_SIZE}s")
ENTRY_SIZE = _ENTRY.size


def digest(data: bytes | memoryview) -> bytes:
    """The hash by which pages, sections, files and images are known; of large buffers, it lets other threads run."""
    return blake2b(data, digest_size=DIGEST_SIZE).digest()


def pack_table(table: Mapping[int, bytes]) -> bytes:
    """A table of digests by offset as it is stored, in the order that it has."""
    return b"".join([_ENTRY.pack(offset, found) for offset, found in table.items()])


def unpack_table(data: bytes | memoryview) -> list[tuple[int, bytes]]:
    """Offsets and digests as they are stored."""
    return list(_ENTRY.iter_unpack(data))


def distinct(table: Mapping[int, bytes]) -> dict[bytes, None]:
    """The digests of all contents, in the order in which the table names them first."""
    found = dict.fromkeys(table.values())
    found.pop(ZERO_DIGEST, None)
    return found
