"""A second reader of image files, written from the format page and nothing else.

It imports nothing of this package, so what it reads does not depend on what this package believes. It reads a file, or
a file and all that it builds on, into plain values, and refuses what the page does not describe.
"""

import hashlib
import pathlib
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import zstandard

from tests.image.second_manifest import UnfitError, manifest_of

MAGIC = bytes.fromhex("46 4c 55 4b 45 0d 0a 1a")
HEADER, ENTRY, PAGE_ENTRY = struct.Struct("<8sIIQ"), struct.Struct("<IIQQ16s"), struct.Struct("<Q16s")
PAGE = 4096
MANIFEST, PARENT_NAME, TABLE, CONTENTS = 1, 2, 3, 4
"""Kinds of sections."""

ENCODINGS = {MANIFEST: {0, 1}, PARENT_NAME: {0}, TABLE: {0}, CONTENTS: {0, 1}}
"""Of the kinds that a reader has to know."""

SIZES = {
    MANIFEST: range((16 << 20) + 1),
    PARENT_NAME: range(1, 256),
    TABLE: range(0, 1 << 62, PAGE_ENTRY.size),
    CONTENTS: range(PAGE, 257 * PAGE, PAGE),
}
"""How many bytes a section of a kind has when decoded."""

PASSED_OVER = 128
"""Kinds from here on are passed over."""

CHAIN = 1024
"""So many images build on each other at most."""


class RefusedError(Exception):
    """The file is no image of version 1, or a damaged one."""


@dataclass(frozen=True)
class PlainImage:
    """What one file says, or a file together with all that it builds on."""

    manifest: dict[str, Any]
    pages: dict[int, bytes | None]
    """By offset; None for a page that has been touched and is zero."""

    identity: str
    parent_name: str | None


def need(condition: object, why: str) -> None:
    """Refuse the file for a reason unless a condition holds."""
    if not condition:
        raise RefusedError(why)


def digest(data: bytes) -> bytes:
    """What the page calls a digest."""
    return hashlib.blake2b(data, digest_size=16).digest()


def read_chain(path: pathlib.Path) -> PlainImage:
    """An image with the pages of all images that it builds on: each is found by name, and known by identity."""
    newest = image = read(path)
    layers = [image]
    while (identity := image.manifest["parent"]) is not None:
        need(len(layers) < CHAIN, "too many images build on each other")
        need(image.parent_name is not None, "the file does not say where its parent is")
        image = read(path.parent / str(image.parent_name))
        need(image.identity == identity, "the parent is another image")
        need(image.manifest["memory_size"] == newest.manifest["memory_size"], "the parent has another memory")
        layers.append(image)
    pages: dict[int, bytes | None] = {}
    for layer in reversed(layers):
        pages |= layer.pages
    return PlainImage(newest.manifest, pages, newest.identity, newest.parent_name)


def read(path: pathlib.Path) -> PlainImage:
    """What one file says."""
    need(path.is_file(), "there is no such file")
    return decode(path.read_bytes())


def decode(data: bytes) -> PlainImage:
    """What the bytes of one file say."""
    sections: dict[int, list[bytes]] = {kind: [] for kind in ENCODINGS}
    for kind, part in sections_of(data):
        sections[kind].append(part)
    need(len(sections[MANIFEST]) == 1, "not one manifest")
    need(len(sections[TABLE]) == 1, "not one table of pages")
    need(len(sections[PARENT_NAME]) <= 1, "several names of the parent")
    raw, table = sections[MANIFEST][0], sections[TABLE][0]
    try:
        manifest = manifest_of(text_of(raw))
    except UnfitError as error:
        raise RefusedError(f"the manifest: {error}") from error
    pages = pages_of(table, b"".join(sections[CONTENTS]))
    need(all(offset < manifest["memory_size"] for offset in pages), "a page outside the memory")
    parent_name = name_of(sections[PARENT_NAME][0]) if sections[PARENT_NAME] else None
    return PlainImage(manifest, pages, digest(struct.pack("<Q", len(raw)) + raw + table).hex(), parent_name)


def sections_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The sections that a reader has to know, decoded."""
    need(len(data) >= HEADER.size + 16, "too short")
    magic, version, count, size = HEADER.unpack_from(data)
    need(magic == MAGIC, "no image")
    need(version == 1, f"version {version} of the file")
    need(size == len(data), "another size than it says")
    need(digest(data[:-16]) == data[-16:], "damaged")
    place = HEADER.size + ENTRY.size * count
    need(place <= size - 16, "the table of sections is cut off")
    for kind, encoding, stored, full, checksum in ENTRY.iter_unpack(data[HEADER.size : place]):
        need(stored <= size - 16 - place, "a section is cut off")
        part, place = data[place : place + stored], place + stored
        need(digest(part) == checksum, "a damaged section")
        need(encoding in (0, 1), "an encoding that is not known")
        need(encoding == 1 or stored == full, "two sizes of one section")
        if kind >= PASSED_OVER:
            continue
        need(kind in ENCODINGS, "a kind of section that is not known")
        need(encoding in ENCODINGS[kind], "an encoding that this kind of section does not have")
        need(full in SIZES[kind], "a size that this kind of section does not have")
        yield kind, inflated(part, full) if encoding else part
    need(place == size - 16, "something between the sections and the end")


def inflated(part: bytes, full: int) -> bytes:
    """The contents of one Zstandard frame, which states that they have so many bytes."""
    try:
        need(zstandard.get_frame_parameters(part).dict_id == 0, "compressed with a dictionary")
        need(zstandard.frame_content_size(part) == full, "a frame that does not state its size")
        contents = zstandard.ZstdDecompressor().decompress(part, max_output_size=full, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise RefusedError("not one Zstandard frame") from error
    need(len(contents) == full, "another size than it states")
    return contents


def name_of(raw: bytes) -> str:
    """A file name, in the folder of the file that it is from."""
    name = text_of(raw)
    need(not set(name) & set("/\\\0") and name not in (".", ".."), "no file name")
    return name


def text_of(raw: bytes) -> str:
    """Text in UTF-8."""
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise RefusedError("no UTF-8") from error


def pages_of(table: bytes, contents: bytes) -> dict[int, bytes | None]:
    """Contents by offset; None for zero."""
    known: dict[bytes, bytes | None] = {bytes(16): None}
    pages: dict[int, bytes | None] = {}
    last = -1
    for offset, name in PAGE_ENTRY.iter_unpack(table):
        need(offset > last and offset % PAGE == 0, "offsets of pages do not rise by pages")
        last = offset
        if name not in known:
            at = PAGE * (len(known) - 1)
            page = contents[at : at + PAGE]
            need(digest(page) == name, "contents of a page that are not those of its digest")
            need(any(page), "contents that are zero")
            known[name] = page
        pages[offset] = known[name]
    need(len(contents) == PAGE * (len(known) - 1), "more contents than digests")
    return pages
