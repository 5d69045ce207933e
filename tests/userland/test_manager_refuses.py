"""What a manager refuses, with one line: files that are no programs, and images that are none."""

from __future__ import annotations

import dataclasses
import functools
import operator
import struct
from collections.abc import Callable, Sequence

import pytest

import fluke_async as fluke
from fluke_async.abi.codes import ObjectType
from fluke_async.abi.layouts import MUTEX_STATE
from fluke_devices.store import Store
from tests.userland.stores import DONE, STDIN, run, shelf_with

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])  # what a manager does, no loop can change

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
OBJECT, RECORD_WORDS = RUNNING + 1, 12  # offset, type, links
STATES = {ObjectType.MUTEX: MUTEX_STATE}  # of what lies before the thread


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


async def test_link_to_nothing_is_told() -> None:
    words = await image_of("hello")
    words[OBJECT + 2 : OBJECT + 4] = [1, 0x7F0]  # inside, where there is nothing
    output, end = await run(shelf_with(spoilt=sealed(words)), ["-r", "spoilt"])
    assert output == b"manager: the child cannot be resumed: the image is damaged\n"
    assert end == fluke.Exit("exited", 1)


async def test_state_that_the_kernel_refuses_is_told() -> None:
    words = await image_of("hello")
    record = OBJECT
    while words[record + 1] != ObjectType.THREAD:
        record += RECORD_WORDS + STATES[ObjectType(words[record + 1])].size // 8
    priority = record + RECORD_WORDS + 3
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
