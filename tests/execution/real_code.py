"""Threads that execute real code on a machine of several harts."""

from __future__ import annotations

from typing import Any

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT, NUMBER_OF
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.cpu import rv64
from tests.kernel.machine import RAM_SIZE, Machine, Value

CODE = 0x4000_0000  # where every space of the machine sees its code
EFFORT = 10**7


class RealMachine(Machine):
    """A machine on the real engine."""

    def __init__(self, **options: Any) -> None:
        self.real_cpu = UnicornCpu(RAM_SIZE)
        super().__init__(cpu=self.real_cpu, effort=EFFORT, **options)
        self.next_instruction = CODE
        self.content = self.buffer(PAGE_SIZE // 8)
        self.show_code(self.space)

    def close(self) -> None:
        """Give the engines back."""
        self.real_cpu.close()

    @property
    def engine_count(self) -> int:
        """How many spaces have an engine of their own."""
        return len(self.real_cpu._engines) - 1  # the first has no space

    def show_code(self, space: Space) -> None:
        self.map(space, self.region, CODE, PAGE_SIZE, offset=self.content)

    def place(self, *instructions: int) -> int:
        """Write code, and say where it is."""
        code, address = rv64.code(*instructions), self.next_instruction
        self.next_instruction += len(code)
        frame = self._physical(self.content)
        offset = address - CODE
        self.cpu.ram[frame + offset : frame + offset + len(code)] = code
        self.cpu.invalidate(frame, PAGE_SIZE)
        return address

    def thread(self, pc: int, registers: dict[str, int], space: Space | None = None) -> Thread:
        """A thread that begins at `pc`, with these registers."""
        thread = self.spawn(start=False, space=space)
        thread.pc = pc
        for name, value in registers.items():
            thread.registers[NUMBER_OF[name]] = value
        self.core.start(thread)
        return thread

    def operands(self, name: str, **operands: Value) -> dict[str, int]:
        """The registers of a call."""
        registers = {operand.name: operand.register for operand in BY_NAME[name].arguments}
        by_number = {number: register for register, number in NUMBER_OF.items()}
        values = {by_number[registers[each]]: self.value(value) for each, value in operands.items()}
        return values | {by_number[ENTRY_POINT]: BY_NAME[name].number}


def wait(register: str) -> list[int]:
    """Count a register down to zero."""
    return [rv64.addi(register, register, -1), rv64.bne(register, "zero", -4)]
