"""A restored process has what it had: the same names for what lies outside, and nothing done, nor paid for, twice."""

from __future__ import annotations

import pytest

from fluke_async import Kernel
from fluke_async.embedding.process import Process
from fluke_async.image.image import Image

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # long, and no loop can change what a program does

CHILD_THAT_LOOKS = ("checkpoint", ["-n", "5", "-e", "100", "1"])


async def outcome(process: Process) -> tuple[bytes, object]:
    return await process.stdout.read_all(), await process.wait()


async def image_at(program: str, arguments: list[str], count: int) -> tuple[Image, tuple[bytes, object]]:
    """An image of a program at a count of its instructions, and what came of that program, which went on."""
    async with Kernel() as kernel:
        process = await kernel.spawn(program, arguments)
        image = await process.checkpointer.capture(process, None, count)
        return image, await outcome(process)


async def test_what_lies_outside_is_known_by_the_same_hashes() -> None:
    program, arguments = CHILD_THAT_LOOKS
    image, (output, exit_) = await image_at(program, arguments, 1_000_000)
    written = image.manifest.devices["console"].state["written"]
    hashes = {name: each.hash for name, each in image.manifest.outside.items()}
    async with Kernel() as kernel:
        await outcome(await kernel.spawn("hello"))  # so that other hashes would be given
        process = await kernel.restore(image)
        assert hashes_outside(process) == hashes
        assert await outcome(process) == (output[written:], exit_)
    async with Kernel() as kernel:
        process = await kernel.restore(image)
        assert hashes_outside(*await process.fork(1)) == hashes


def hashes_outside(process: Process) -> dict[str, int]:
    """Of what a process can refer to by names."""
    assert process.loaded is not None
    return {name: target.hash for name, target in process.loaded.named.items()}


async def test_new_objects_have_hashes_that_no_restored_one_has() -> None:
    image, _ = await image_at(*CHILD_THAT_LOOKS, 1_000_000)
    hashes = {each.word("hash") for each in image.manifest.objects if each.state}
    async with Kernel() as kernel:
        await kernel.restore(image)
        other = await kernel.spawn("clock", ["1", "1"])
        assert other.loaded is not None
        assert not hashes & {each.hash for each in (*other.loaded.named.values(), *other.loaded.account.threads)}


@pytest.mark.parametrize(
    ("program", "arguments", "count"),
    [
        ("clock", ["3", "1"], 2_000),
        ("pingpong", [], 12_000),
        ("fairshare", ["-q", "6", "2", "1"], 60_000),
        ("usertests", [], 15_036_000),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_a_restored_program_finds_the_time_that_it_would_have_found(
    program: str, arguments: list[str], count: int
) -> None:
    """Sleeping, calling a device, known to its scheduler: it makes no call again, so it pays for none twice."""
    async with Kernel() as kernel:
        undisturbed = await outcome(await kernel.spawn(program, arguments))
    image, went_on = await image_at(program, arguments, count)
    assert went_on == undisturbed
    async with Kernel() as kernel:
        written = image.manifest.devices["console"].state["written"]
        assert await outcome(await kernel.restore(image)) == (undisturbed[0][written:], undisturbed[1])


async def test_a_process_has_memory_where_it_had_some() -> None:
    """Pages of zeros too: `region_changed` tells which those are, and they count for the quota."""
    async with Kernel() as kernel:
        process = await kernel.spawn("checkpoint", ["-n", "2", "1"])
        image = await process.checkpointer.capture(process, None, 500_000)
    assert image.zeros()
    async with Kernel() as kernel:
        process = await kernel.restore(image)
        assert process.loaded is not None
        slab, root = process.loaded.slab, kernel._running_driver().core.root
        found = {page - slab.start for page, _ in root.frames() if slab.start <= page < slab.start + slab.end}
    assert found >= {*image.zeros(), *image.offsets()}
