"""
The bytes of an image's file: a header, a table of sections, the sections, and a checksum over all.

What a size claims is compared before it is believed: nothing is decompressed before the sizes of all sections are known
and within bounds, and no section yields more than it says. README.md beside this describes the format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import pairwise

import zstandard

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.image.pages import (
    DIGEST_SIZE,
    ENTRY_SIZE,
    ZERO_PAGE,
    digest,
    distinct,
    pack_table,
    unpack_table,
)
from fluke_async.image.refusal import brief, refusal

MAGIC = b"FLUKE\r\n\x1a"  # what a transfer as text would spoil
VERSION = 1
MANIFEST, PARENT, TABLE, CONTENTS = 1, 2, 3, 4  # kinds of sections, in this order
OPTIONAL = 128  # sections of this kind, and beyond, may be passed over
PLAIN, ZSTD = 0, 1
HEADER = struct.Struct("<8sIIQ")  # magic, version, number of sections, bytes of the file
SECTION = struct.Struct(f"<IIQQ{DIGEST_SIZE}s")  # kind, encoding, bytes as stored, bytes as they are, checksum
FRAME_PAGES = 256
LEVEL = 1
MANIFEST_MAX = 16 << 20  # bytes; ten thousand threads have some ten million
FILE_NAME_MAX = 255  # bytes


@dataclass(frozen=True, slots=True)
class Stored:
    """What a file has: the manifest's bytes, pages, and the parent's file name, if it has one."""

    manifest: bytes
    table: Mapping[int, bytes]
    contents: Mapping[bytes, bytes]
    parent_name: str | None


@dataclass(frozen=True, slots=True)
class _Section:
    kind: int
    encoding: int
    data: bytes | memoryview  # as stored
    size: int  # bytes of what it holds


def file_size_max(pages_max_bytes: int) -> int:
    """Bytes of the largest file with so many bytes of pages."""
    return MANIFEST_MAX + pages_max_bytes // 15 * 16 + (1 << 20)


# -- Writing -----------------------------------------------------------------------------------------------------------


def pack(stored: Stored) -> list[bytes | memoryview]:
    """A file, in pieces."""
    sections = list(_sections(stored))
    size = HEADER.size + sum(SECTION.size + len(each.data) for each in sections) + DIGEST_SIZE
    pieces: list[bytes | memoryview] = [HEADER.pack(MAGIC, VERSION, len(sections), size)]
    pieces += [
        SECTION.pack(each.kind, each.encoding, len(each.data), each.size, digest(each.data)) for each in sections
    ]
    pieces += [each.data for each in sections]
    whole = blake2b(digest_size=DIGEST_SIZE)
    for piece in pieces:
        whole.update(piece)
    return [*pieces, whole.digest()]


def _sections(stored: Stored) -> Iterator[_Section]:
    compressor = zstandard.ZstdCompressor(level=LEVEL)
    yield _Section(MANIFEST, ZSTD, compressor.compress(stored.manifest), len(stored.manifest))
    if stored.parent_name is not None:
        yield _plain(PARENT, stored.parent_name.encode("utf-8"))
    yield _plain(TABLE, pack_table(stored.table))
    order = list(distinct(stored.table))
    for start in range(0, len(order), FRAME_PAGES):
        frame = b"".join([stored.contents[each] for each in order[start : start + FRAME_PAGES]])
        yield _Section(CONTENTS, ZSTD, compressor.compress(frame), len(frame))


def _plain(kind: int, data: bytes) -> _Section:
    return _Section(kind, PLAIN, data, len(data))


# -- Reading -----------------------------------------------------------------------------------------------------------


def unpack(data: bytes, pages_max_bytes: int) -> Stored:
    """
    What a file has; what the manifest says is not looked at.

    Args:
        data: The file.
        pages_max_bytes: How many bytes of pages it may name, alike ones and zero ones among them.

    Raises:
        ImageError: it is no image, of a version that is not read, damaged, or has more pages than it may.
    """
    sections = _split(data)
    by_kind: dict[int, list[_Section]] = {kind: [] for kind in (MANIFEST, PARENT, TABLE, CONTENTS)}
    for section in sections:
        if section.kind in by_kind:
            by_kind[section.kind].append(section)
        elif section.kind < OPTIONAL:
            raise refusal(f"the image has a section of kind {section.kind}, which is not known here")
    manifests, parents, tables, frames = by_kind.values()
    if len(manifests) != 1 or len(tables) != 1 or len(parents) > 1:
        counts = f"{len(manifests)} manifests, {len(tables)} tables and {len(parents)} parents"
        raise refusal(f"the image has {counts}: there must be one manifest, one table and at most one parent")
    if manifests[0].size > MANIFEST_MAX:
        raise refusal(f"the image's manifest is said to have {manifests[0].size} bytes: it can have {MANIFEST_MAX}")
    table = _read_table(tables[0], pages_max_bytes)
    order = list(distinct(table))
    _check_frames(frames, len(order))
    return Stored(
        bytes(_decompressed(manifests[0])),
        table,
        _read_contents(frames, order),
        _read_name(parents[0]) if parents else None,
    )


def _split(data: bytes) -> list[_Section]:
    """The sections of a file that is whole."""
    if not data.startswith(MAGIC):
        raise refusal(f"this is no image: it begins with {bytes(data[: len(MAGIC)])!r}")
    if len(data) < HEADER.size + DIGEST_SIZE:
        raise refusal(f"the image is cut off after {len(data)} bytes")
    _, version, count, size = HEADER.unpack_from(data)
    if version != VERSION:
        raise refusal(f"the image is of version {version}: only {VERSION} can be read")
    if size != len(data):
        raise refusal(f"the image is said to have {size} bytes, and has {len(data)}")
    view, end = memoryview(data), len(data) - DIGEST_SIZE
    if digest(view[:end]) != data[end:]:
        raise refusal("the image is damaged: its bytes do not have the checksum at its end")
    if count * SECTION.size > end - HEADER.size:
        raise refusal(f"the image is said to have {count} sections, for which it is too short")
    sections, place = [], HEADER.size + count * SECTION.size
    for kind, encoding, stored_size, full_size, checksum in SECTION.iter_unpack(view[HEADER.size : place]):
        if stored_size > end - place:
            raise refusal(f"a section of kind {kind} is said to have {stored_size} bytes, and {end - place} are left")
        part = view[place : place + stored_size]
        place += stored_size
        if digest(part) != checksum:
            raise refusal(f"a section of kind {kind} is damaged: its bytes do not have its checksum")
        if encoding not in (PLAIN, ZSTD) or (encoding == PLAIN and full_size != stored_size):
            raise refusal(f"a section of kind {kind} has the encoding {encoding} with {full_size} bytes")
        sections.append(_Section(kind, encoding, part, full_size))
    if place != end:
        raise refusal(f"the image has {end - place} bytes that belong to no section")
    return sections


def _decompressed(section: _Section) -> bytes | memoryview:
    """What a section holds, of exactly the size that was looked at before."""
    if section.encoding == PLAIN:
        return section.data
    try:
        if zstandard.frame_content_size(section.data) != section.size:
            raise refusal(f"a section of kind {section.kind} does not hold the {section.size} bytes that it is said to")
        full = zstandard.ZstdDecompressor().decompress(
            section.data, max_output_size=section.size, allow_extra_data=False
        )
    except zstandard.ZstdError as error:
        raise refusal(f"a section of kind {section.kind} cannot be decompressed: {error}") from None
    if len(full) != section.size:
        raise refusal(f"a section of kind {section.kind} holds {len(full)} bytes, not {section.size}")
    return full


def _read_table(section: _Section, pages_max_bytes: int) -> dict[int, bytes]:
    if section.encoding != PLAIN or section.size % ENTRY_SIZE:
        raise refusal(f"the table of pages has {section.size} bytes, which are no whole entries")
    size = section.size // ENTRY_SIZE * PAGE_SIZE
    if size > pages_max_bytes:
        raise refusal(
            f"the image has {size} bytes of pages, and may have {pages_max_bytes}: allow more, if it is yours"
        )
    entries = unpack_table(section.data)
    for (before, _), (after, _) in pairwise(entries):
        if before >= after:
            raise refusal(f"in the table of pages, {after:#x} comes after {before:#x}")
    return dict(entries)


def _check_frames(frames: Sequence[_Section], count: int) -> None:
    for frame in frames:
        if not 0 < frame.size <= FRAME_PAGES * PAGE_SIZE or frame.size % PAGE_SIZE:
            raise refusal(
                f"a section of pages is said to have {frame.size} bytes: it can have 1 to {FRAME_PAGES} pages"
            )
    size = sum(frame.size for frame in frames)
    if size != count * PAGE_SIZE:
        raise refusal(f"the image has {size} bytes of pages, and its table names {count} different pages")


def _read_contents(frames: Sequence[_Section], order: Sequence[bytes]) -> dict[bytes, bytes]:
    contents: dict[bytes, bytes] = {}
    names = iter(order)
    for frame in frames:
        data = memoryview(_decompressed(frame))
        for start in range(0, frame.size, PAGE_SIZE):
            page, name = bytes(data[start : start + PAGE_SIZE]), next(names)
            if digest(page) != name or page == ZERO_PAGE:
                raise refusal(f"a page does not have the digest {name.hex()} that the table gives it, or is zero")
            contents[name] = page
    return contents


def _read_name(section: _Section) -> str:
    """The name of a file in the same folder, and nothing that leads out of it."""
    try:
        name = bytes(section.data).decode("utf-8") if section.encoding == PLAIN else ""
    except UnicodeDecodeError:
        name = ""
    if not 0 < section.size <= FILE_NAME_MAX or name in ("", ".", "..") or any(each in name for each in "/\\\0"):
        raise refusal(f"the parent's file name is {brief(name)}, which is no name of a file")
    return name
