"""Files of images made by hand, and what two readers say of one: this package's, and the second one."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import msgspec

from fluke_async.errors import ImageError
from fluke_async.image.image import Image
from fluke_async.image.manifest import Manifest
from fluke_async.image.pages import digest
from tests.image.second_reader import PlainImage, RefusedError, read_chain


def plain(image: Image) -> PlainImage:
    """What this package has read, as the second reader says it; the parent's file name is not kept."""
    manifest = json.loads(msgspec.json.encode(image.manifest))
    pages = dict(image.pages()) | dict.fromkeys(image.zeros())
    return PlainImage(manifest, pages, image.identity, None)


def same(one: PlainImage, other: PlainImage) -> bool:
    """Whether they are the same image; fields that only one of them knows do not count."""
    known = Manifest.__struct_fields__
    return (one.pages, one.identity, {name: one.manifest[name] for name in known}) == (
        other.pages,
        other.identity,
        {name: other.manifest[name] for name in known},
    )


def sealed(data: bytes) -> bytes:
    """A file with the digests that its sections have, and the one of all that it then has."""
    whole = bytearray(data)
    size = len(data)
    count = min(struct.unpack_from("<I", data, 12)[0], (size - 40) // 40)
    place = 24 + 40 * count
    for entry in range(24, place, 40):
        (stored,) = struct.unpack_from("<Q", data, entry + 8)
        whole[entry + 24 : entry + 40] = digest(data[place : min(place + stored, size - 16)])
        place += stored
    whole[-16:] = digest(bytes(whole[:-16]))
    return bytes(whole)


def written(sections: list[tuple[int, int, bytes, int]]) -> bytes:
    """A file with these sections: kind, encoding, bytes as stored, how many when decoded."""
    body = b"".join(stored for _, _, stored, _ in sections)
    table = b"".join(
        struct.pack("<IIQQ16s", kind, encoding, len(stored), full, digest(stored))
        for kind, encoding, stored, full in sections
    )
    head = struct.pack("<8sIIQ", b"FLUKE\r\n\x1a", 1, len(sections), 40 + len(table) + len(body))
    return head + table + body + digest(head + table + body)


def as_it_is(image: Image, text: bytes | None = None, more: tuple[tuple[int, int, bytes, int], ...] = ()) -> bytes:
    """A full image's file without compression, or one with another manifest, or with more sections behind."""
    text = image.encoded if text is None else text
    table = b"".join(struct.pack("<Q", offset) + name for offset, name in image.table.items())
    pages = tuple((4, 0, page, 4096) for page in image.contents.values())
    return written([(1, 0, text, len(text)), (3, 0, table, len(table)), *pages, *more])


def verdict(path: Path, data: bytes) -> bool:
    """Whether both readers take a file; what they read is the same then."""
    path.write_bytes(data)
    try:
        image = plain(Image.load(path))
    except ImageError:
        image = None
    try:
        second = read_chain(path)
    except RefusedError:
        second = None
    assert (image is None) == (second is None), (image, second)
    assert image is None or second is None or same(image, second)
    return image is not None
