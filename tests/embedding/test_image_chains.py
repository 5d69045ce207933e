"""Images of restored processes, fifty deep; and processes of one image that know nothing of each other."""

from __future__ import annotations

from pathlib import Path

import anyio
import pytest

from fluke_async import Image, Kernel
from fluke_async.embedding.exit import Exit
from fluke_async.embedding.process import Process

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # long, and no loop can change what a program does

DEPTH = 50
PROGRAMS = [
    ("philosophers", ("4", "30")),
    ("checkpoint", ("-n", "2", "-e", "100", "1")),
    ("fairshare", ("-q", "6", "2", "1")),
    ("clock", ("3", "1")),
]
Outcome = tuple[bytes, Exit, int]


async def outcome(process: Process) -> Outcome:
    """What a process writes, how it ends, and when, by its own time."""
    output, exit_ = await process.stdout.read_all(), await process.wait()
    core = process.checkpointer._driver.core  # the kernel's clock stands when nobody is left
    return output, exit_, core.time + process.attached.timer.offset_ns


async def undisturbed(program: str, arguments: tuple[str, ...]) -> Outcome:
    async with Kernel() as kernel:
        return await outcome(await kernel.spawn(program, arguments))


async def instructions_of(program: str, arguments: tuple[str, ...]) -> int:
    """How many a program executes."""
    async with Kernel() as kernel:
        process = await kernel.spawn(program, arguments, budget=1 << 40)
        account = process.loaded.account if process.loaded is not None else None
        await process.wait()
        assert account is not None
        assert account.instructions_left is not None
        return (1 << 40) - account.instructions_left


def written(image: Image) -> int:
    count = image.manifest.devices["console"].state["written"]
    assert isinstance(count, int)
    return count


def through_a_file(image: Image, folder: Path, number: int) -> Image:
    image.save(folder / str(number))
    return Image.load(folder / str(number))


@pytest.mark.parametrize(("program", "arguments"), PROGRAMS, ids=[name for name, _ in PROGRAMS])
async def test_a_process_can_go_through_fifty_kernels(program: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    expected = await undisturbed(program, arguments)
    step = await instructions_of(program, arguments) // (DEPTH + 1)
    image: Image | None = None
    clocks = []
    for number in range(DEPTH):
        async with Kernel() as kernel:
            restored = None if image is None else await kernel.restore(image, budget=step)
            process = restored or await kernel.spawn(program, arguments, budget=step)
            assert (await process.wait()).reason == "budget"
            image = through_a_file(await process.checkpoint(), tmp_path, number)
            clocks.append(image.manifest.clock_ns)
    assert image is not None
    assert clocks == sorted(set(clocks)), "each went on a bit"
    async with Kernel() as kernel:
        output, exit_, end = await outcome(await kernel.restore(image, budget=1 << 40))
    assert (output, exit_, end) == (expected[0][written(image) :], *expected[1:])


@pytest.mark.parametrize(("program", "arguments"), PROGRAMS[:2], ids=[name for name, _ in PROGRAMS[:2]])
async def test_fifty_images_can_build_on_each_other(program: str, arguments: tuple[str, ...], tmp_path: Path) -> None:
    expected = await undisturbed(program, arguments)
    step = await instructions_of(program, arguments) // (DEPTH + 1)
    image: Image | None = None
    async with Kernel() as kernel:
        process = await kernel.spawn(program, arguments, budget=step)
        for number in range(DEPTH):
            assert (await process.wait()).reason == "budget"
            image = await process.checkpoint(image)
            image.save(tmp_path / str(number))
            process.add_budget(step)
        process.add_budget(1 << 40)
        assert await process.wait() == expected[1]
        assert await process.stdout.read_all() == expected[0]
    assert image is not None
    loaded = Image.load(tmp_path / str(DEPTH - 1))
    assert loaded.depth == DEPTH
    async with Kernel() as kernel:
        output, exit_, end = await outcome(await kernel.restore(loaded, budget=1 << 40))
    assert (output, exit_, end) == (expected[0][written(loaded) :], *expected[1:])


async def image_of_a_program_that_waits_for_input() -> Image:
    sender, receiver = anyio.create_memory_object_stream[bytes](1)
    async with sender, receiver, Kernel() as kernel:
        process = await kernel.spawn("echo", stdin=receiver)
        while not any(thread.waiting_for for thread in process.threads()):
            await anyio.lowlevel.checkpoint()
        return await process.checkpoint()


@pytest.mark.parametrize("kernels", [1, 2])
async def test_processes_of_one_image_do_not_see_each_other(kernels: int, tmp_path: Path) -> None:
    """Each gets its own input, and writes its own answer, whatever the other does."""
    image = through_a_file(await image_of_a_program_that_waits_for_input(), tmp_path, 0)
    texts = [b"to the first\n", b"and something longer to the second\n"]
    async with Kernel() as first, Kernel() as second:
        hosts = [first, second if kernels == 2 else first]
        processes = [await host.restore(image, stdin=text) for host, text in zip(hosts, texts, strict=True)]
        outputs = [await process.stdout.read_all() for process in processes]
        exits = [await process.wait() for process in processes]
    assert outputs == texts
    assert exits == [Exit("exited", 0)] * 2


async def test_one_of_two_processes_of_an_image_ends_and_the_other_goes_on() -> None:
    async with Kernel() as kernel:
        process = await kernel.spawn("checkpoint", PROGRAMS[1][1])
        image = await process.checkpointer.capture(process, None, 500_000)
        expected = await process.stdout.read_all()
    async with Kernel() as kernel:
        killed, other = [await kernel.restore(image) for _ in range(2)]
        await killed.kill()
        assert await other.wait() == Exit("exited", 0)
        lines = (await other.stdout.read_all()).splitlines()
    assert (await killed.wait()).reason == "killed"
    assert [line for line in lines if b"right" in line] == [
        line for line in expected[written(image) :].splitlines() if b"right" in line
    ]
