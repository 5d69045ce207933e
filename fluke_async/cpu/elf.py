"""Program images: a statically linked RV64 ELF file becomes segments and an entry address.

Position-independent programs are moved to `LOAD_BASE` and relocated here, so that whoever maps the
segments sees one kind of program. The file is hostile until proven otherwise: no size that it
claims is allocated or looped over, it is only compared with limits.

Sources: the ELF-64 object file format; the RISC-V ELF psABI specification.
"""

from __future__ import annotations

import io
import struct
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Final

from fluke_async.cpu.protocol import EXECUTE, PAGE_SIZE, READ, WRITE
from fluke_async.errors import ProgramError

LOAD_BASE: Final = 0x10000
LOWEST_ADDRESS: Final = 0x1000  # page 0 stays unmapped, so that a null pointer faults
END_OF_ADDRESSES: Final = 2**38  # of user space under Sv39
SEGMENT_LIMIT: Final = 64
RELOCATION_LIMIT: Final = 65536
MEMORY_LIMIT: Final = 2**30

_COMPILER_NAMES: Final = ("$", ".L")  # labels for the tools
_PROGRAM_HEADER_BYTES: Final = 56
_DYNAMIC_ENTRY: Final = struct.Struct("<qQ")  # tag, value
_RELOCATION: Final = struct.Struct("<QQq")  # where, type and symbol, addend
_SYMBOL: Final = struct.Struct("<IBBHQQ")  # name, information, other, section, value, size
_SECTIONS_AT, _SECTIONS = struct.Struct("<Q"), struct.Struct("<HH")  # in the header: offset; size of one, number
_SECTION_HEADER: Final = struct.Struct("<IIQQQQIIQQ")  # .type .. offset, size, link .. size of an entry
_SHT_SYMTAB, _SHN_UNDEF, _SHN_ABS = 2, 0, 0xFFF1
_R_RISCV_NONE, _R_RISCV_RELATIVE = 0, 3
_DT_NEEDED, _DT_PLTRELSZ, _DT_RELA, _DT_RELASZ, _DT_JMPREL, _DT_RELRSZ = 1, 2, 7, 8, 23, 35
_start: Final = attrgetter("address")
_PF_X: Final = 1
_FLAG_PERMISSIONS: Final = ((4, READ), (2, WRITE), (_PF_X, EXECUTE))


@dataclass(frozen=True)
class Segment:
    """`memory_size` bytes at `address`: first `data`, then zeros."""

    address: int
    memory_size: int
    permissions: int  # READ | WRITE | EXECUTE
    data: bytes | memoryview

    @property
    def end(self) -> int:
        """The first address after it."""
        return self.address + self.memory_size


@dataclass(frozen=True)
class ElfImage:
    """A program ready to be mapped: segments in the order of addresses, none sharing a page."""

    entry: int
    segments: tuple[Segment, ...]
    is_static_pie: bool
    load_base: int  # what was added to the file's addresses
    makes_code: bool  # it wants to execute what it has written: its PT_GNU_STACK header says so
    _file: bytes = field(repr=False)

    def symbols(self) -> dict[str, int]:
        """Names and addresses from the symbol table; empty if it was stripped.

        Raises ProgramError if the table is damaged.
        """
        symbols, names = _symbol_table(self._file)
        found: dict[str, int] = {}
        characters = 0
        for name_at, _, _, section, value, _ in _SYMBOL.iter_unpack(symbols):
            name = names[name_at : names.find(b"\0", name_at)].decode("latin-1")
            characters += len(name)
            if characters > len(self._file):  # they overlap; else this would be long work on a small file
                raise ProgramError("its symbol table is damaged: the names are longer than the file")
            if section not in (_SHN_UNDEF, _SHN_ABS) and not name.startswith(_COMPILER_NAMES):
                found[name] = value + self.load_base
        return found


def _symbol_table(data: bytes) -> tuple[memoryview, bytes]:
    """The symbols and their names; both are empty if there are none."""
    start, (entry_size, number) = _SECTIONS_AT.unpack_from(data, 40)[0], _SECTIONS.unpack_from(data, 58)
    if not number:
        return memoryview(b""), b""
    if entry_size != _SECTION_HEADER.size:
        raise ProgramError(f"its symbol table is damaged: its section headers have {entry_size} bytes, not 64")
    if start + number * entry_size > len(data):
        raise ProgramError("it is truncated: its sections lie outside of the file")
    headers = list(_SECTION_HEADER.iter_unpack(memoryview(data)[start : start + number * entry_size]))
    contents = []
    table = next((header for header in headers if header[1] == _SHT_SYMTAB), None)
    if table is None:
        return memoryview(b""), b""
    if table[6] >= number or table[9] != _SYMBOL.size or table[5] % _SYMBOL.size:
        raise ProgramError("its symbol table is damaged: it is no array of symbols with names")
    for header in (table, headers[table[6]]):
        offset, size = header[4:6]
        if offset + size > len(data):
            raise ProgramError("its symbol table is damaged: it lies outside of the file")
        contents.append(memoryview(data)[offset : offset + size])
    return contents[0], bytes(contents[1]).rstrip(b"\0") + b"\0"


def load_elf(data: bytes, memory_limit: int = MEMORY_LIMIT) -> ElfImage:
    """Read a static or static-PIE RV64 program of at most `memory_limit` bytes of memory.

    Raises ProgramError, in one line that says what is wrong and what to do about it.
    """
    try:
        return _load(data, memory_limit)
    except ProgramError:
        raise
    except Exception as error:  # the parser may fail in any way on what is not an ELF file
        raise ProgramError(f"not a sound ELF file: {type(error).__name__}: {error}") from error


def _open(data: bytes) -> Any:
    # Imported here: it takes several times as long as everything else in this package.
    from elftools.elf.elffile import ELFFile  # noqa: PLC0415

    return ELFFile(io.BytesIO(data))


def _load(data: bytes, memory_limit: int) -> ElfImage:
    if data[:4] != b"\x7fELF":
        raise ProgramError("not an ELF file: compile C to one with `fluke cc`")
    file = _open(data)
    header = file.header
    _check_header(header, file.little_endian)
    headers = _program_headers(file, len(data))
    is_pie = header["e_type"] == "ET_DYN"
    loads = [h for h in headers if h["p_type"] == "PT_LOAD" and h["p_memsz"]]
    if any(h["p_type"] == "PT_INTERP" for h in headers):
        raise ProgramError("it is dynamically linked: link it statically (-static)")
    if not loads:
        raise ProgramError("it has no loadable segment: link it as an executable")

    base = _load_base(loads) if is_pie else 0
    segments = tuple(sorted((_segment(h, data, base) for h in loads), key=lambda s: s.address))
    _check_segments(segments, memory_limit)
    entry = header["e_entry"] + base
    if entry % 2 or not any(s.permissions & EXECUTE and s.address <= entry < s.end for s in segments):
        raise ProgramError(f"its entry {entry:#x} is not in an executable segment")
    if is_pie:
        segments = _relocate(segments, headers, data, base)
    makes_code = any(h["p_type"] == "PT_GNU_STACK" and h["p_flags"] & _PF_X for h in headers)
    return ElfImage(entry, segments, is_pie, base, makes_code, data)


def _check_header(header: Mapping[str, Any], little_endian: bool) -> None:
    if header["e_ident"]["EI_CLASS"] != "ELFCLASS64":
        raise ProgramError("it is a 32-bit program: build it for RV64")
    if not little_endian:
        raise ProgramError("it is a big-endian program: build it for little-endian RV64")
    if header["e_machine"] != "EM_RISCV":
        raise ProgramError(f"it is for the machine {header['e_machine']}: build it for RV64")
    if header["e_type"] == "ET_REL":
        raise ProgramError("it is an object file: link it")
    if header["e_type"] not in ("ET_EXEC", "ET_DYN"):
        raise ProgramError(f"it is no program but an ELF file of type {header['e_type']}")
    if header["e_phnum"] > SEGMENT_LIMIT:
        raise ProgramError(f"it has {header['e_phnum']} program headers, limit {SEGMENT_LIMIT}")
    if header["e_phnum"] and header["e_phentsize"] != _PROGRAM_HEADER_BYTES:
        raise ProgramError(f"its program headers have {header['e_phentsize']} bytes, not 56")


def _program_headers(file: Any, file_size: int) -> list[Mapping[str, Any]]:
    # The parser's own segments would walk all sections, of which a header may claim any number.
    from elftools.common.utils import struct_parse  # noqa: PLC0415

    start, number = file.header["e_phoff"], file.header["e_phnum"]
    if start + number * _PROGRAM_HEADER_BYTES > file_size:
        raise ProgramError("it is truncated: its program headers lie outside of the file")
    return [
        struct_parse(file.structs.Elf_Phdr, file.stream, start + index * _PROGRAM_HEADER_BYTES)
        for index in range(number)
    ]


def _load_base(loads: list[Mapping[str, Any]]) -> int:
    alignment = max(PAGE_SIZE, *(h["p_align"] for h in loads))
    if alignment & (alignment - 1):
        raise ProgramError(f"a segment's alignment {alignment:#x} is not a power of two")
    return int(-(-LOAD_BASE // alignment) * alignment)


def _segment(header: Mapping[str, Any], data: bytes, base: int) -> Segment:
    address, memory_size = header["p_vaddr"] + base, header["p_memsz"]
    offset, file_size = header["p_offset"], header["p_filesz"]
    name = f"its segment at {address:#x}"
    if file_size > memory_size:
        raise ProgramError(f"{name} has {file_size} bytes in the file, {memory_size} in memory")
    if offset + file_size > len(data):
        raise ProgramError(f"it is truncated: {name} lies outside of the file")
    if address < LOWEST_ADDRESS or address + memory_size > END_OF_ADDRESSES:
        raise ProgramError(
            f"{name} with {memory_size} bytes leaves the addresses of programs, "
            f"{LOWEST_ADDRESS:#x} to {END_OF_ADDRESSES:#x}: link it to other addresses"
        )
    permissions = sum(ours for flag, ours in _FLAG_PERMISSIONS if header["p_flags"] & flag)
    return Segment(address, memory_size, permissions, memoryview(data)[offset : offset + file_size])


def _check_segments(segments: tuple[Segment, ...], memory_limit: int) -> None:
    pages = 0
    previous = 0
    for segment in segments:
        first, last = segment.address // PAGE_SIZE, (segment.end - 1) // PAGE_SIZE
        if first <= previous:
            raise ProgramError(
                f"its segment at {segment.address:#x} shares a page with the one before: "
                "link it with -z separate-code -z max-page-size=4096"
            )
        pages += last - first + 1
        previous = last
    if pages * PAGE_SIZE > memory_limit:
        raise ProgramError(f"it needs {pages * PAGE_SIZE} bytes of memory, limit {memory_limit}: give the kernel more")


def _relocate(
    segments: tuple[Segment, ...], headers: list[Mapping[str, Any]], data: bytes, base: int
) -> tuple[Segment, ...]:
    """Add the load base to every word that the dynamic section says holds an address."""
    relocated: dict[int, bytearray] = {}  # by the index of the segment
    for address, kind, addend in _relocations(segments, headers, data, base):
        if kind == _R_RISCV_NONE:
            continue
        if kind != _R_RISCV_RELATIVE:
            raise ProgramError(
                f"it has a relocation of type {kind}: link it with -static-pie or -no-pie, without undefined symbols"
            )
        index, offset = _find(segments, address, 8, "a relocation's target")
        target = relocated.get(index)
        if target is None:
            target = relocated[index] = bytearray(segments[index].data)
        target[offset : offset + 8] = (base + addend & 2**64 - 1).to_bytes(8, "little")
    return tuple(
        replace(segment, data=memoryview(relocated[index])) if index in relocated else segment
        for index, segment in enumerate(segments)
    )


def _relocations(
    segments: tuple[Segment, ...], headers: list[Mapping[str, Any]], data: bytes, base: int
) -> Iterator[tuple[int, int, int]]:
    """Address, type and addend of every relocation."""
    dynamic = _dynamic_section(headers, data)
    if _DT_NEEDED in dynamic:
        raise ProgramError("it needs shared libraries: link it statically (-static-pie)")
    if dynamic.get(_DT_RELRSZ):
        raise ProgramError("it has packed relocations: link it with -z nopack-relative-relocs")
    for table, size_tag in ((_DT_RELA, _DT_RELASZ), (_DT_JMPREL, _DT_PLTRELSZ)):
        size = dynamic.get(size_tag, 0)
        if not size:
            continue
        index, offset = _find(segments, dynamic.get(table, 0) + base, size, "its table of relocations")
        if size % _RELOCATION.size:
            raise ProgramError("its table of relocations ends in the middle of one")
        if size > RELOCATION_LIMIT * _RELOCATION.size:
            raise ProgramError(
                f"it has {size // _RELOCATION.size} relocations, limit {RELOCATION_LIMIT}: link it without -pie"
            )
        entries = segments[index].data[offset : offset + size]
        for address, information, addend in _RELOCATION.iter_unpack(entries):
            yield address + base, information & 0xFFFF_FFFF, addend


def _dynamic_section(headers: list[Mapping[str, Any]], data: bytes) -> dict[int, int]:
    for header in headers:
        if header["p_type"] == "PT_DYNAMIC":
            offset, size = header["p_offset"], header["p_filesz"]
            if offset + size > len(data) or size % _DYNAMIC_ENTRY.size:
                raise ProgramError("it is truncated: its dynamic section is not in the file")
            entries: dict[int, int] = {}
            for tag, value in _DYNAMIC_ENTRY.iter_unpack(memoryview(data)[offset : offset + size]):
                if tag == 0:
                    break
                entries[tag] = value
            return entries
    return {}


def _find(segments: tuple[Segment, ...], address: int, size: int, what: str) -> tuple[int, int]:
    """The index of the segment whose data holds these bytes, and where in it they are."""
    index = bisect_right(segments, address, key=_start) - 1
    if index >= 0:
        offset = address - segments[index].address
        if offset + size <= len(segments[index].data):
            return index, offset
    raise ProgramError(f"{what}, {address:#x}, lies outside of its initialised data")
