"""What the tests of an engine share: a hart with a few mapped pages and named registers."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fluke_async.cpu.protocol import EXECUTE, PAGE_SIZE, READ, WRITE, Cause, Cpu
from fluke_async.cpu.scripted_cpu import REGISTER_NAMES

RX, RW, RWX = READ | EXECUTE, READ | WRITE, READ | WRITE | EXECUTE
CODE, DATA = 0x10000, 0x20000  # virtual addresses
CODE_FRAME, DATA_FRAME, FREE_FRAME = 0x1000, 0x8000, 0xC000  # each with room for four frames
RAM_SIZE = 0x10000

_NUMBERS = {name: number for number, name in enumerate(REGISTER_NAMES)}


@dataclass(frozen=True)
class Stop:
    """How a run ended."""

    cause: Cause
    pc: int
    address: int
    retired: int


class Machine:
    """A loaded hart: one page of code at CODE, one of data at DATA."""

    def __init__(self, cpu: Cpu, program: bytes = b"", code_permissions: int = RX) -> None:
        self.cpu = cpu
        self.pages: dict[int, int] = {}
        self.map(CODE, CODE_FRAME, code_permissions)
        self.map(DATA, DATA_FRAME, RW)
        self.write(CODE_FRAME, program)
        cpu.set_pages(self.pages)
        cpu.load(array("Q", bytes(8 * 32)), None)

    def map(self, address: int, frame: int, permissions: int) -> None:
        self.pages[address // PAGE_SIZE] = frame | permissions

    def write(self, physical: int, data: bytes) -> None:
        self.cpu.ram[physical : physical + len(data)] = data

    def read_word(self, physical: int) -> int:
        return int.from_bytes(self.cpu.ram[physical : physical + 8], "little")

    def __getitem__(self, register: str) -> int:
        return int(self.cpu.registers[_NUMBERS[register]])

    def __setitem__(self, register: str, value: int) -> None:
        self.cpu.registers[_NUMBERS[register]] = value

    def run(self, pc: int = CODE, limit: int = 1_000_000) -> Stop:
        cause, pc, address, retired = self.cpu.run(pc, limit)
        assert retired <= limit
        return Stop(Cause(cause), pc, address, retired)

    def run_in_chunks(self, limits: Iterable[int], pc: int = CODE) -> Stop:
        """Run with one limit after the other until a trap; `retired` is the sum."""
        retired = 0
        for limit in limits:
            stop = self.run(pc, limit)
            retired += stop.retired
            self.cpu.time += stop.retired
            if stop.cause != Cause.LIMIT:
                return Stop(stop.cause, stop.pc, stop.address, retired)
            assert stop.retired == limit
            pc = stop.pc
        raise AssertionError(f"no trap within {retired} instructions")


def forever(*limits: int) -> Iterator[int]:
    return itertools.cycle(limits)
