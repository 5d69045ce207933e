"""Who knows the format page alone reads images as this package does, and has all that a process can go on from."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

import fluke_async as fluke
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.image import Image
from fluke_async.image.manifest import Manifest
from fluke_async.image.pages import ZERO_PAGE
from tests.image.readings import as_it_is, plain, same, sealed, verdict
from tests.image.second_reader import PlainImage, read, read_chain

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
    builder = ImageBuilder(msgspec.convert(plain.manifest, Manifest))
    builder.add((offset, page or ZERO_PAGE) for offset, page in plain.pages.items())
    return builder.finish()


@pytest.mark.parametrize(("program", "arguments", "every"), PROGRAMS[:3], ids=str)
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


@pytest.mark.parametrize(("program", "arguments", "every"), PROGRAMS, ids=str)
async def test_it_reads_what_this_package_reads(tmp_path: Path, program: str, arguments: list[str], every: int) -> None:
    last, _ = await saved(tmp_path, program, arguments, every, fluke.Kernel())
    for place in (tmp_path / "0", tmp_path / "1", last):
        image = Image.load(place)
        assert same(read_chain(place), plain(image))
        own = read(place)
        assert list(own.pages) == list(image.table)
        assert own.parent_name == (None if place.name == "0" else str(int(place.name) - 1))


@pytest.fixture
async def images(tmp_path: Path) -> list[Image]:
    """A full image of a program with several threads and one that builds on it, saved in the same folder."""
    place, _ = await saved(tmp_path, "nested", [], 40_000, fluke.Kernel())
    return [Image.load(place.with_name(name)) for name in ("0", "1")]


def spoilt(data: bytes, place: int) -> bytes:
    """A file with another byte at a place."""
    return data[:place] + bytes([data[place] ^ (1 << place % 7)]) + data[place + 1 :]


async def test_damage_is_refused_by_both(tmp_path: Path, images: list[Image]) -> None:
    for name in ("0", "1"):
        data = (tmp_path / name).read_bytes()
        assert verdict(tmp_path / "it", data)
        for place in range(0, len(data), 50):
            assert not verdict(tmp_path / "it", spoilt(data, place))


async def test_damage_with_good_digests_means_the_same_to_both(tmp_path: Path, images: list[Image]) -> None:
    plainly = as_it_is(images[0])
    text = plainly.index(images[0].encoded)
    verdicts = [
        verdict(tmp_path / "it", sealed(spoilt(data, place)))
        for data, end in (
            ((tmp_path / "0").read_bytes(), None),
            ((tmp_path / "1").read_bytes(), None),
            (plainly, text + len(images[0].encoded)),
        )
        for place in range(0, end or len(data), 11)
    ]
    assert min(verdicts.count(True), verdicts.count(False)) > 30
