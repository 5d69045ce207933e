"""A draft of an image's file: sections to be changed, and sealed again with checksums that fit or lie."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from random import Random
from typing import Any

import zstandard

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_END

HEADER, SECTION, ENTRY = struct.Struct("<8sIIQ"), struct.Struct("<IIQQ16s"), struct.Struct("<Q16s")
MANIFEST, PARENT, TABLE, CONTENTS = 1, 2, 3, 4
PLAIN, ZSTD = 0, 1
MAGIC, VERSION = b"FLUKE\r\n\x1a", 1
NUMBERS = (
    *(-1, 0, 1, 2, 3, 7, 8, 15, 16, 31, 32, 255, 256, SLOT_SIZE + 1, PAGE_SIZE - 1, PAGE_SIZE, 3 * PAGE_SIZE),
    *(1 << 20, 1_000_001, 1 << 31, 1 << 32, USER_END - PAGE_SIZE, USER_END, USER_END + PAGE_SIZE, 1 << 62),
    *((1 << 63) - 1, 1 << 63, (1 << 63) + 1, (1 << 64) - PAGE_SIZE, (1 << 64) - 1, 1 << 64, 1 << 65, 10**100),
)


def digest(data: bytes) -> bytes:
    """The format's hash."""
    return blake2b(data, digest_size=16).digest()


@dataclass(slots=True)
class Section:
    """A section as it is stored; what it claims besides can be other than what it is."""

    kind: int
    encoding: int
    data: bytes
    full_size: int
    stored_size: int | None = None  # None: as it is
    checksum: bytes | None = None

    def entry(self) -> bytes:
        """Its line in the table of sections."""
        stored_size = len(self.data) if self.stored_size is None else self.stored_size
        checksum = digest(self.data) if self.checksum is None else self.checksum
        return SECTION.pack(self.kind, self.encoding, stored_size, self.full_size, checksum)


class Draft:
    """An image's file, taken apart; `random` decides what becomes of it."""

    def __init__(self, data: bytes, random: Random) -> None:
        self.random = random
        self.magic, self.version, self.count, self.size = MAGIC, VERSION, -1, -1  # -1: as it is
        self.sections: list[Section] = []
        _, _, count, _ = HEADER.unpack_from(data)
        place = HEADER.size + count * SECTION.size
        for kind, encoding, stored_size, full_size, _ in SECTION.iter_unpack(data[HEADER.size : place]):
            self.sections.append(Section(kind, encoding, data[place : place + stored_size], full_size))
            place += stored_size

    def sealed(self) -> bytes:
        """The file's bytes."""
        count = len(self.sections) if self.count < 0 else self.count
        body = b"".join([each.entry() for each in self.sections]) + b"".join([each.data for each in self.sections])
        size = HEADER.size + len(body) + 16 if self.size < 0 else self.size
        whole = HEADER.pack(self.magic, self.version % 2**32, count % 2**32, size % 2**64) + body
        return whole + digest(whole)

    def of_kind(self, kind: int) -> list[Section]:
        """The sections of a kind."""
        return [each for each in self.sections if each.kind == kind]

    def number(self) -> int:
        """A number that may hurt."""
        return self.random.choice(NUMBERS) if self.random.random() < 0.8 else self.random.getrandbits(64)

    # -- The manifest --------------------------------------------------------------------------------------------------

    def manifest_text(self) -> bytes:
        """The manifest as it is, if there is one that can be read."""
        for section in self.of_kind(MANIFEST):
            if section.encoding == PLAIN:
                return section.data
            try:
                return zstandard.ZstdDecompressor().decompress(section.data, max_output_size=1 << 20)
            except zstandard.ZstdError:
                break
        return b"{}"

    def set_manifest_text(self, text: bytes) -> None:
        """Put in another one."""
        data = text if self.random.random() < 0.3 else zstandard.ZstdCompressor(level=1).compress(text)
        encoding = PLAIN if data is text else ZSTD
        for section in self.of_kind(MANIFEST):
            section.encoding, section.data, section.full_size = encoding, data, len(text)

    def manifest(self) -> dict[str, Any]:
        """The manifest as plain values; an empty one if it is damaged."""
        try:
            found = json.loads(self.manifest_text())
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    def set_manifest(self, manifest: dict[str, Any]) -> None:
        """Put in another one."""
        self.set_manifest_text(json.dumps(manifest, separators=(",", ":")).encode())

    # -- The table of pages --------------------------------------------------------------------------------------------

    def table(self) -> list[tuple[int, bytes]]:
        """Its whole entries."""
        for section in self.of_kind(TABLE):
            return list(ENTRY.iter_unpack(section.data[: len(section.data) // ENTRY.size * ENTRY.size]))
        return []

    def set_table(self, entries: list[tuple[int, bytes]]) -> None:
        """Put in another one."""
        data = b"".join([ENTRY.pack(offset % 2**64, name) for offset, name in entries])
        for section in self.of_kind(TABLE):
            section.encoding, section.data, section.full_size = PLAIN, data, len(data)


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Everything in a plain value: what holds it, and its key or index there."""
    todo = [value]
    while todo:
        holder = todo.pop()
        for key, each in holder.items() if isinstance(holder, dict) else enumerate(holder):
            yield holder, key
            if isinstance(each, dict | list):
                todo.append(each)
