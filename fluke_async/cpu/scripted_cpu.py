"""An engine that plays Python lists, for tests of the kernel that need no machine code.

A program is a list of steps and labels, assembled once:

    counting = assemble([
        ("li", "t0", 3),
        "again",
        ("add", "t0", "t0", -1),
        ("bnez", "t0", "again"),
        ("ecall",),
    ])
    cpu = ScriptedCpu(ram_size, {0x10000: counting})

Every step is one instruction of four bytes, `("burn", n)` is n of them. Programs lie at the same
addresses in every space and need no pages; data goes through the page dictionary, with faults.

    ("li", d, value)                   d = value
    ("la", d, label)                   d = address of label
    ("add", d, a, b)                   d = a + b; b is a register or a number
    ("load", d, a, offset)             d = 64 bits at a + offset
    ("store", s, a, offset)            64 bits at a + offset = s
    ("lr", d, a) ("sc", d, s, a)       load reserved, store conditional (d = 0: stored); 64 bits
    ("fli", f, bits) ("fmv", d, f)     set a floating-point register's bits; read them
    ("time", d)                        d = instructions retired
    ("beqz", a, label) ("bnez", a, label) ("jump", label) ("jr", a)
    ("burn", n) ("ecall",) ("illegal",) ("ebreak",)
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fluke_async.cpu.host_memory import reserve
from fluke_async.cpu.protocol import FLOATING_WORDS, PAGE_SIZE, READ, REGISTER_COUNT, WRITE, Cause
from fluke_async.errors import FlukeError, KernelBug

REGISTER_NAMES: Final = (
    "zero", "ra", "sp", "gp", "tp", "t0", "t1", "t2",
    "s0", "s1", "a0", "a1", "a2", "a3", "a4", "a5",
    "a6", "a7", "s2", "s3", "s4", "s5", "s6", "s7",
    "s8", "s9", "s10", "s11", "t3", "t4", "t5", "t6",
)  # fmt: skip

_NUMBERS: Final = {name: number for number, name in enumerate(REGISTER_NAMES)}
_FLOATING_NUMBERS: Final = {f"f{number}": number for number in range(32)}
_WORD: Final = 2**64 - 1
_INSTRUCTION_BYTES: Final = 4
FILES_MAX: Final = 3  # register files: few, so that threads lose them too

# r: register, f: floating-point register, n: number, l: label, o: register or number
_OPERANDS: Final = {
    "li": "rn", "la": "rl", "add": "rro", "load": "rrn", "store": "rrn", "lr": "rr", "sc": "rrr",
    "fli": "fn", "fmv": "rf", "time": "r", "beqz": "rl", "bnez": "rl", "jump": "l", "jr": "r",
    "burn": "n", "ecall": "", "illegal": "", "ebreak": "",
}  # fmt: skip

Line = str | tuple[Any, ...]


@dataclass(frozen=True)
class Program:
    """Steps with their operands resolved; `starts` has the index of each one's first instruction.

    A label has become the index of the instruction it names.
    """

    steps: tuple[tuple[Any, ...], ...]
    starts: tuple[int, ...]
    length: int
    labels: dict[str, int]

    def step_at(self, index: int) -> tuple[tuple[Any, ...], int]:
        """The step of an instruction, and how many instructions are left in the step."""
        position = bisect_right(self.starts, index) - 1
        end = (*self.starts[position + 1 : position + 2], self.length)[0]
        return self.steps[position], end - index


def assemble(lines: Sequence[Line]) -> Program:
    """Make a program of tuples (steps) and strings (labels).

    Raises FlukeError, with the line, for an unknown step or a wrong operand.
    """
    steps: list[tuple[Any, ...]] = []
    starts: list[int] = []
    labels: dict[str, int] = {}
    length = 0
    for line in lines:
        if isinstance(line, str):
            if line in labels:
                raise FlukeError(f"label {line!r} is defined twice")
            labels[line] = length
            continue
        steps.append(line)
        starts.append(length)
        length += _length(line)
    resolved = tuple(_resolve(step, labels) for step in steps)
    return Program(resolved, tuple(starts), length, labels)


def _length(step: tuple[Any, ...]) -> int:
    match step:
        case ("burn", int(number)) if number > 0:
            return number
        case ("burn", *_):
            raise FlukeError(f"{step!r} burns no number of instructions, 1 or more")
    return 1


def _resolve(step: tuple[Any, ...], labels: dict[str, int]) -> tuple[Any, ...]:
    name, *operands = step
    kinds = _OPERANDS.get(name)
    if kinds is None or len(kinds) != len(operands):
        raise FlukeError(f"{step!r} is not a step; the steps are {', '.join(sorted(_OPERANDS))}")
    tables = {"r": _NUMBERS, "f": _FLOATING_NUMBERS, "l": labels}
    resolved: list[Any] = [name]
    if name == "add":  # one form with a register, one with a number
        resolved[0] = "addi" if isinstance(operands[2], int) else "add"
        kinds = "rrn" if isinstance(operands[2], int) else "rrr"
    for kind, operand in zip(kinds, operands, strict=True):
        if kind == "n" and isinstance(operand, int):
            resolved.append(operand)
        elif kind != "n" and operand in tables[kind]:
            resolved.append(tables[kind][operand])
        else:
            raise FlukeError(f"{operand!r} in {step!r} is no register, number or label as needed")
    return tuple(resolved)


class _Trap(Exception):
    def __init__(self, cause: Cause, address: int = 0) -> None:
        self.cause = cause
        self.address = address


class _RegisterFile:
    """The registers of the thread that was loaded last in an address space."""

    def __init__(self, pages: dict[int, int]) -> None:
        self.pages = pages
        self.entries: dict[int, int] = {}  # of `pages`, since the last flush
        self.registers = memoryview(array("Q", bytes(8 * REGISTER_COUNT)))
        self.floating: array[int] | None = None  # None: zeros, never written


class ScriptedCpu:
    """One hart that plays `programs` (by base address); implements the protocol `Cpu`, with several register files."""

    def __init__(self, ram_size: int, programs: dict[int, Program]) -> None:
        if ram_size <= 0 or ram_size % PAGE_SIZE:
            raise FlukeError(f"ram_size is {ram_size}; it must be a positive multiple of {PAGE_SIZE} bytes")
        self.time = 0
        self.code_frames: set[int] = set()
        self.find_page: Callable[[int, int, int], int | None] | None = None
        self.ram = memoryview(reserve(ram_size)[0])
        self._file = _RegisterFile({})
        self.registers = self._file.registers
        self._files = [self._file]  # the one that was used last comes last
        self._programs = programs
        self._reservation: int | None = None

    def run(self, pc: int, limit: int) -> tuple[int, int, int, int]:
        retired = 0
        pc &= _WORD - 1
        try:
            while retired < limit:
                step, left = self._fetch(pc)
                if step[0] == "burn":
                    count = min(left, limit - retired)
                    pc += _INSTRUCTION_BYTES * count
                else:
                    count = 1
                    pc = self._execute(step, pc, retired) & _WORD
                retired += count
        except _Trap as trap:
            self._reservation = None
            return int(trap.cause), pc, trap.address, retired
        return int(Cause.LIMIT), pc, 0, retired

    def is_call(self, pc: int, pages: dict[int, int]) -> bool | None:
        try:
            return self._fetch(pc & _WORD - 1)[0] == ("ecall",)
        except _Trap:
            return False

    def load(self, registers: array[int] | memoryview, floating: array[int] | None) -> None:
        self.registers[:] = memoryview(registers)
        self.registers[0] = 0
        self._file.floating = None if floating is None else array("Q", floating)
        self._reservation = None

    def save_floating(self) -> array[int] | None:
        return None if self._file.floating is None else array("Q", self._file.floating)

    def set_pages(self, pages: dict[int, int]) -> None:
        if pages is not self._file.pages:
            known = [file for file in self._files if file.pages is pages]
            if not known and len(self._files) < FILES_MAX:
                known = [_RegisterFile(pages)]
                self._files += known
            self._file = file = known[0] if known else self._files[0]
            if not known:
                file.pages, file.entries = pages, {}
            self._files.remove(file)
            self._files.append(file)
            self.registers = file.registers
        self._reservation = None

    def flush(self, pages: dict[int, int]) -> None:
        for file in filter(lambda each: each.pages is pages, self._files):
            file.entries.clear()

    def invalidate(self, frame_address: int, size: int) -> None:
        pass  # programs do not lie in memory

    def close(self) -> None:
        for file in self._files:
            file.registers.release()
        self.ram.release()

    def _fetch(self, pc: int) -> tuple[tuple[Any, ...], int]:
        for base, program in self._programs.items():
            if base <= pc < base + _INSTRUCTION_BYTES * program.length and not (pc - base) % _INSTRUCTION_BYTES:
                return program.step_at((pc - base) // _INSTRUCTION_BYTES)
        raise _Trap(Cause.FETCH_FAULT, pc)

    def _execute(self, step: tuple[Any, ...], pc: int, retired: int) -> int:
        """Execute one step and return the address of the next."""
        registers = self.registers
        match step:
            case "li", d, value:
                self._set(d, value)
            case "la", d, label:
                self._set(d, self._address_of(label, pc))
            case "addi", d, a, number:
                self._set(d, registers[a] + number)
            case "add", d, a, b:
                self._set(d, registers[a] + registers[b])
            case "load", d, a, offset:
                self._set(d, self._read(registers[a] + offset & _WORD))
            case "store", s, a, offset:
                self._write(registers[a] + offset & _WORD, registers[s])
            case "lr", d, a:
                address = registers[a]
                if address % 8:
                    raise _Trap(Cause.MISALIGNED, address)
                self._set(d, self._read(address))
                self._reservation = address
            case "sc", d, s, a:
                stored = self._reservation == registers[a]
                if stored:
                    self._write(registers[a], registers[s])
                self._reservation = None
                self._set(d, 0 if stored else 1)
            case "fli", f, bits:
                if self._file.floating is None:
                    self._file.floating = array("Q", bytes(8 * FLOATING_WORDS))
                self._file.floating[f] = bits & _WORD
            case "fmv", d, f:
                self._set(d, 0 if self._file.floating is None else self._file.floating[f])
            case "time", d:
                self._set(d, self.time + retired)
            case "beqz", a, label:
                return self._address_of(label, pc) if not registers[a] else pc + _INSTRUCTION_BYTES
            case "bnez", a, label:
                return self._address_of(label, pc) if registers[a] else pc + _INSTRUCTION_BYTES
            case "jump", label:
                return self._address_of(label, pc)
            case "jr", a:
                return int(registers[a]) & _WORD - 1
            case ("ecall",):
                raise _Trap(Cause.ECALL)
            case ("ebreak",):
                raise _Trap(Cause.BREAKPOINT)
            case _:
                raise _Trap(Cause.ILLEGAL)
        return pc + _INSTRUCTION_BYTES

    def _address_of(self, label: int, pc: int) -> int:
        for base, program in self._programs.items():
            if base <= pc < base + _INSTRUCTION_BYTES * program.length:
                return base + _INSTRUCTION_BYTES * label
        raise KernelBug(f"no program at {pc:#x}")

    def _set(self, register: int, value: int) -> None:
        if register:
            self.registers[register] = value & _WORD

    def _read(self, address: int) -> int:
        places = self._places(address, READ, Cause.LOAD_FAULT)
        return int.from_bytes(b"".join(self.ram[place] for place in places), "little")

    def _write(self, address: int, value: int) -> None:
        data = value.to_bytes(8, "little")
        places = self._places(address, WRITE, Cause.STORE_FAULT)
        for number, place in enumerate(places):
            self.ram[place] = data if len(places) == 1 else data[number : number + 1]

    def _places(self, address: int, permission: int, cause: Cause) -> list[slice]:
        """Where the eight bytes at a virtual address are in `ram`: together, where they cannot be on two pages."""
        places: list[slice] = []
        size = 1 if address % 8 else 8
        for virtual in range(address, address + 8, size):
            virtual &= _WORD
            page, entries = virtual // PAGE_SIZE, self._file.entries
            if not entries.get(page, 0) & permission:
                entries[page] = self._file.pages.get(page, 0)
            entry = entries[page]
            if not entry & permission:
                raise _Trap(cause, virtual)
            frame = entry & -PAGE_SIZE
            if not 0 <= frame < len(self.ram):
                raise KernelBug(f"page {page:#x} is mapped to frame {frame:#x}, outside of memory")
            place = frame + virtual % PAGE_SIZE
            places.append(slice(place, place + size))
        return places
