"""A manager runs a store's programs as if it were their host, at any depth, and makes them again from what it wrote."""

from __future__ import annotations

import dataclasses
import functools
import operator
import struct
from collections.abc import Callable, Sequence

import pytest

import fluke_async as fluke
from fluke_async.programs import find_program
from fluke_devices.shelf import MemoryShelf
from fluke_devices.store import Store
from tests.userland.running import in_use

STDIN = b"one\ntwo\n"
DONE = fluke.Exit("exited", 0)
BUDGET = 300_000_000  # many times what any of these runs takes: one that hangs ends
PROGRAMS = ("bounded_buffer", "checkpoint", "cow", "echo", "hello", "manager", "philosophers", "pipeline", "wild")
WORK = {
    "hello": ["you"],
    "echo": [],
    "philosophers": ["4", "3"],
    "bounded_buffer": ["3", "2", "12", "3"],
    "pipeline": ["3", "40"],
    "cow": [],
}


def shelf_with(**files: bytes) -> MemoryShelf:
    """A shelf with built-in programs, and files."""
    shelf = MemoryShelf()
    for name in PROGRAMS:
        shelf.put(name.encode(), find_program(name))
    for name, data in files.items():
        shelf.put(name.encode(), data)
    return shelf


async def run(
    shelf: MemoryShelf, args: Sequence[str], *, program: str = "manager", budget: int = BUDGET, memory: str = "64M",
    model: str = "interrupt", preemption: str = "partial", cpus: int = 1,
) -> tuple[bytes, fluke.Exit]:  # fmt: skip
    """What a program prints that has a store, and how it ends; nothing is left of it."""
    async with fluke.Kernel(model=model, preemption=preemption, cpus=cpus, memory=memory) as kernel:
        store = kernel.plug_in(Store(shelf))
        process = await kernel.spawn(program, args=args, stdin=STDIN, budget=budget, services={"store": store})
        output = await process.stdout.read_all()
        end = await process.wait()
        await process.kill()
        assert in_use(kernel) == (0, 0, 0)
    return output, end


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


# -- Files that are no programs

HEADER, PROGRAM_HEADER = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
IDENTITY = b"\x7fELF\x02\x01\x01".ljust(16, b"\0")
EXIT = bytes.fromhex("73001000")  # ebreak


@dataclasses.dataclass(frozen=True)
class Segment:
    kind: int = 1
    flags: int = 5
    offset: int = 0x1000
    address: int = 0x10000
    file_size: int = 4
    size: int = 4

    def pack(self) -> bytes:
        return PROGRAM_HEADER.pack(
            self.kind, self.flags, self.offset, self.address, self.address, self.file_size, self.size, 0x1000
        )


def elf(
    *segments: Segment, identity: bytes = IDENTITY, kind: int = 2, machine: int = 243, entry: int = 0x10000,
    headers_at: int = 64, header_size: int = 56, count: int | None = None,
) -> bytes:  # fmt: skip
    count = len(segments) if count is None else count
    header = HEADER.pack(identity, kind, machine, 1, entry, headers_at, 0, 0, 64, header_size, count, 0, 0, 0)
    return (header + b"".join(map(Segment.pack, segments))).ljust(0x1000, b"\0") + EXIT


CODE = Segment()
WRONG: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is no ELF file"),
    "text": (b"hello" * 100, "it is no ELF file"),
    "header only": (elf(CODE)[:63], "it is no ELF file"),
    "32 bits": (elf(CODE, identity=IDENTITY[:4] + b"\1" + IDENTITY[5:]), "it is for another machine"),
    "big end": (elf(CODE, identity=IDENTITY[:5] + b"\2" + IDENTITY[6:]), "it is for another machine"),
    "x86": (elf(CODE, machine=62), "it is for another machine"),
    "position-independent": (elf(CODE, kind=3), "it is position-independent: link it with -no-pie"),
    "object": (elf(CODE, kind=1), "it is no program"),
    "headers": (elf(CODE, count=65), "it has too many program headers"),
    "header size": (elf(CODE, header_size=32), "its program headers have another size"),
    "headers behind the end": (elf(CODE, headers_at=0x1004 - 55), "its program headers lie outside of the file"),
    "headers far away": (elf(CODE, headers_at=2**64 - 56), "its program headers lie outside of the file"),
    "nothing": (elf(), "it has nothing to be loaded"),
    "interpreter": (elf(Segment(kind=3), CODE), "it is dynamically linked: link it statically"),
    "more than memory": (elf(Segment(file_size=5)), "a segment has more in the file than in memory"),
    "truncated": (elf(Segment(file_size=5, size=5)), "a segment lies outside of the file"),
    "far offset": (elf(Segment(offset=2**64 - 2)), "a segment lies outside of the file"),
    "page 0": (elf(Segment(address=0)), "a segment leaves the addresses of programs"),
    "end": (elf(Segment(address=2**38 - 3)), "a segment leaves the addresses of programs"),
    "around": (elf(Segment(size=2**64 - 1)), "a segment leaves the addresses of programs"),
    "stack": (elf(CODE, Segment(address=2**38 - 0x100000)), "a segment reaches into the stack"),
    "no heap": (elf(CODE, Segment(address=2**38 - 0x142010)), "it leaves no room for a heap"),
    "huge": (elf(Segment(size=2**37)), "there is not enough memory for it"),
    "one page twice": (elf(CODE, Segment(address=0x10800)), "two segments share a page: link it with -z separate-code"),
    "many": (elf(*(Segment(address=0x10000 + i * 0x1000) for i in range(18))), "it has too many segments"),
    "entry in data": (elf(Segment(flags=6)), "its entry is not in code"),
    "entry elsewhere": (elf(CODE, entry=0x10004), "its entry is not in code"),
    "odd entry": (elf(CODE, entry=0x10001), "its entry is not in code"),
}


@pytest.mark.parametrize("name", WRONG)
async def test_file_that_is_no_program_is_refused_with_one_line(name: str) -> None:
    data, complaint = WRONG[name]
    output, end = await run(shelf_with(file=data), ["file"])
    assert (output.decode(), end) == (f"manager: file cannot be run: {complaint}\n", fluke.Exit("exited", 1))


async def test_file_that_is_not_there_is_told() -> None:
    for name in ("nothing", "x" * 65):
        output, end = await run(shelf_with(), [name])
        assert output.decode() == f"manager: {name} cannot be run: the store has no such file\n"
        assert end == fluke.Exit("exited", 1)


async def test_smallest_program_is_run() -> None:
    output, end = await run(shelf_with(file=elf(CODE)), ["file"])
    assert (output, end) == (b"manager: file cannot go on: exception 0x3 at 0x10000\n", fluke.Exit("exited", 1))


# -- Images that are none


def sealed(words: Sequence[int]) -> bytes:
    """Words with their sum."""
    total = functools.reduce(lambda total, word: (total ^ word) * 0x9E3779B97F4A7C15 % 2**64, words, 0)
    return struct.pack(f"<{len(words) + 1}Q", *words, total)


async def image_of(*args: str) -> list[int]:
    """The words of an image, without the sum."""
    shelf = shelf_with()
    await run(shelf, ["-c", "1", *args])
    image = shelf.get(b"image")
    assert image is not None
    words = struct.unpack(f"<{len(image) // 8}Q", image)
    assert sealed(words[:-1]) == image
    return list(words[:-1])


HEADER_WORDS = 12 + 3 * 20
RECORDS = HEADER_WORDS  # magic, size, memory size, names, running, objects, pages
NAMES = RECORDS + 7
RUNNING = NAMES + 5 * 4
OBJECT = RUNNING + 1  # offset, type, links


Change = tuple[int, Callable[[int], int]]


def set_to(value: int) -> Callable[[int], int]:
    return lambda _: value


def more(value: int) -> Callable[[int], int]:
    return functools.partial(operator.add, value)


SPOILT: dict[str, Change] = {
    "magic": (0, more(1)),
    "size of the records": (1, more(8)),
    "no records": (1, set_to(0)),
    "huge records": (1, set_to(2**63)),
    "pages": (2, more(1)),
    "many pages": (2, set_to(2**60)),
    "memory": (3, more(4096)),
    "parts": (11, set_to(21)),
    "no parts": (11, set_to(0)),
    "part's place": (12, more(1)),
    "part's size": (13, set_to(2**62)),
    "part's access": (14, set_to(8)),
    "records' magic": (RECORDS, more(1)),
    "records' size": (RECORDS + 1, more(8)),
    "records' memory": (RECORDS + 2, more(4096)),
    "names": (RECORDS + 3, more(1)),
    "many names": (RECORDS + 3, set_to(2**59)),
    "running": (RECORDS + 4, more(1)),
    "objects": (RECORDS + 5, more(1)),
    "many objects": (RECORDS + 5, set_to(2**62)),
    "pages among the records": (RECORDS + 6, set_to(1)),
    "name without an end": (NAMES + 3, set_to(2**64 - 1)),
    "running nowhere": (RUNNING, set_to(2**40)),
    "object nowhere": (OBJECT, set_to(2**40)),
    "object between places": (OBJECT, more(8)),
    "type": (OBJECT + 1, set_to(10)),
    "no type": (OBJECT + 1, set_to(0)),
    "link's kind": (OBJECT + 2, set_to(3)),
    "link to no name": (OBJECT + 3, set_to(5)),
}


@pytest.mark.parametrize("name", SPOILT)
async def test_image_that_is_damaged_is_refused_with_one_line(name: str) -> None:
    words = await image_of("hello")
    place, change = SPOILT[name]
    words[place] = change(words[place])
    output, end = await run(shelf_with(spoilt=sealed(words)), ["-r", "spoilt"])
    assert end == fluke.Exit("exited", 1)
    assert output.startswith(b"manager: the child cannot be resumed: ")
    assert output.count(b"\n") == 1


async def test_state_that_the_kernel_refuses_is_told() -> None:
    words = await image_of("hello")
    record = words.index(1, OBJECT) - 1  # of the first thread: its type
    priority = record + 12 + 3
    assert words[priority] == 16
    words[priority] = 99
    output, end = await run(shelf_with(spoilt=sealed(words)), ["-r", "spoilt"])
    assert output == b"manager: the child cannot be resumed: the image is damaged: exception 0x12f\n"
    assert end == fluke.Exit("exited", 1)


@pytest.mark.parametrize("place", [4, RECORDS + 40, -1, -600])
async def test_image_with_a_wrong_word_has_a_wrong_sum(place: int) -> None:
    words = await image_of("hello")
    data = bytearray(sealed(words))
    data[(place % len(words)) * 8] ^= 1
    output, end = await run(shelf_with(spoilt=bytes(data)), ["-r", "spoilt"])
    assert output == b"manager: the child cannot be resumed: the image is damaged\n"
    assert end == fluke.Exit("exited", 1)


async def test_image_that_is_not_there_is_told() -> None:
    output, end = await run(shelf_with(), ["-r", "nothing"])
    assert output == b"manager: nothing cannot be resumed: the store has no such image\n"
    assert end == fluke.Exit("exited", 1)


async def test_service_that_is_missing_is_told() -> None:
    shelf = shelf_with()
    async with fluke.Kernel() as kernel:
        services = {"store": kernel.plug_in(Store(shelf)), "other": kernel.plug_in(Store())}
        process = await kernel.spawn("manager", args=["-c", "1", "echo"], stdin=STDIN, services=services)
        await process.stdout.read_all()
        assert await process.wait() == DONE
    output, end = await run(shelf, ["-r", "image"])
    assert output == b"manager: the child cannot be resumed: it knows a service that is not there\n"
    assert end == fluke.Exit("exited", 1)
