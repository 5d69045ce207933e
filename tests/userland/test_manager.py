"""A manager runs programs of a store as their host would, at any depth, and makes them again from what it wrote."""

from __future__ import annotations

import struct

import pytest

import fluke_async as fluke
from fluke_async.programs import find_program
from fluke_devices.store import Store
from tests.userland.stores import BUDGET, DONE, STDIN, run, shelf_with

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # what a manager does, no loop can change

WORK = {
    "hello": ["you"],
    "echo": [],
    "philosophers": ["4", "3"],
    "bounded_buffer": ["3", "2", "12", "3"],
    "pipeline": ["3", "40"],
    "cow": [],
}


async def undisturbed(name: str) -> tuple[bytes, fluke.Exit]:
    """What a program does that the host has started."""
    output, end = await run(shelf_with(), WORK[name], program=name)
    assert end == DONE
    return output, end


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("depth", [1, 2, 4])
async def test_program_cannot_tell_how_deep_it_is(model: str, preemption: str, name: str, depth: int) -> None:
    args = ["manager"] * (depth - 1) + [name, *WORK[name]]
    assert await run(shelf_with(), args, model=model, preemption=preemption) == await undisturbed(name)


@pytest.mark.parametrize("name", WORK)
@pytest.mark.parametrize("every", ["1", "3"])
async def test_child_that_is_made_again_of_its_image_prints_the_same(
    model: str, preemption: str, name: str, every: str
) -> None:
    shelf = shelf_with()
    args = ["-c", every, name, *WORK[name]]
    assert await run(shelf, args, model=model, preemption=preemption) == await undisturbed(name)
    assert every != "1" or shelf.get(b"image") is not None


@pytest.mark.parametrize("cpus", [2, 4])
async def test_child_on_several_harts_prints_the_same(cpus: int) -> None:
    args = ["-c", "1", "bounded_buffer", *WORK["bounded_buffer"]]
    assert await run(shelf_with(), args, cpus=cpus) == await undisturbed("bounded_buffer")


async def test_managers_that_renew_each_other_print_the_same(model: str, preemption: str) -> None:
    shelf = shelf_with()
    args = ["-c", "2", "-o", "outer", "manager", "-c", "1", "-o", "inner", "echo"]
    assert await run(shelf, args, model=model, preemption=preemption) == await undisturbed("echo")
    assert shelf.get(b"outer") is not None
    assert shelf.get(b"inner") is not None


async def test_child_whose_parts_are_checkpoints_of_another_is_made_again(model: str, preemption: str) -> None:
    """All that is in a process can be in an image, and a process in a process."""
    shelf = shelf_with()
    args = ["checkpoint", "-n", "3", "-e", "200", "1"]
    output, end = await run(shelf, ["-c", "4", *args], model=model, preemption=preemption)
    plain, _ = await run(shelf, args[1:], program="checkpoint")
    mark = b"the child exited with 0\n"
    assert (output.partition(mark)[:2], end) == (plain.partition(mark)[:2], DONE)


# -- In another run


def written(image: bytes) -> int:
    """How much of the child's output was there."""
    return int(struct.unpack_from("<Q", image, 4 * 8)[0])


@pytest.mark.parametrize("name", ["echo", "philosophers", "bounded_buffer"])
@pytest.mark.parametrize("depth", [1, 2])
async def test_image_goes_on_in_another_kernel(model: str, preemption: str, name: str, depth: int) -> None:
    """What was printed up to there, and what is printed from there on, is what an undisturbed run prints."""
    whole, _ = await undisturbed(name)
    images: list[bytes] = []
    for step in range(1, 12):
        shelf = shelf_with()
        command = ["manager"] * (depth - 1) + [name, *WORK[name]]
        output, end = await run(shelf, ["-c", "1", *command], budget=step * 150_000, preemption="partial")
        image = shelf.get(b"image")
        if image is None or image in images:
            continue
        images.append(image)
        rest, last = await run(shelf, ["-r", "image"], model=model, preemption=preemption)
        assert (output[: written(image)] + rest, last) == (whole, DONE)
        if end == DONE:
            break
    assert len(images) >= (2 if name == "echo" else 1)


async def test_resumed_child_is_written_down_again() -> None:
    shelf = shelf_with()
    output, end = await run(shelf, ["-c", "1", "-o", "first", "echo"], budget=300_000)
    assert end.reason == "budget"
    first = shelf.get(b"first")
    assert first is not None
    rest, end = await run(shelf, ["-c", "1", "-o", "second", "-r", "first"])
    assert (output[: written(first)] + rest, end) == (STDIN, DONE)
    second = shelf.get(b"second")
    assert second is not None
    assert written(second) == len(STDIN)


async def test_large_child_needs_its_memory_once() -> None:
    """All of 16 MiB is written, in a kernel that has 20."""
    shelf = shelf_with(memtest=find_program("memtest"))
    args = ["-m", "17000", "-c", "1", "memtest", str(16 * 256 - 100)]
    output, end = await run(shelf, args, memory="20M", budget=2 * BUDGET)
    plain, _ = await run(shelf, args[-1:], program="memtest")
    assert (output, end) == (plain, DONE)


# -- What goes wrong


async def test_child_of_which_every_thread_has_failed_ends_with_a_line(model: str, preemption: str) -> None:
    output, end = await run(shelf_with(), ["wild", "illegal"], model=model, preemption=preemption)
    assert output.startswith(b"about to commit: illegal\nmanager: wild cannot go on: exception 0x2 at 0x")
    assert end == fluke.Exit("exited", 1)


async def test_child_does_not_write_where_its_code_and_constants_are() -> None:
    for mistake in ("code-write", "constant-write", "data-jump"):
        output, end = await run(shelf_with(), ["manager", "wild", mistake])
        assert f"about to commit: {mistake}\nmanager: wild cannot go on: exception 0x".encode() in output
        assert end == fluke.Exit("exited", 1)


async def test_status_of_the_child_is_that_of_the_manager() -> None:
    output, end = await run(shelf_with(), ["manager", "philosophers", "0"])
    assert output.startswith(b"usage: philosophers")
    assert end == fluke.Exit("exited", 2)


async def test_child_without_room_in_the_store_goes_on() -> None:
    async with fluke.Kernel() as kernel:
        store = kernel.plug_in(Store(shelf_with(), capacity_bytes=5_000))
        args = ["-c", "1", "hello", "you"]
        process = await kernel.spawn("manager", args=args, budget=BUDGET, services={"store": store})
        output = await process.stdout.read_all()
        assert output == b"Hello, you!\nmanager: the child was not written down: the store does not take it\n"
        assert await process.wait() == DONE


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["-c"],
        ["-c", "0", "hello"],
        ["-m", "x", "hello"],
        ["-x", "1", "hello"],
        ["-r", "image", "hello"],
        ["-c", "1"],
    ],
    ids=" ".join,
)
async def test_wrong_arguments_are_told(args: list[str]) -> None:
    output, end = await run(shelf_with(), args)
    assert (output[:15], end) == (b"usage: manager ", fluke.Exit("exited", 2))


async def test_manager_without_a_store_says_so() -> None:
    async with fluke.Kernel() as kernel:
        process = await kernel.spawn("manager", args=["hello"])
        assert b"no service 'store'" in await process.stdout.read_all()
        assert await process.wait() == fluke.Exit("exited", 1)


@pytest.mark.parametrize("kib", ["1", "16", "24", "100000000"])
async def test_too_little_memory_is_told(kib: str) -> None:
    output, end = await run(shelf_with(), ["-m", kib, "hello"])
    assert output == b"manager: hello cannot be run: there is not enough memory for it\n"
    assert end == fluke.Exit("exited", 1)
