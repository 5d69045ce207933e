"""A draft of an ELF file: where its structures are, as far as it says so itself, and numbers that may hurt in them."""

from __future__ import annotations

from random import Random

from fluke_async.abi.codes import PAGE_SIZE, USER_END
from fluke_async.verify.small_files import (
    DYNAMIC,
    DYNAMIC_ENTRY,
    LOAD,
    PROGRAM_HEADER,
    RELA,
    RELA_BYTES,
    RELOCATION,
    SECTION_HEADER,
    SYMBOL,
    SYMBOL_TABLE,
)

Field = tuple[int, int]
"""Offset and size of a number in a structure, in bytes."""

# Structures by their numbers, in order.
IN_FILE_HEADER: dict[str, Field] = {
    "class": (4, 1), "order": (5, 1), "version": (6, 1), "type": (16, 2), "machine": (18, 2), "entry": (24, 8),
    "phoff": (32, 8), "shoff": (40, 8), "flags": (48, 4), "ehsize": (52, 2), "phentsize": (54, 2), "phnum": (56, 2),
    "shentsize": (58, 2), "shnum": (60, 2), "shstrndx": (62, 2),
}  # fmt: skip
IN_PROGRAM_HEADER: dict[str, Field] = {
    "type": (0, 4), "flags": (4, 4), "offset": (8, 8), "vaddr": (16, 8), "paddr": (24, 8), "filesz": (32, 8),
    "memsz": (40, 8), "align": (48, 8),
}  # fmt: skip
IN_SECTION_HEADER: dict[str, Field] = {
    "name": (0, 4), "type": (4, 4), "offset": (24, 8), "size": (32, 8), "link": (40, 4), "entsize": (56, 8),
}  # fmt: skip
IN_SYMBOL: dict[str, Field] = {"name": (0, 4), "info": (4, 1), "shndx": (6, 2), "value": (8, 8)}
IN_RELOCATION: dict[str, Field] = {"where": (0, 8), "type": (8, 4), "symbol": (12, 4), "addend": (16, 8)}
IN_DYNAMIC_ENTRY: dict[str, Field] = {"tag": (0, 8), "value": (8, 8)}
BOUNDS = (
    *(0, 1, 2, 3, 8, 56, 64, PAGE_SIZE, 0x10000, 1 << 15, 1 << 16, 1 << 20, 1 << 30, 1 << 31, 1 << 32),
    *(USER_END, 1 << 39, 1 << 47, 1 << 62, 1 << 63, 1 << 64),
)
HEADERS_MAX = 64


class Draft:
    """A file's bytes, to be changed; `random` decides how."""

    def __init__(self, data: bytes, random: Random) -> None:
        self.data = bytearray(data)
        self.random = random

    def read(self, place: int, field: Field) -> int:
        """A number of the structure at `place`; what lies beyond the end is zero."""
        start = place + field[0]
        return int.from_bytes(self.data[start : start + field[1]], "little")

    def write(self, place: int, field: Field, value: int) -> None:
        """Replace a number; nothing happens beyond the end."""
        start, size = place + field[0], field[1]
        if start + size <= len(self.data):
            self.data[start : start + size] = (value % (1 << 8 * size)).to_bytes(size, "little")

    def header(self, name: str) -> int:
        """A number of the file's header."""
        return self.read(0, IN_FILE_HEADER[name])

    def program_headers(self, *kinds: int) -> list[int]:
        """Where those of these kinds are; all of them if none is named."""
        table, count = self.header("phoff"), min(self.header("phnum"), HEADERS_MAX)
        places = [table + index * PROGRAM_HEADER.size for index in range(count)]
        return [
            each
            for each in places
            if each + PROGRAM_HEADER.size <= len(self.data)
            and (not kinds or self.read(each, IN_PROGRAM_HEADER["type"]) in kinds)
        ]

    def sections(self) -> list[int]:
        """Where the headers of the sections are."""
        table, count = self.header("shoff"), min(self.header("shnum"), HEADERS_MAX)
        places = [table + index * SECTION_HEADER.size for index in range(count)]
        return [each for each in places if each + SECTION_HEADER.size <= len(self.data)]

    def symbols(self) -> list[int]:
        """Where the symbols are."""
        for section in self.sections():
            if self.read(section, IN_SECTION_HEADER["type"]) == SYMBOL_TABLE:
                start = self.read(section, IN_SECTION_HEADER["offset"])
                end = min(start + self.read(section, IN_SECTION_HEADER["size"]), len(self.data))
                return list(range(start, end - SYMBOL.size + 1, SYMBOL.size))
        return []

    def dynamic_entries(self) -> list[int]:
        """Where the entries of the dynamic section are."""
        for header in self.program_headers(DYNAMIC):
            start = self.read(header, IN_PROGRAM_HEADER["offset"])
            end = min(start + self.read(header, IN_PROGRAM_HEADER["filesz"]), len(self.data))
            return list(range(start, end - DYNAMIC_ENTRY.size + 1, DYNAMIC_ENTRY.size))
        return []

    def relocations(self) -> list[int]:
        """Where the relocations are."""
        entries = self.dynamic_entries()
        tags = {self.read(each, (0, 8)): self.read(each, (8, 8)) for each in entries}
        address, size = tags.get(RELA, 0), tags.get(RELA_BYTES, 0)
        for header in self.program_headers(LOAD):
            start, offset = (self.read(header, IN_PROGRAM_HEADER[name]) for name in ("vaddr", "offset"))
            if start <= address < start + self.read(header, IN_PROGRAM_HEADER["filesz"]):
                first = offset + address - start
                end = min(first + size, len(self.data))
                return list(range(first, end - RELOCATION.size + 1, RELOCATION.size))
        return []

    def wild(self, old: int) -> int:
        """A number that may hurt, in the place of `old`."""
        choose, draw = self.random.choice, self.random.random()
        if draw < 0.45:
            return choose(BOUNDS) + choose((0, 0, 0, -1, 1, -8, 8, -PAGE_SIZE, PAGE_SIZE))
        if draw < 0.65:
            return old + choose((-1, 1, -8, 8, -PAGE_SIZE, PAGE_SIZE, 1 << 32, 1 << 63, -old * 2))
        if draw < 0.75:
            return len(self.data) + choose((0, -1, 1, -8, 8))
        if draw < 0.85:  # what wraps to something small
            return (1 << 64) - old + choose((0, 1, PAGE_SIZE, self.random.getrandbits(20)))
        return old ^ 1 << self.random.randrange(64) if draw < 0.95 else self.random.getrandbits(64)

    def distort(self, places: list[int], fields: dict[str, Field]) -> None:
        """Make a number of one of the structures a wild one."""
        if places:
            place, field = self.random.choice(places), self.random.choice(list(fields.values()))
            self.write(place, field, self.wild(self.read(place, field)))
