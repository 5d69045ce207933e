"""
Small ELF files of all shapes, made from nothing: programs linked to an address or position-independent, with
relocations, a dynamic section and symbols. They are sound; what is to be wrong with them comes later.
"""

from __future__ import annotations

import struct
from random import Random

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.abi.entry_points import ENTRY_POINTS

FILE_HEADER, PROGRAM_HEADER = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
SECTION_HEADER, SYMBOL = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ")
DYNAMIC_ENTRY, RELOCATION = struct.Struct("<qQ"), struct.Struct("<QQq")
IDENTITY = b"\x7fELF\x02\x01\x01"
EXECUTABLE, SHARED, RISCV = 2, 3, 243
LOAD, DYNAMIC = 1, 2
X, W, R = 1, 2, 4
RELATIVE = 3
RELA, RELA_BYTES = 7, 8  # tags of the dynamic section
SYMBOL_TABLE, STRING_TABLE = 2, 3
ECALL, EBREAK, BACK = 0x0000_0073, 0x0010_0073, 0xFF9F_F06F  # the last jumps back by 8 bytes
NAMES = b"\0start\0data\0.symtab\0.strtab\0"


def load_a7(number: int) -> int:
    """The instruction `li a7, number`."""
    return (number & 0x7FF) << 20 | 17 << 7 | 0x13


class _Layout:
    """Contents one after the other, and the program headers that name them."""

    def __init__(self, segments_max: int) -> None:
        self.contents = b""
        self.headers: list[bytes] = []
        self.start = FILE_HEADER.size + segments_max * PROGRAM_HEADER.size

    def append(self, data: bytes) -> int:
        """The offset at which the file will have the data."""
        self.contents += data
        return self.start + len(self.contents) - len(data)

    def segment(self, kind: int, flags: int, address: int, data: bytes, memory_bytes: int) -> None:
        """A segment with its data."""
        sizes = (len(data), memory_bytes, PAGE_SIZE)
        self.headers.append(PROGRAM_HEADER.pack(kind, flags, self.append(data), address, address, *sizes))


def small_file(random: Random) -> bytes:
    """A sound program, with at most eight segments."""
    is_pie = random.random() < 0.7
    base = 0 if is_pie else 0x10000 * random.randint(1, 4)
    layout = _Layout(8)
    numbers = [load_a7(random.choice(ENTRY_POINTS).number) for _ in range(random.randint(1, 4))]
    code = struct.pack(f"<{len(numbers) * 2 + 2}I", *(word for each in numbers for word in (each, ECALL)), EBREAK, BACK)
    layout.segment(LOAD, R | X, base, code, len(code))
    address = base + PAGE_SIZE
    places: list[int] = []
    for _ in range(random.randint(0, 4)):
        data = random.randbytes(8 * random.randint(1, 64))
        layout.segment(LOAD, random.choice((R, R | W)), address, data, len(data) + random.choice((0, 8, 5000)))
        places += range(address, address + len(data), 8)
        address += 4 * PAGE_SIZE
    if is_pie:
        count = random.randint(0, 30) if places else 0
        table = b"".join(RELOCATION.pack(random.choice(places), RELATIVE, random.choice(places)) for _ in range(count))
        layout.segment(LOAD, R, address, table or bytes(8), len(table) or 8)
        tags = ((RELA, address), (RELA_BYTES, len(table)), (0, 0))
        dynamic = b"".join(DYNAMIC_ENTRY.pack(*tag) for tag in tags)
        layout.segment(DYNAMIC, R, address + PAGE_SIZE, dynamic, len(dynamic))
    sections = _sections(layout, base) if random.random() < 0.7 else []
    sections_at = layout.append(b"".join(sections)) if sections else 0
    counts = (PROGRAM_HEADER.size, len(layout.headers), SECTION_HEADER.size, len(sections), max(0, len(sections) - 1))
    kind = SHARED if is_pie else EXECUTABLE
    header = FILE_HEADER.pack(
        IDENTITY, kind, RISCV, 1, base, FILE_HEADER.size, sections_at, 0, FILE_HEADER.size, *counts
    )
    return (header + b"".join(layout.headers)).ljust(layout.start, b"\0") + layout.contents


def _sections(layout: _Layout, base: int) -> list[bytes]:
    """The headers of a table of two symbols and of the names."""
    symbols = b"".join(
        SYMBOL.pack(*each) for each in ((0, 0, 0, 0, 0, 0), (1, 2, 0, 1, base, 8), (7, 1, 0, 1, base, 8))
    )
    symbols_at, names_at = layout.append(symbols), layout.append(NAMES)
    return [
        bytes(SECTION_HEADER.size),
        SECTION_HEADER.pack(12, SYMBOL_TABLE, 0, 0, symbols_at, len(symbols), 2, 1, 8, SYMBOL.size),
        SECTION_HEADER.pack(20, STRING_TABLE, 0, 0, names_at, len(NAMES), 0, 0, 1, 0),
    ]
