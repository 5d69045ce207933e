"""
An engine that makes up its program as it goes.

Its programs are loops of two instructions: one that does something at random (it fills the registers for a call, loads
or stores a word, or goes astray), and an `ecall`. So whatever lies above an engine is the real kernel, a thread that is
on its `ecall` with registers that name a call carries out that call, and no time is lost on the rest.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Mapping
from typing import NamedTuple
from zlib import crc32

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE, ObjectType
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, A1, ENTRY_POINT, PROGRESS_WORDS
from fluke_async.cpu.host_memory import reserve
from fluke_async.cpu.protocol import EXECUTE, READ, REGISTER_COUNT, WRITE, Cause
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.recreation import KINDS
from fluke_async.verify.grinding.places import (
    ALL_REFERENCES,
    BUFFER_TABLES,
    CODE,
    FREE,
    FREE_PAGES,
    HANDLER,
    TABLES,
    state_at,
)
from fluke_async.verify.grinding.states import States
from fluke_async.verify.grinding.values import WORDS, Values

ECALL = CODE + 4
ENABLE, GO_ON = BY_NAME["thread_enable_exceptions"].number, BY_NAME["thread_return_from_exception"].number
HANDLED = 0.6  # how often a handler enables exceptions again, or goes back to where they came from
CALL, ACCESS, BURN, ASTRAY, WILD_ACCESS = 0.85, 0.98, 0.99, 0.994, 0.996  # up to which draw a thread does what
BURNT = (1, 100, 10_000, 1_000_000)  # instructions; the last is a whole time slice
FAULT_OF = {READ: Cause.LOAD_FAULT, WRITE: Cause.STORE_FAULT}
Turn = Callable[[int], int]

LAST_CALL, LAST_OBJECT = 18, 19  # s2 and s3, in which a program keeps them


class Action(NamedTuple):
    """What one instruction is to do: touch memory, and then make a call, go somewhere, or nothing for a while."""

    touched: tuple[int, int, bytes] | None = None  # where, with which access, and what is written
    call: tuple[int, list[tuple[int, int]]] | None = None  # the entry point's number, and values for registers
    target: int | None = None
    burnt: int = 1
    trap: Cause | None = None


class HostileCpu:
    """
    One hart that implements the protocol `Cpu`.

    `digest` depends on all that a program could see: the registers of whoever does something, and when. It depends on
    nothing else, not on pages that are forgotten, nor on where a slice ends. The threads in `well_behaved` do what is
    given there with so many instructions, and nothing else; `is_quiet` says that they have had a turn. When `calls`
    have come to `stop_at`, the loop is to come back.
    """

    def __init__(self, ram_size: int, values: Values, states: States) -> None:
        self.time = 0
        self.code_frames: set[int] = set()
        self.find_page: Callable[[int, int, int], int | None] | None = None
        self.ram = memoryview(reserve(ram_size)[0])
        self.registers = memoryview(array("Q", bytes(8 * REGISTER_COUNT)))
        self.core: Core | None = None
        self.well_behaved: Mapping[Thread, Turn] = {}
        self.is_quiet = False
        self.digest = 0
        self.calls = 0
        self.stop_at = 0
        self.values = values
        self.states = states
        self.random = values.random
        self._pages: dict[int, int] = {}
        self._floating: array[int] | None = None
        self._begun: dict[int, tuple[int, Action]] = {}  # by the hash of the thread: where, and what is not done yet

    def run(self, pc: int, limit: int) -> tuple[int, int, int, int]:
        core = self.core
        assert core is not None
        thread = core.current
        assert thread is not None
        turn = self.well_behaved.get(thread)
        if turn is not None:
            self.is_quiet = core.attention = True
            return int(Cause.LIMIT), pc, 0, turn(limit)
        if not self._pages.get(pc // PAGE_SIZE, 0) & EXECUTE:
            return int(Cause.FETCH_FAULT), pc, pc, 0
        if pc % WORD_SIZE == ECALL % WORD_SIZE:
            return int(Cause.ECALL), pc, 0, 0
        if pc % WORD_SIZE:
            return int(Cause.ILLEGAL), pc, 0, 0
        where, action = self._begun.pop(thread.hash, (pc, None))
        if action is None or where != pc:
            self.digest = crc32(self.registers, crc32(b"%d %d %d" % (self.time, thread.hash, pc), self.digest))
            action = self._draw(thread, pc)
        return self._perform(thread, action, pc, limit)

    def _perform(self, thread: Thread, action: Action, pc: int, limit: int) -> tuple[int, int, int, int]:
        """Do it; what cannot be done yet is kept, for it is tried again."""
        if action.touched is not None:
            address, access, data = action.touched
            entry: int | None = self._pages.get(address // PAGE_SIZE, 0)
            assert entry is not None
            if not entry & access:
                assert self.find_page is not None
                entry = self.find_page(address, access, 0)
                if entry is None:
                    self._begun[thread.hash] = pc, action
                    return int(FAULT_OF[access]), pc, address, 0
                assert entry & access, f"the page of {address:#x} was found, and does not grant {access}"
            place = (entry & -PAGE_SIZE) | address % PAGE_SIZE
            self.ram[place : place + len(data)] = data
        if action.trap is not None:
            return int(action.trap), pc, 0, 0
        if action.burnt > limit:
            self._begun[thread.hash] = pc, Action(burnt=action.burnt - limit)
            return int(Cause.LIMIT), pc, 0, limit
        if action.call is None:
            return int(Cause.LIMIT), pc if action.target is None else action.target, 0, action.burnt
        self._enter(*action.call)
        return int(Cause.LIMIT if limit == 1 else Cause.ECALL), ECALL, 0, 1

    def _enter(self, number: int, operands: list[tuple[int, int]]) -> None:
        registers, core = self.registers, self.core
        registers[ENTRY_POINT] = number
        for register, value in operands:
            registers[register] = value
        registers[LAST_CALL], registers[LAST_OBJECT] = number, registers[A0]
        self.calls += 1
        if self.calls >= self.stop_at:
            assert core is not None
            core.attention = True

    # -- what to do --------------------------------------------------------------------------------------------------

    def _draw(self, thread: Thread, pc: int) -> Action:
        random = self.random
        draw = random.random()
        if pc == HANDLER and draw < HANDLED:
            return Action(call=(ENABLE if draw < 0.57 else GO_ON, [(A0, thread.thread_va)]))
        if draw < CALL:
            return self._draw_call(thread)
        if draw < ACCESS:
            return Action(self._draw_access())
        if draw < BURN:
            return Action(burnt=random.choice(BURNT))
        if draw < ASTRAY:
            return Action(target=self.values.anything() & ~1)
        if draw < WILD_ACCESS:
            return Action((self.values.anything() & -WORD_SIZE, random.choice((READ, WRITE)), b""))
        return Action(trap=random.choice((Cause.ILLEGAL, Cause.BREAKPOINT, Cause.MISALIGNED)))

    def _draw_call(self, thread: Thread) -> Action:
        """Any call, or one that makes sense after the last."""
        random, values, registers = self.random, self.values, self.registers
        if random.random() < 0.01:
            return Action(call=(values.anything(), []))  # with the arguments of the last one
        entry = values.after(registers[LAST_CALL]) if random.random() < 0.6 else None
        same = [] if entry is None else [(A1 if entry.name == "cond_wait" else A0, registers[LAST_OBJECT])]
        if entry is None:
            entry = values.entry(thread)
        touched = None
        if entry.name.endswith("_set_state") and random.random() < 0.7:
            touched = self._draw_state(entry.object_type, thread)
        operands = values.operands(entry, thread)
        if "progress_words" in (operand.name for operand in entry.arguments):
            operands.append((PROGRESS_WORDS, 0 if random.random() < 0.97 else values.anything()))
        return Action(touched, (entry.number, operands + same))

    def _draw_state(self, type_: ObjectType, thread: Thread) -> tuple[int, int, bytes] | None:
        """A state that is made up, or a change of what has been read out."""
        address, layout = state_at(type_), KINDS[type_].layout
        if layout is None:
            return None
        if self.random.random() < 0.7:
            return address, WRITE, self.states.draw(type_, thread)
        word = address + WORD_SIZE * self.states.word_of(layout.size // WORD_SIZE)
        return word, WRITE, _bytes(self.values.anything())

    def _draw_access(self) -> tuple[int, int, bytes]:
        """A load, or a store: of a word, or of an entry of a table."""
        random = self.random
        draw = random.random()
        if draw < 0.4:
            free = FREE + PAGE_SIZE * random.randrange(FREE_PAGES)
            return (free, READ, b"") if draw < 0.25 else (free, WRITE, _bytes(random.getrandbits(64)))
        if draw < 0.45:
            return self.values.buffer() & -WORD_SIZE, READ, b""
        if draw < 0.6:
            return self.values.buffer() & -WORD_SIZE, WRITE, _bytes(random.getrandbits(64))
        if draw < 0.8:
            reference = random.choice(ALL_REFERENCES) if random.random() < 0.95 else self.values.anything()
            return TABLES + WORD_SIZE * random.randrange(64), WRITE, _bytes(reference)
        words = _bytes(random.choice(WORDS)) + _bytes(self.values.buffer() & -WORD_SIZE)
        return BUFFER_TABLES + len(words) * random.randrange(32), WRITE, words

    # -- the rest of the protocol ------------------------------------------------------------------------------------

    def is_call(self, pc: int, pages: dict[int, int]) -> bool | None:
        if not pages.get(pc // PAGE_SIZE, 0) & EXECUTE:
            return None
        return pc % WORD_SIZE == ECALL % WORD_SIZE

    def load(self, registers: array[int] | memoryview, floating: array[int] | None) -> None:
        self.registers[:] = memoryview(registers)
        self.registers[0] = 0
        self._floating = floating

    def save_floating(self) -> array[int] | None:
        return self._floating

    def set_pages(self, pages: dict[int, int]) -> None:
        self._pages = pages

    def flush(self, pages: dict[int, int]) -> None:
        pass  # the dictionary is looked at anew by every access

    def invalidate(self, frame_address: int, size: int) -> None:
        pass  # programs do not lie in memory

    def close(self) -> None:
        self.registers.release()
        self.ram.release()


def _bytes(word: int) -> bytes:
    return word.to_bytes(WORD_SIZE, "little")
