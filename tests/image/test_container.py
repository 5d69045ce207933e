"""A file that is not exactly as the format says is refused, also where its checksums are right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import zstandard

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.errors import ImageError
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.container import MANIFEST_MAX
from fluke_async.image.image import Image
from fluke_async.verify.image_draft import CONTENTS, MANIFEST, PARENT, PLAIN, TABLE, ZSTD, Draft, Section, digest
from tests.image.samples import sample_manifest, sample_pages


@pytest.fixture
def draft(tmp_path: Path) -> Draft:
    """A file of a manifest, a table and one section of contents."""
    builder = ImageBuilder(sample_manifest())
    builder.add(sample_pages().items())
    builder.finish().save(tmp_path / "image")
    return Draft((tmp_path / "image").read_bytes(), Random(0))


def replace_table(draft: Draft, change: Callable[[list[tuple[int, bytes]]], list[tuple[int, bytes]]]) -> None:
    draft.set_table(change(draft.table()))


def replace_contents(draft: Draft, *pages: bytes) -> None:
    data = b"".join(pages)
    draft.sections = [each for each in draft.sections if each.kind != CONTENTS]
    draft.sections.append(Section(CONTENTS, PLAIN, data, len(data)))


def claim(draft: Draft, kind: int, size: int) -> None:
    for section in draft.of_kind(kind):
        section.full_size = size


def frame(draft: Draft, kind: int, data: bytes, size: int) -> None:
    for section in draft.of_kind(kind):
        section.encoding, section.data, section.full_size = ZSTD, data, size


def add(draft: Draft, kind: int, data: bytes) -> None:
    draft.sections.append(Section(kind, PLAIN, data, len(data)))


def frame_plain(draft: Draft, kind: int, data: bytes) -> None:
    frame(draft, kind, data, len(data))
    for section in draft.of_kind(kind):
        section.encoding = PLAIN


def two_parents(draft: Draft) -> None:
    add(draft, PARENT, b"a")
    add(draft, PARENT, b"b")


def part_of_a_section(draft: Draft) -> None:
    draft.sections[-1].stored_size, draft.sections[-1].checksum = 10, digest(draft.sections[-1].data[:10])


def zero_table_entry(draft: Draft) -> None:
    replace_table(draft, lambda table: [(offset, digest(bytes(PAGE_SIZE))) for offset, _ in table[:1]])
    replace_contents(draft, bytes(PAGE_SIZE))


TEXT, COUNTED = sample_pages()[PAGE_SIZE], sample_pages()[8 * PAGE_SIZE]
COMPRESS = zstandard.ZstdCompressor().compress
UNSIZED = zstandard.ZstdCompressor(write_content_size=False).compress
WRONG: list[tuple[str, Callable[[Draft], object]]] = [
    ("this is no image", lambda draft: setattr(draft, "magic", b"FLUKE\n\x1a\0")),
    ("of version 2: only 1", lambda draft: setattr(draft, "version", 2)),
    ("said to have 7 bytes", lambda draft: setattr(draft, "size", 7)),
    ("said to have 4000 sections", lambda draft: setattr(draft, "count", 4000)),
    ("belong to no section", part_of_a_section),
    ("are left", lambda draft: setattr(draft.sections[0], "stored_size", 1 << 63)),
    (
        "do not have its checksum",
        lambda draft: setattr(draft.sections[0], "checksum", bytes(16)),
    ),
    ("the encoding 2", lambda draft: setattr(draft.sections[0], "encoding", 2)),
    ("the encoding 0 with 5 bytes", lambda draft: claim(draft, TABLE, 5)),
    ("kind 5, which is not known", lambda draft: add(draft, 5, b"x")),
    ("0 manifests", lambda draft: draft.sections.pop(0)),
    ("2 manifests", lambda draft: draft.sections.append(draft.sections[0])),
    ("2 tables", lambda draft: draft.sections.append(draft.sections[1])),
    ("2 parents", two_parents),
    ("17179869184 bytes: it can have", lambda draft: claim(draft, MANIFEST, 1 << 34)),
    ("it can have", lambda draft: claim(draft, MANIFEST, MANIFEST_MAX + 1)),
    ("does not hold the 5 bytes", lambda draft: claim(draft, MANIFEST, 5)),
    ("does not hold the 99 bytes", lambda draft: frame(draft, MANIFEST, COMPRESS(b" " * (1 << 24)), 99)),
    ("does not hold the 9 bytes", lambda draft: frame(draft, MANIFEST, UNSIZED(b" " * 9), 9)),
    ("cannot be decompressed", lambda draft: frame(draft, MANIFEST, b"no frame", 9)),
    ("cannot be decompressed", lambda draft: frame(draft, MANIFEST, COMPRESS(b" " * 9) + b"x", 9)),
    ("cannot be decompressed", lambda draft: frame(draft, MANIFEST, COMPRESS(b" " * 9)[:-1], 9)),
    ("are no whole entries", lambda draft: frame_plain(draft, TABLE, b"x" * 25)),
    ("0x1000 comes after 0x8000", lambda draft: replace_table(draft, lambda table: [table[1], table[0], table[2]])),
    ("0x1000 comes after 0x1000", lambda draft: replace_table(draft, lambda table: [table[0], *table])),
    ("names 1 different pages", lambda draft: replace_table(draft, lambda table: table[:1])),
    ("names 2 different pages", lambda draft: replace_contents(draft, TEXT)),
    ("names 2 different pages", lambda draft: replace_contents(draft, TEXT, COUNTED, TEXT)),
    ("does not have the digest", lambda draft: replace_contents(draft, COUNTED, TEXT)),
    ("or is zero", zero_table_entry),
    ("1 to 256 pages", lambda draft: replace_contents(draft, TEXT[1:], COUNTED)),
    ("1 to 256 pages", lambda draft: add(draft, CONTENTS, b"")),
    ("not on a page", lambda draft: replace_table(draft, lambda table: [(offset + 8, name) for offset, name in table])),
    *(
        ("which is no name of a file", lambda draft, name=name: add(draft, PARENT, name))
        for name in (b"", b".", b"..", b"a/b", b"a\\b", b"a\0b", b"\xff", b"x" * 256)
    ),
]


@pytest.mark.parametrize(("remark", "damage"), WRONG, ids=[f"{n}: {remark}" for n, (remark, _) in enumerate(WRONG)])
def test_wrong_files_are_refused(draft: Draft, tmp_path: Path, remark: str, damage: Callable[[Draft], object]) -> None:
    damage(draft)
    (tmp_path / "damaged").write_bytes(draft.sealed())
    with pytest.raises(ImageError, match=remark) as caught:
        Image.load(tmp_path / "damaged")
    assert str(caught.value).startswith(f"{tmp_path / 'damaged'}: ")


def test_every_byte_counts(draft: Draft, tmp_path: Path) -> None:
    data, file = draft.sealed(), tmp_path / "damaged"
    for place in range(0, len(data), 7):
        file.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ImageError):
            Image.load(file)
        file.write_bytes(data[:place])
        with pytest.raises(ImageError):
            Image.load(file)
    file.write_bytes(data + b"\0")
    with pytest.raises(ImageError, match="is said to have"):
        Image.load(file)


def test_what_the_format_allows_is_read(draft: Draft, tmp_path: Path) -> None:
    image = Image.load(tmp_path / "image")
    draft.set_manifest_text(image.encoded)
    replace_contents(draft, TEXT)
    add(draft, CONTENTS, COUNTED)
    add(draft, 128, b"whatever")
    draft.sections.insert(0, Section(1000, PLAIN, b"", 0))
    (tmp_path / "other").write_bytes(draft.sealed())
    assert Image.load(tmp_path / "other") == image
