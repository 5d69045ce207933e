"""ELF files: what is a program becomes segments, everything else is refused in one line."""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluke_async.cpu.elf import (
    END_OF_ADDRESSES,
    LOAD_BASE,
    LOWEST_ADDRESS,
    SEGMENT_LIMIT,
    ElfImage,
    load_elf,
)
from fluke_async.cpu.protocol import EXECUTE, PAGE_SIZE, READ, WRITE
from fluke_async.errors import ProgramError

PT_LOAD, PT_DYNAMIC, PT_INTERP, PT_GNU_STACK = 1, 2, 3, 0x6474E551
PF_X, PF_W, PF_R = 1, 2, 4
ET_REL, ET_EXEC, ET_DYN, ET_CORE = 1, 2, 3, 4
RELATIVE, ABSOLUTE_64 = 3, 2
HEADER, PROGRAM_HEADER = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")


@dataclass(frozen=True)
class Part:
    """A program header with its bytes; sizes may lie."""

    address: int
    data: bytes
    flags: int = PF_R | PF_X
    kind: int = PT_LOAD
    memory_size: int | None = None
    file_size: int | None = None
    offset: int | None = None
    alignment: int = PAGE_SIZE


CODE = Part(0x10000, b"\x73\0\0\0")
DATA = Part(0x12000, b"data", PF_R | PF_W, memory_size=0x1800)


def build(
    *parts: Part,
    kind: int = ET_EXEC,
    entry: int = 0x10000,
    machine: int = 243,
    identity: bytes = b"\x7fELF\x02\x01\x01",
    header_size: int = PROGRAM_HEADER.size,
    number: int | None = None,
) -> bytes:
    where = HEADER.size + PROGRAM_HEADER.size * len(parts)
    headers = contents = b""
    for part in parts:
        offset = where + len(contents) if part.offset is None else part.offset
        file_size = len(part.data) if part.file_size is None else part.file_size
        memory_size = file_size if part.memory_size is None else part.memory_size
        addresses = (part.address, part.address, file_size, memory_size, part.alignment)
        headers += PROGRAM_HEADER.pack(part.kind, part.flags, offset, *addresses)
        contents += part.data
    count = len(parts) if number is None else number
    sizes = (HEADER.size, header_size, count, 64, 0, 0)
    return HEADER.pack(identity, kind, machine, 1, entry, 64, 0, 0, *sizes) + headers + contents


def test_static_program() -> None:
    image = load_elf(build(DATA, CODE))
    code, data = image.segments
    assert (image.entry, image.is_static_pie, image.load_base) == (0x10000, False, 0)
    assert (code.address, code.memory_size, code.permissions) == (0x10000, 4, READ | EXECUTE)
    assert (data.address, data.memory_size, data.permissions) == (0x12000, 0x1800, READ | WRITE)
    assert (bytes(code.data), bytes(data.data)) == (b"\x73\0\0\0", b"data")
    assert image.symbols() == {}


def position_independent(*relocations: tuple[int, int, int], **tags: int) -> bytes:
    """A program linked to 0, with its table of relocations at 0x2000 and 16 bytes at 0x3000."""
    table = b"".join(struct.pack("<QQq", *relocation) for relocation in relocations)
    values = {7: 0x2000, 8: len(table)} | {int(name[1:]): value for name, value in tags.items()}
    dynamic = b"".join(struct.pack("<qQ", tag, value) for tag, value in values.items())
    return build(
        replace(CODE, address=0x0),
        Part(0x1000, dynamic + bytes(16), PF_R, PT_DYNAMIC),
        Part(0x2000, table or bytes(8), PF_R),
        Part(0x3000, b"\xaa" * 16, PF_R | PF_W, memory_size=64),
        kind=ET_DYN,
        entry=0,
    )


def test_static_pie_is_moved_and_relocated() -> None:
    image = load_elf(position_independent((0x3008, RELATIVE, 0x1234), (0, 0, 0)))
    assert (image.entry, image.is_static_pie, image.load_base) == (LOAD_BASE, True, LOAD_BASE)
    assert [s.address - LOAD_BASE for s in image.segments] == [0, 0x2000, 0x3000]
    address = (LOAD_BASE + 0x1234).to_bytes(8, "little")
    assert bytes(image.segments[2].data) == b"\xaa" * 8 + address


def test_load_base_respects_alignment() -> None:
    program = build(Part(0, CODE.data, alignment=0x200000), kind=ET_DYN, entry=0)
    assert load_elf(program).load_base == 0x200000


GOOD = build(CODE, DATA)
HUGE = 2**64 - 1
REFUSED = {
    "empty": (b"", "not an ELF file"),
    "script": (b"#!/bin/sh\n", "not an ELF file"),
    "only the magic": (b"\x7fELF", "not a sound ELF file"),
    "32 bits": (build(CODE, identity=b"\x7fELF\x01\x01\x01"), "32-bit|not a sound"),
    "big-endian": (build(CODE, identity=b"\x7fELF\x02\x02\x01"), "big-endian"),
    "class 7": (build(CODE, identity=b"\x7fELF\x07\x01\x01"), "not a sound"),
    "x86-64": (build(CODE, machine=62), "EM_X86_64.*build it for RV64"),
    "object file": (build(CODE, kind=ET_REL), "object file: link it"),
    "core": (build(CODE, kind=ET_CORE), "no program"),
    "interpreter": (build(CODE, Part(0, b"/ld.so", kind=PT_INTERP)), "link it statically"),
    "no segment": (build(), "no loadable segment"),
    "empty segment": (build(replace(CODE, data=b"")), "no loadable segment"),
    "65 headers": (build(*[CODE] * (SEGMENT_LIMIT + 1)), "65 program headers, limit 64"),
    "odd header size": (build(CODE, header_size=32), "have 32 bytes"),
    "headers cut": (GOOD[:100], "truncated: its program headers"),
    "contents cut": (GOOD[:-1], "truncated: its segment at 0x12000"),
    "offset near 2^64": (build(replace(CODE, offset=HUGE)), "truncated"),
    "file size near 2^64": (build(replace(CODE, file_size=HUGE)), "truncated"),
    "memory near 2^64": (build(replace(CODE, memory_size=HUGE)), "leaves the addresses"),
    "address near 2^64": (build(replace(CODE, address=HUGE)), "leaves the addresses"),
    "page 0": (build(replace(CODE, address=0xFF0)), "leaves the addresses"),
    "beyond Sv39": (build(replace(CODE, address=END_OF_ADDRESSES - 2)), "leaves the addresses"),
    "shrinking": (build(replace(CODE, memory_size=3)), "4 bytes in the file, 3 in memory"),
    "same page": (build(CODE, replace(DATA, address=0x10800)), "shares a page.*link it with"),
    "overlap": (build(CODE, replace(DATA, address=0xF000)), "shares a page"),
    "entry in data": (build(CODE, DATA, entry=0x12000), "entry 0x12000 is not in"),
    "entry behind the end": (build(CODE, entry=0x10004), "entry 0x10004 is not in"),
    "odd entry": (build(CODE, entry=0x10001), "entry 0x10001 is not in"),
    "alignment": (build(replace(CODE, alignment=3 << 12), kind=ET_DYN), "not a power of two"),
    "huge alignment": (build(replace(CODE, alignment=1 << 63), kind=ET_DYN), "leaves the addr"),
    "shared library": (position_independent((0, 0, 0), _1=4), "shared libraries"),
    "packed": (position_independent((0, 0, 0), _35=8), "nopack-relative-relocs"),
    "unknown relocation": (position_independent((0x3000, ABSOLUTE_64, 0)), "type 2"),
    "relocation in zeros": (position_independent((0x3010, RELATIVE, 0)), "target, 0x13010"),
    "relocation nowhere": (position_independent((HUGE - 7, RELATIVE, 0)), "lies outside"),
    "table nowhere": (position_independent((0, 0, 0), _7=HUGE), "table of relocations"),
    "table cut": (position_independent((0, 0, 0), _8=23), "in the middle"),
    "table near 2^64": (position_independent((0, 0, 0), _8=HUGE), "table of relocations"),
    "procedure table": (position_independent((0, 0, 0), _23=0x9000, _2=24), "table of reloc"),
}


@pytest.mark.parametrize(("data", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_is_no_program_is_refused_in_one_line(data: bytes, message: str) -> None:
    with pytest.raises(ProgramError, match=message) as refusal:
        load_elf(data)
    assert "\n" not in str(refusal.value)


def test_memory_is_limited_in_whole_pages() -> None:
    assert load_elf(GOOD, memory_limit=3 * PAGE_SIZE).entry == 0x10000
    with pytest.raises(ProgramError, match="needs 12288 bytes of memory, limit 12287"):
        load_elf(GOOD, memory_limit=3 * PAGE_SIZE - 1)


def test_claimed_memory_is_not_allocated() -> None:
    program = build(CODE, replace(DATA, memory_size=END_OF_ADDRESSES - 0x12000))
    image = load_elf(program, memory_limit=2**40)
    assert len(image.segments[1].data) == 4


def test_relocations_reach_each_of_many_segments() -> None:
    count = SEGMENT_LIMIT - 3
    targets = [0x3000 + index * PAGE_SIZE for index in range(count)]
    table = b"".join(struct.pack("<QQq", target, RELATIVE, target) for target in targets)
    dynamic = struct.pack("<qQqQ", 7, 0x2000, 8, len(table))
    program = build(
        replace(CODE, address=0x0),
        Part(0x1000, dynamic, PF_R, PT_DYNAMIC),
        Part(0x2000, table, PF_R),
        *(Part(target, bytes(8), PF_R | PF_W) for target in reversed(targets)),
        kind=ET_DYN,
        entry=0,
    )
    image = load_elf(program)
    words = [int.from_bytes(segment.data, "little") for segment in image.segments[2:]]
    assert words == [segment.address for segment in image.segments[2:]] == [LOAD_BASE + target for target in targets]


def with_symbols(*symbols: tuple[int, int, int], names: bytes, entry_size: int = 24, link: int = 2) -> bytes:
    """A program with symbols: where their names are, sections, addresses."""
    table = b"".join(struct.pack("<IBBHQQ", name, 0, 0, section, value, 0) for name, section, value in symbols)
    offset = len(GOOD)
    sections = (
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (0, 2, 0, 0, offset, len(table), link, 0, 8, entry_size),
        (0, 3, 0, 0, offset + len(table), len(names), 0, 0, 1, 0),
    )
    headers = b"".join(struct.pack("<IIQQQQIIQQ", *section) for section in sections)
    file = bytearray(GOOD + table + names + headers)
    struct.pack_into("<Q", file, 40, offset + len(table) + len(names))
    struct.pack_into("<HHH", file, 58, 64, len(sections), 0)
    return bytes(file)


def test_symbols_have_names_and_addresses() -> None:
    symbols = ((0, 0, 0), (1, 1, 0x10000), (6, 1, 0x10002), (9, 1, 5), (14, 0xFFF1, 7))
    program = with_symbols(*symbols, names=b"\0main\0go\0.L12\0absolute\0")
    assert load_elf(program).symbols() == {"main": 0x10000, "go": 0x10002}


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        (with_symbols((0, 1, 0), names=b"\0", entry_size=1), "no array of symbols"),
        (with_symbols((0, 1, 0), names=b"\0", link=3), "no array of symbols"),
        (with_symbols((0, 1, 0), names=b"\0")[:-1], "sections lie outside"),
        (with_symbols(*((name, 1, 0) for name in range(100)), names=b"x" * 4000), "names are longer than the file"),
    ],
)
def test_symbols_that_are_damaged_or_long_work_are_refused(program: bytes, reason: str) -> None:
    with pytest.raises(ProgramError, match=reason):
        load_elf(program).symbols()


def check_refused_or_sound(data: bytes) -> None:
    try:
        image = load_elf(data)
    except ProgramError:
        return
    assert isinstance(image, ElfImage)
    end = LOWEST_ADDRESS
    for segment in image.segments:
        assert end <= segment.address < segment.end <= END_OF_ADDRESSES
        assert len(segment.data) <= segment.memory_size
        end = segment.end
    assert any(s.address <= image.entry < s.end and s.permissions & EXECUTE for s in image.segments)
    with contextlib.suppress(ProgramError):
        image.symbols()


PIE = position_independent((0x3008, RELATIVE, 0x1234))


@given(
    st.sampled_from([GOOD, PIE]),
    st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=6),
    st.integers(0, 600),
)
def test_damaged_files_are_refused_or_sound(data: bytes, changes: list[tuple[int, int]], length: int) -> None:
    damaged = bytearray(data)
    for index, byte in changes:
        damaged[index % len(damaged)] = byte
    check_refused_or_sound(bytes(damaged[:length]))
    check_refused_or_sound(bytes(damaged))


@given(
    st.sampled_from([GOOD, PIE]),
    st.lists(
        st.tuples(st.integers(2, 60), st.sampled_from([0, 1, 2**31, 2**32 - 1, 2**38, 2**63, HUGE])),
        max_size=4,
    ),
)
def test_hostile_words_are_refused_or_sound(data: bytes, changes: list[tuple[int, int]]) -> None:
    hostile = bytearray(data)
    for index, word in changes:
        offset = index * 8 % (len(hostile) - 8)
        hostile[offset : offset + 8] = word.to_bytes(8, "little")
    check_refused_or_sound(bytes(hostile))


@pytest.mark.parametrize(
    ("flags", "makes_code"), [(PF_R | PF_W, False), (PF_R | PF_W | PF_X, True), (PF_X, True), (0, False)]
)
def test_program_says_that_it_makes_code_by_the_flags_of_its_stack(flags: int, makes_code: bool) -> None:
    assert load_elf(build(CODE, Part(0, b"", flags, kind=PT_GNU_STACK))).makes_code is makes_code


def test_program_that_says_nothing_makes_no_code() -> None:
    assert not load_elf(build(CODE, DATA)).makes_code
