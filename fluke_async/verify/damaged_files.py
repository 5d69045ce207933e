"""
ELF files with damage, each determined by its seed: headers that lie, tables that point anywhere, flipped bits.

A file starts as one of the built programs or as a small one of any shape, and is damaged in one to four ways. Most ways
know where the format has its numbers, and put there what a loader could stumble over: bounds, what is one beyond them,
what wraps around when something is added, another number of the same file.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from random import Random

from fluke_async.abi.codes import PAGE_SIZE, USER_END
from fluke_async.embedding.loader import STACK_END, STACK_START, START_BLOCK_VA
from fluke_async.embedding.slab import PROGRAM_END
from fluke_async.programs import build_record, find_program
from fluke_async.verify.elf_draft import (
    IN_DYNAMIC_ENTRY,
    IN_FILE_HEADER,
    IN_PROGRAM_HEADER,
    IN_RELOCATION,
    IN_SECTION_HEADER,
    IN_SYMBOL,
    Draft,
)
from fluke_async.verify.small_files import LOAD, PROGRAM_HEADER, SYMBOL, small_file

TAGS = (0, 1, 2, 5, 7, 8, 9, 23, 35, 36, 0x6FFF_FFF9)
LARGE = {"usertests"}
WAYS_MAX = 4


def in_file_header(draft: Draft) -> None:
    """A number of the file's header is wild."""
    draft.distort([0], IN_FILE_HEADER)


def in_program_header(draft: Draft) -> None:
    """A number of a program header is wild."""
    draft.distort(draft.program_headers(), IN_PROGRAM_HEADER)


def in_section_header(draft: Draft) -> None:
    """A number of a section's header is wild."""
    draft.distort(draft.sections(), IN_SECTION_HEADER)


def in_symbol(draft: Draft) -> None:
    """A number of a symbol is wild."""
    draft.distort(draft.symbols(), IN_SYMBOL)


def in_relocation(draft: Draft) -> None:
    """A number of a relocation is wild."""
    draft.distort(draft.relocations(), IN_RELOCATION)


def in_dynamic_section(draft: Draft) -> None:
    """A number of the dynamic section is wild."""
    draft.distort(draft.dynamic_entries(), IN_DYNAMIC_ENTRY)


def another_tag(draft: Draft) -> None:
    """An entry of the dynamic section means something else."""
    if entries := draft.dynamic_entries():
        draft.write(draft.random.choice(entries), IN_DYNAMIC_ENTRY["tag"], draft.random.choice(TAGS))


def number_of_another(draft: Draft) -> None:
    """A program header has a number of another one: they overlap, in memory or in the file."""
    if headers := draft.program_headers():
        one, other = draft.random.choice(headers), draft.random.choice(headers)
        field = draft.random.choice(list(IN_PROGRAM_HEADER.values()))
        draft.write(one, field, draft.read(other, field))


def nearly_alike(draft: Draft) -> None:
    """A segment begins in the middle of another."""
    if headers := draft.program_headers(LOAD):
        one, other = draft.random.choice(headers), draft.random.choice(headers)
        size = draft.read(other, IN_PROGRAM_HEADER["memsz"])
        start = draft.read(other, IN_PROGRAM_HEADER["vaddr"]) + draft.random.randrange(-1, min(size, 1 << 20) + 2)
        draft.write(one, IN_PROGRAM_HEADER["vaddr"], start)


def large(draft: Draft) -> None:
    """A segment takes a lot of memory, or most of what there is."""
    if headers := draft.program_headers(LOAD):
        bits = draft.random.choice((18, 19, 20, 21, 22, 30, 38, 39, 63, 64))
        size = (1 << bits) - draft.random.choice((0, 1, PAGE_SIZE, draft.random.getrandbits(17)))
        draft.write(draft.random.choice(headers), IN_PROGRAM_HEADER["memsz"], size)


def many_program_headers(draft: Draft) -> None:
    """A new table, of the old headers again and again, each with a number of its own changed."""
    if headers := draft.program_headers():
        count = draft.random.choice((2, 8, 32, 63, 64, 65, 200))
        table = len(draft.data)
        for index in range(count):
            place = headers[index % len(headers)]
            draft.data += draft.data[place : place + PROGRAM_HEADER.size]
            if index >= len(headers):
                address = draft.read(place, IN_PROGRAM_HEADER["vaddr"]) + index * draft.random.choice(
                    (PAGE_SIZE, 1 << 20)
                )
                draft.write(table + index * PROGRAM_HEADER.size, IN_PROGRAM_HEADER["vaddr"], address)
        draft.write(0, IN_FILE_HEADER["phoff"], table)
        draft.write(0, IN_FILE_HEADER["phnum"], draft.random.choice((count, count, count, 0xFFFF)))


def cut_off(draft: Draft) -> None:
    """The end is missing."""
    del draft.data[draft.random.choice((draft.random.randrange(len(draft.data) + 1), draft.random.randrange(129))) :]


def more_at_the_end(draft: Draft) -> None:
    """Something follows."""
    draft.data += draft.random.randbytes(draft.random.choice((1, 64, 5000)))


def at_the_stack(draft: Draft) -> None:
    """A segment where the loader puts the stack, what a program starts with, or the end of all."""
    if headers := draft.program_headers(LOAD):
        address = draft.random.choice((STACK_START, STACK_END, START_BLOCK_VA, PROGRAM_END, USER_END))
        address += draft.random.choice((-2, -1, 0, 1)) * PAGE_SIZE
        draft.write(draft.random.choice(headers), IN_PROGRAM_HEADER["vaddr"], address)


def nearly_all_memory(draft: Draft) -> None:
    """A segment with so much data that little, or nothing, is left for the rest."""
    if headers := draft.program_headers(LOAD):
        size = draft.random.randrange(1 << 20, 1 << 21)
        header = draft.random.choice(headers)
        for name, value in (("offset", len(draft.data)), ("filesz", size), ("memsz", size)):
            draft.write(header, IN_PROGRAM_HEADER[name], value)
        draft.data += bytes(size)


def names_in_names(draft: Draft) -> None:
    """Many symbols, and each name is the end of the one before."""
    sections, count = draft.sections(), draft.random.choice((10, 300, 3000))
    if len(sections) >= 2:
        names, symbols = sections[-1], sections[-2]
        draft.write(symbols, IN_SECTION_HEADER["offset"], len(draft.data))
        draft.write(symbols, IN_SECTION_HEADER["size"], count * SYMBOL.size)
        draft.data += b"".join(SYMBOL.pack(name, 0, 0, 1, name, 0) for name in range(count))
        draft.write(names, IN_SECTION_HEADER["offset"], len(draft.data))
        draft.write(names, IN_SECTION_HEADER["size"], 20 * count)
        draft.data += b"x" * 20 * count


def bits_flipped(draft: Draft) -> None:
    """Some bits are others, at the beginning or anywhere."""
    end = min(len(draft.data), draft.random.choice((64, 400, 1 << 20)))
    for _ in range(draft.random.choice((1, 2, 4, 16, 64)) if end else 0):
        draft.data[draft.random.randrange(end)] ^= 1 << draft.random.randrange(8)


def bytes_overwritten(draft: Draft) -> None:
    """Some bytes in a row are others."""
    if draft.data:
        start, size = draft.random.randrange(len(draft.data)), draft.random.choice((1, 8, 56, 512))
        size = min(size, len(draft.data) - start)
        draft.data[start : start + size] = draft.random.choice(
            (bytes(size), b"\xff" * size, draft.random.randbytes(size))
        )


def structures_overwritten(draft: Draft) -> None:
    """A structure stands where another was."""
    places = [*draft.program_headers(), *draft.sections(), *draft.dynamic_entries(), *draft.relocations()]
    if places:
        one, other = draft.random.choice(places), draft.random.choice(places)
        chunk = draft.data[one : one + 56]
        draft.data[other : other + len(chunk)] = chunk


WAYS: tuple[tuple[int, Callable[[Draft], None]], ...] = (
    (4, in_file_header),
    (14, in_program_header),
    (2, in_section_header),
    (2, in_symbol),
    (8, in_relocation),
    (6, in_dynamic_section),
    (3, another_tag),
    (6, number_of_another),
    (6, nearly_alike),
    (8, large),
    (4, many_program_headers),
    (3, cut_off),
    (2, more_at_the_end),
    (2, names_in_names),
    (2, at_the_stack),
    (1, nearly_all_memory),
    (10, bits_flipped),
    (4, bytes_overwritten),
    (3, structures_overwritten),
)


@cache
def _programs() -> tuple[bytes, ...]:
    return tuple(find_program(name) for name in build_record()["programs"] if name not in LARGE)


def damaged_file(random: Random) -> bytes:
    """A file with damage."""
    data = small_file(random) if random.random() < 0.6 else random.choice(_programs())
    draft = Draft(data, random)
    weights, ways = zip(*WAYS, strict=True)
    for way in random.choices(ways, weights, k=random.randint(1, WAYS_MAX)):
        way(draft)
    return bytes(draft.data)
