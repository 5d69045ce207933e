"""
Images with damage, each determined by its seed: bytes that are others, sizes that lie, meaning that cannot be.

A file starts as the image of a program that ran, full or incremental, and is damaged in one to four ways. Most ways
seal it again, with checksums that are right, so that what lies behind them is reached.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import zstandard

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.verify.damaged_manifests import in_lists, in_object, in_text, key_in_manifest, value_in_manifest
from fluke_async.verify.image_draft import (
    CONTENTS,
    PARENT,
    PLAIN,
    ZSTD,
    Draft,
    Section,
    digest,
)

WAYS_MAX = 4
SPOILED_SHARE = 0.15  # of the files, which are damaged once more after they were sealed
NAMES = ("", ".", "..", "../base", "a/b", "a\0b", "x" * 256, "later", "base", "\n", "nosuch")
BOMB_SIZES = (1, 1 << 20, 15 << 20, (16 << 20) + 1, 64 << 20, 1 << 31, 1 << 40, (1 << 64) - 1)


# -- The file ----------------------------------------------------------------------------------------------------------


def in_header(draft: Draft) -> None:
    """A number of the header is wild."""
    which = draft.random.choice(("version", "count", "size"))
    setattr(draft, which, abs(draft.number()) % 2**64)


def in_section(draft: Draft) -> None:
    """A number of the table of sections is wild."""
    section = draft.random.choice(draft.sections)
    which = draft.random.choice(("kind", "encoding", "full_size", "stored_size"))
    near = draft.random.random() < 0.5
    value = len(section.data) + draft.random.randrange(-2, 3) if near else draft.number()
    setattr(section, which, abs(value) % (2**32 if which in ("kind", "encoding") else 2**64))


def in_data(draft: Draft) -> None:
    """Bytes of a section are others; its checksum is that of the new ones, or of the old."""
    section = draft.random.choice(draft.sections)
    if draft.random.random() < 0.2:
        section.checksum = digest(section.data)
    data = bytearray(section.data)
    for _ in range(draft.random.choice((1, 1, 4, 64)) if data else 0):
        data[draft.random.randrange(len(data))] ^= 1 << draft.random.randrange(8)
    section.data = bytes(data)


def cut_section(draft: Draft) -> None:
    """A section ends early, or goes on."""
    section = draft.random.choice(draft.sections)
    if draft.random.random() < 0.5:
        section.data = section.data[: draft.random.randrange(len(section.data) + 1)]
    else:
        section.data += draft.random.choice((b"\0", b"\0" * 24, section.data, draft.random.randbytes(PAGE_SIZE)))
    if section.encoding == PLAIN and draft.random.random() < 0.7:
        section.full_size = len(section.data)


def other_sections(draft: Draft) -> None:
    """Sections are missing, there twice, in another order, or new."""
    sections, random = draft.sections, draft.random
    index = random.randrange(len(sections))
    way = random.randrange(4)
    if way == 0 and len(sections) > 1:
        del sections[index]
    elif way == 1:
        sections.insert(random.randrange(len(sections) + 1), sections[index])
    elif way == 2:
        random.shuffle(sections)
    else:
        data = random.randbytes(random.choice((0, 1, 24, PAGE_SIZE)))
        kind = random.choice((0, 1, 2, 3, 4, 5, 127, 128, 1000, 2**32 - 1))
        sections.insert(index, Section(kind, random.choice((PLAIN, ZSTD, 2)), data, len(data)))


def bomb(draft: Draft) -> None:
    """A section is said to hold a lot, or holds a lot more than it is said to."""
    random = draft.random
    section = random.choice(draft.sections)
    size = random.choice(BOMB_SIZES)
    inside = min(size, 1 << 25) if random.random() < 0.5 else random.choice((1, 1 << 20, 1 << 25))
    section.data = zstandard.ZstdCompressor(level=1).compress(random.choice((b"\0", b"[", b" ", b"9")) * inside)
    section.encoding, section.full_size = ZSTD, size


# -- Pages -------------------------------------------------------------------------------------------------------------


def in_table(draft: Draft) -> None:
    """An entry of the table of pages is another, is missing, or is there twice."""
    entries, random = draft.table(), draft.random
    if not entries:
        return
    index, way = random.randrange(len(entries)), random.randrange(6)
    offset, name = entries[index]
    if way == 0:
        entries[index] = draft.number(), name
    elif way == 1:
        entries[index] = offset + random.choice((-PAGE_SIZE, -1, 1, PAGE_SIZE)), name
    elif way == 2:
        entries[index] = offset, random.choice((bytes(16), random.randbytes(16), random.choice(entries)[1]))
    elif way == 3:
        del entries[index]
    elif way == 4:
        entries.insert(index, entries[index])
    else:
        random.shuffle(entries)
    draft.set_table(entries)


def in_contents(draft: Draft) -> None:
    """Pages are others: zero, in another order, missing or too many."""
    for section in draft.of_kind(CONTENTS):
        if section.encoding != ZSTD:
            continue
        try:
            data = zstandard.ZstdDecompressor().decompress(section.data, max_output_size=1 << 20)
        except zstandard.ZstdError:
            continue
        pages = [data[start : start + PAGE_SIZE] for start in range(0, len(data), PAGE_SIZE)]
        way = draft.random.randrange(4)
        if way == 0:
            draft.random.shuffle(pages)
        elif way == 1:
            pages.pop()
        else:
            new = bytes(PAGE_SIZE) if way == 2 else draft.random.randbytes(PAGE_SIZE)
            pages.append(new)
            if draft.random.random() < 0.7:
                entries = draft.table()
                draft.set_table(
                    [*entries, (max(each[0] for each in entries) + PAGE_SIZE, digest(new))] if entries else []
                )
        section.data = b"".join(pages)
        section.encoding, section.full_size = PLAIN, len(section.data)


def another_parent(draft: Draft) -> None:
    """The parent is another one, or has another name."""
    random = draft.random
    if random.random() < 0.5:
        draft.sections = [each for each in draft.sections if each.kind != PARENT]
        name = random.choice(NAMES).encode()
        draft.sections.insert(1, Section(PARENT, PLAIN, name, len(name)))
    else:
        manifest = draft.manifest()
        manifest["parent"] = random.choice((None, "", "0" * 32, "g" * 32, "0" * 31, 0, manifest.get("parent")))
        draft.set_manifest(manifest)


WAYS: tuple[tuple[int, Callable[[Draft], None]], ...] = (
    (4, in_header),
    (8, in_section),
    (8, in_data),
    (5, cut_section),
    (6, other_sections),
    (1, bomb),
    (10, in_table),
    (5, in_contents),
    (5, another_parent),
    (15, value_in_manifest),
    (8, key_in_manifest),
    (20, in_object),
    (10, in_lists),
    (4, in_text),
)


def damaged_image(data: bytes, random: Random) -> bytes:
    """A file with damage."""
    draft = Draft(data, random)
    weights, ways = zip(*WAYS, strict=True)
    for way in random.choices(ways, weights, k=random.choice((1, 1, 2, WAYS_MAX))):
        if draft.sections:
            way(draft)
    sealed = draft.sealed()
    return _spoiled(sealed, random) if random.random() < SPOILED_SHARE else sealed


def _spoiled(data: bytes, random: Random) -> bytes:
    """Bits flipped, the end missing or something behind it, and nothing sealed."""
    spoiled, way = bytearray(data), random.randrange(3)
    if way == 0:
        for _ in range(random.choice((1, 2, 64))):
            spoiled[random.randrange(len(spoiled))] ^= 1 << random.randrange(8)
    elif way == 1:
        del spoiled[random.choice((random.randrange(len(spoiled)), random.randrange(64))) :]
    else:
        spoiled += random.randbytes(random.choice((1, 64, 5000)))
    return bytes(spoiled)
