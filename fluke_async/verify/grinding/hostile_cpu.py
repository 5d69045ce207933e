"""
An engine that makes up its program as it goes.

Its programs are loops of two instructions: one that does something at random (it fills the registers for a call, loads
or stores a word, or goes astray), and an `ecall`. So whatever lies above an engine is the real kernel, a thread that is
on its `ecall` with registers that name a call carries out that call, and no time is lost on the rest.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from zlib import crc32

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE, ObjectType
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, A1, ENTRY_POINT, PROGRESS_WORDS
from fluke_async.cpu.protocol import EXECUTE, READ, REGISTER_COUNT, WRITE, Cause
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.recreation import KINDS
from fluke_async.verify.grinding.places import ALL_REFERENCES, BUFFER_TABLES, CODE, HANDLER, TABLES, state_at
from fluke_async.verify.grinding.states import States
from fluke_async.verify.grinding.values import WORDS, Values

ECALL = CODE + 4
ENABLE, GO_ON = BY_NAME["thread_enable_exceptions"].number, BY_NAME["thread_return_from_exception"].number
HANDLED = 0.6  # how often a handler enables exceptions again, or goes back to where they came from
CALL, ACCESS, BURN, ASTRAY = 0.93, 0.97, 0.99, 1.0  # up to which draw a thread does what
FAULT_OF = {READ: Cause.LOAD_FAULT, WRITE: Cause.STORE_FAULT}
Turn = Callable[[int], int]

LAST_CALL, LAST_OBJECT = 18, 19  # s2 and s3, in which a program keeps them


class Trap(Exception):
    """An access that the page tables do not grant."""

    def __init__(self, cause: Cause, address: int) -> None:
        self.cause = cause
        self.address = address


class HostileCpu:
    """
    One hart that implements the protocol `Cpu`.

    `digest` depends on all that a program could see: the registers of whoever runs, and when. The threads in
    `well_behaved` do what is given there with so many instructions, and nothing else. When `stop_at` calls have been
    made, the loop is to come back.
    """

    def __init__(self, ram_size: int, values: Values) -> None:
        self.time = 0
        self.code_frames: set[int] = set()
        self.find_page: Callable[[int, int, int], int | None] | None = None
        self.ram = memoryview(bytearray(ram_size))
        self.registers = memoryview(array("Q", bytes(8 * REGISTER_COUNT)))
        self.core: Core | None = None
        self.well_behaved: Mapping[Thread, Turn] = {}
        self.digest = 0
        self.stop_at = 0
        self.values = values
        self.states = States(values)
        self.random = values.random
        self._pages: dict[int, int] = {}
        self._floating: array[int] | None = None

    def run(self, pc: int, limit: int) -> tuple[int, int, int, int]:
        core = self.core
        assert core is not None
        thread = core.current
        assert thread is not None
        self.digest = crc32(self.registers, crc32(b"%d %d %d" % (self.time, thread.hash, pc), self.digest))
        turn = self.well_behaved.get(thread)
        if turn is not None:
            return int(Cause.LIMIT), pc, 0, turn(limit)
        if core.statistics.system_calls >= self.stop_at:
            core.attention = True
        if not self._pages.get(pc // PAGE_SIZE, 0) & EXECUTE:
            return int(Cause.FETCH_FAULT), pc, pc, 0
        if pc % WORD_SIZE == 4:
            return int(Cause.ECALL), pc, 0, 0
        if pc % WORD_SIZE:
            return int(Cause.ILLEGAL), pc, 0, 0
        try:
            return self._act(thread, pc, limit)
        except Trap as trap:
            return int(trap.cause), pc, trap.address, 0

    def _act(self, thread: Thread, pc: int, limit: int) -> tuple[int, int, int, int]:
        """The instruction that does something."""
        random = self.random
        draw = random.random()
        if pc == HANDLER and draw < HANDLED:
            self._enter(ENABLE if draw < 0.57 else GO_ON, [(A0, thread.thread_va)])
        elif draw < CALL:
            self._prepare_call(thread)
        elif draw < ACCESS:
            self._access()
            return int(Cause.LIMIT), pc, 0, 1
        elif draw < BURN:
            return int(Cause.LIMIT), pc, 0, limit
        else:
            return self._go_astray(pc)
        return int(Cause.LIMIT if limit == 1 else Cause.ECALL), ECALL, 0, 1

    def _enter(self, number: int, operands: list[tuple[int, int]]) -> None:
        registers = self.registers
        registers[ENTRY_POINT] = number
        for register, value in operands:
            registers[register] = value
        registers[LAST_CALL], registers[LAST_OBJECT] = number, registers[A0]

    def _prepare_call(self, thread: Thread) -> None:
        """Fill the registers: for any call, or for one that makes sense after the last."""
        random, values, registers = self.random, self.values, self.registers
        if random.random() < 0.01:
            self._enter(values.anything(), [])  # with the arguments of the last one
            return
        entry = values.after(registers[LAST_CALL]) if random.random() < 0.6 else None
        same = [] if entry is None else [(A1 if entry.name == "cond_wait" else A0, registers[LAST_OBJECT])]
        if entry is None:
            entry = values.entry(thread)
        if entry.name.endswith("_set_state") and random.random() < 0.7:
            self._prepare_state(entry.object_type, thread)
        operands = values.operands(entry, thread)
        if "progress_words" in (operand.name for operand in entry.arguments):
            operands.append((PROGRESS_WORDS, 0 if random.random() < 0.97 else values.anything()))
        self._enter(entry.number, operands + same)

    def _prepare_state(self, type_: ObjectType, thread: Thread) -> None:
        """Make up a state, or change what has been read out there."""
        address, layout = state_at(type_), KINDS[type_].layout
        if layout is None:
            return
        if self.random.random() < 0.7:
            self._store(address, self.states.draw(type_, thread))
        else:
            word = address + WORD_SIZE * self.random.randrange(layout.size // WORD_SIZE)
            self._store(word, self.values.anything().to_bytes(WORD_SIZE, "little"))

    def _access(self) -> None:
        """A load, or a store: of a word, or of an entry of a table."""
        random = self.random
        draw = random.random()
        if draw < 0.4:
            self._place(self.values.buffer() & -WORD_SIZE, READ)
        elif draw < 0.6:
            self._store(self.values.buffer() & -WORD_SIZE, random.getrandbits(64).to_bytes(WORD_SIZE, "little"))
        elif draw < 0.8:
            reference = random.choice(ALL_REFERENCES) if random.random() < 0.95 else self.values.anything()
            self._store(TABLES + WORD_SIZE * random.randrange(64), reference.to_bytes(WORD_SIZE, "little"))
        else:
            words = (random.choice(WORDS), self.values.buffer() & -WORD_SIZE)
            data = b"".join(word.to_bytes(WORD_SIZE, "little") for word in words)
            self._store(BUFFER_TABLES + 16 * random.randrange(32), data)

    def _go_astray(self, pc: int) -> tuple[int, int, int, int]:
        draw = self.random.random()
        if draw < 0.4:
            return int(Cause.LIMIT), self.values.anything() & ~1, 0, 1
        if draw < 0.6:
            self._place(self.values.anything() & -WORD_SIZE, self.random.choice((READ, WRITE)))
            return int(Cause.LIMIT), pc, 0, 1
        cause = self.random.choice((Cause.ILLEGAL, Cause.BREAKPOINT, Cause.MISALIGNED))
        return int(cause), pc, 0, 0

    def _store(self, address: int, data: bytes) -> None:
        """Write into the memory of the running thread, within a page."""
        place = self._place(address, WRITE)
        self.ram[place : place + len(data)] = data

    def _place(self, address: int, access: int) -> int:
        entry: int | None = self._pages.get(address // PAGE_SIZE, 0)
        assert entry is not None
        if not entry & access:
            assert self.find_page is not None
            entry = self.find_page(address, access, 0)
            if entry is None:
                raise Trap(FAULT_OF[access], address)
            assert entry & access, f"the page of {address:#x} was found, and does not grant {access}"
        return (entry & -PAGE_SIZE) | address % PAGE_SIZE

    def load(self, registers: array[int] | memoryview, floating: array[int] | None) -> None:
        self.registers[:] = memoryview(registers)
        self.registers[0] = 0
        self._floating = floating

    def save_floating(self) -> array[int] | None:
        return self._floating

    def set_pages(self, pages: dict[int, int]) -> None:
        self._pages = pages

    def flush(self) -> None:
        pass  # the dictionary is looked at anew by every access

    def invalidate(self, frame_address: int, size: int) -> None:
        pass  # programs do not lie in memory

    def close(self) -> None:
        self.registers.release()
        self.ram.release()
