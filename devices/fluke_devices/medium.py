"""
What a disk writes to: sectors with a checksum each, in memory or in a file of the host's.

A sector is given back as it was written or not at all: where the bytes do not fit their checksum, there is none.
"""

from __future__ import annotations

import os
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from fluke_async.abi.devices import DISK_SECTOR_BYTES
from fluke_async.errors import FlukeError

SUM_BYTES = 8


class Bytes(Protocol):
    """Bytes that stay."""

    def read(self, offset: int, count: int) -> bytes: ...
    def write(self, offset: int, data: bytes) -> None: ...
    def sync(self) -> None: ...


class MemoryBytes:
    """In the memory of the process."""

    def __init__(self, size: int) -> None:
        self.content = bytearray(size)

    def read(self, offset: int, count: int) -> bytes:
        return bytes(self.content[offset : offset + count])

    def write(self, offset: int, data: bytes) -> None:
        self.content[offset : offset + len(data)] = data

    def sync(self) -> None:
        """They stay as long as the process."""


class FileBytes:
    """In a file, made if it is not there; close it, or use it as a context. Raises OSError where the host does."""

    def __init__(self, path: Path, size: int) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if os.fstat(self._file).st_size < size:
            os.truncate(self._file, size)

    def read(self, offset: int, count: int) -> bytes:
        return os.pread(self._file, count, offset)

    def write(self, offset: int, data: bytes) -> None:
        os.pwrite(self._file, data, offset)

    def sync(self) -> None:
        os.fsync(self._file)

    def close(self) -> None:
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class Medium:
    """
    `sectors` sectors on some bytes: first all sectors, as a disk image has them, then their checksums.

    One that was never written is zeros, and so is its checksum: what is stored is the difference from that of zeros.
    """

    def __init__(self, sectors: int, content: Bytes | None = None) -> None:
        if sectors <= 0:
            raise FlukeError(f"a medium of {sectors} sectors: give a number from 1 up")
        self.sectors = sectors
        self.content: Bytes = MemoryBytes(self.size_of(sectors)) if content is None else content

    @staticmethod
    def size_of(sectors: int) -> int:
        """How many bytes so many sectors take with their checksums."""
        return sectors * (DISK_SECTOR_BYTES + SUM_BYTES)

    def read(self, sector: int) -> bytes | None:
        """What a sector holds; None if that is not what was written last."""
        data = self.content.read(sector * DISK_SECTOR_BYTES, DISK_SECTOR_BYTES)
        stored = self.content.read(self._sum_at(sector), SUM_BYTES)
        return data if stored == _sum_of(data) else None

    def write(self, sector: int, data: bytes) -> None:
        """Write a sector and its checksum."""
        self.content.write(sector * DISK_SECTOR_BYTES, data)
        self.content.write(self._sum_at(sector), _sum_of(data))

    def tear(self, sector: int, data: bytes, written: int) -> None:
        """Leave a sector half written: so many bytes of `data`, and no checksum of anything."""
        self.content.write(sector * DISK_SECTOR_BYTES, data[:written])
        self.content.write(self._sum_at(sector), bytes(each ^ 0xFF for each in _sum_of(self._raw(sector))))

    def rot(self, sector: int, bit: int) -> None:
        """Change a bit behind the disk's back."""
        data = bytearray(self._raw(sector))
        data[bit // 8] ^= 1 << bit % 8
        self.content.write(sector * DISK_SECTOR_BYTES, bytes(data))

    def _raw(self, sector: int) -> bytes:
        return self.content.read(sector * DISK_SECTOR_BYTES, DISK_SECTOR_BYTES)

    def _sum_at(self, sector: int) -> int:
        return self.sectors * DISK_SECTOR_BYTES + sector * SUM_BYTES


def _digest(data: bytes) -> int:
    return int.from_bytes(blake2b(data, digest_size=SUM_BYTES).digest(), "little")


_DIGEST_OF_ZEROS = _digest(bytes(DISK_SECTOR_BYTES))


def _sum_of(data: bytes) -> bytes:
    return (_digest(data) ^ _DIGEST_OF_ZEROS).to_bytes(SUM_BYTES, "little")
