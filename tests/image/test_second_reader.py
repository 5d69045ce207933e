"""Who knows the format page alone reads images as this package does, and has all that a process can go on from."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

import fluke_async as fluke
from fluke_async.errors import ImageError
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.image import Image
from fluke_async.image.manifest import Device, Manifest, Mapping, ObjectRecord, OutsideObject
from fluke_async.image.pages import ZERO_PAGE, digest
from tests.image.second_reader import PlainImage, RefusedError, read, read_chain

PROGRAMS: list[tuple[str, list[str], int]] = [
    ("clock", ["3", "50"], 500),
    ("philosophers", [], 5_000),
    ("nested", [], 40_000),
    ("shared_memory", [], 200_000),
    ("pingpong", [], 20_000),
    ("rpc_server", [], 20_000),
]
"""With the number of instructions between two images."""

Outcome = tuple[bytes, fluke.Exit]

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


async def outcome(process: fluke.Process) -> Outcome:
    return await process.stdout.read_all(), await process.wait()


async def saved(
    folder: Path, program: str, arguments: list[str], every: int, kernel: fluke.Kernel
) -> tuple[Path, Outcome]:
    """The file of an image in the middle of a program, which builds on others, and what came of the program."""
    async with kernel:
        process = await kernel.spawn(program, args=arguments)
        images = [image async for image in process.checkpoints(every, incremental=True)]
        came = await outcome(process)
    images = images[: len(images) // 2 + 1]
    assert len(images) > 1
    for number, image in enumerate(images):
        image.save(folder / f"{number}")
    return folder / f"{len(images) - 1}", came


def built(plain: PlainImage) -> Image:
    """A full image of what the second reader has read."""
    fields = {name: plain.manifest[name] for name in Manifest.__struct_fields__}
    manifest = Manifest(
        **fields
        | {
            "mappings": tuple(Mapping(**each) for each in fields["mappings"]),
            "outside": {name: OutsideObject(**each) for name, each in fields["outside"].items()},
            "objects": tuple(ObjectRecord(**each) for each in fields["objects"]),
            "devices": {name: Device(**each) for name, each in fields["devices"].items()},
        }
    )
    builder = ImageBuilder(manifest)
    builder.add((offset, page or ZERO_PAGE) for offset, page in plain.pages.items())
    return builder.finish()


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


@pytest.mark.parametrize(("program", "arguments", "every"), PROGRAMS[:3], ids=lambda value: str(value))
async def test_a_process_goes_on_from_what_the_second_reader_has_read(
    tmp_path: Path, model: str, preemption: str, program: str, arguments: list[str], every: int
) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        undisturbed = await outcome(await kernel.spawn(program, args=arguments))
    place, came = await saved(tmp_path, program, arguments, every, fluke.Kernel(model=model, preemption=preemption))
    assert came == undisturbed
    for each, whole in ((tmp_path / "0", read(tmp_path / "0")), (place, read_chain(place))):
        written = whole.manifest["devices"]["console"]["state"]["written"]
        image = built(whole)
        assert (image.identity == whole.identity) == (each.name == "0")
        async with fluke.Kernel() as kernel:
            assert await outcome(await kernel.restore(image)) == (undisturbed[0][written:], undisturbed[1])


@pytest.mark.parametrize(("program", "arguments", "every"), PROGRAMS, ids=lambda value: str(value))
async def test_it_reads_what_this_package_reads(tmp_path: Path, program: str, arguments: list[str], every: int) -> None:
    last, _ = await saved(tmp_path, program, arguments, every, fluke.Kernel())
    for place in (tmp_path / "0", tmp_path / "1", last):
        image = Image.load(place)
        assert same(read_chain(place), plain(image))
        own = read(place)
        assert list(own.pages) == list(image.table)
        assert own.parent_name == (None if place.name == "0" else str(int(place.name) - 1))


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
        second = read(path)
    except RefusedError:
        second = None
    assert (image is None) == (second is None), (image, second)
    assert image is None or second is None or same(image, second)
    return image is not None


@pytest.fixture
async def image(tmp_path: Path) -> Image:
    """A full image of a program with several threads, in the middle."""
    place, _ = await saved(tmp_path, "nested", [], 40_000, fluke.Kernel())
    return Image.load(place.with_name("0"))


async def test_damage_is_refused_by_both(tmp_path: Path, image: Image) -> None:
    assert image.path is not None
    data = image.path.read_bytes()
    assert verdict(tmp_path / "it", data)
    for place in range(0, len(data), 50):
        assert not verdict(tmp_path / "it", data[:place] + bytes([data[place] ^ 1 + place % 255]) + data[place + 1 :])


async def test_damage_with_good_digests_means_the_same_to_both(tmp_path: Path, image: Image) -> None:
    assert image.path is not None
    taken = {True: 0, False: 0}
    for data in (image.path.read_bytes(), as_it_is(image)):
        end = min(len(data), data.index(image.encoded) + len(image.encoded) if image.encoded in data else len(data))
        for place in range(0, end, 50):
            spoilt = data[:place] + bytes([data[place] ^ 1 << place % 7]) + data[place + 1 :]
            taken[verdict(tmp_path / "it", sealed(spoilt))] += 1
    assert min(taken.values()) > 20
