"""The engine on Unicorn: RV64GC user mode, exact counts, precise traps.

What Unicorn cannot do precisely is served inside `run`, invisibly: counters, code that changes, and
an instruction whose second half lies in a missing page.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from ctypes import c_size_t, c_uint64
from typing import Any, Final

from fluke_async.cpu import unicorn_binding as binding
from fluke_async.cpu.host_memory import reserve
from fluke_async.cpu.instructions import (
    ENVIRONMENT_CALL,
    atomic_operand,
    counter_destination,
    instruction_at,
    instructions_before_page_end,
    is_atomic_store,
    is_call,
    may_be_atomic,
)
from fluke_async.cpu.protocol import FLOATING_WORDS, PAGE_SIZE, Cause
from fluke_async.cpu.unicorn_engines import Engines, raise_unexplained
from fluke_async.cpu.unicorn_tlb import FETCH_FROM_DATA, NOTHING, STORE_TO_CODE, UnicornTlb
from fluke_async.errors import FlukeError

_FRAME: Final = ~(PAGE_SIZE - 1)
_OFFSET: Final = PAGE_SIZE - 1
_LAST_HALFWORD: Final = PAGE_SIZE - 2
_WORD: Final = 2**64 - 1
_PAGE_NUMBERS: Final = 2**52 - 1
_ZERO: Final = c_uint64(0)
_NO_FLOATING: Final = array("Q", bytes(8 * FLOATING_WORDS))
# The TLB grows only when it is flushed, so one that is much too small is flushed on purpose.
_FILLS_BEFORE_GROWTH: Final = 2048

_LIMIT: Final = int(Cause.LIMIT)
_ECALL: Final = int(Cause.ECALL)
_LOAD_FAULT: Final = int(Cause.LOAD_FAULT)
_STORE_FAULT: Final = int(Cause.STORE_FAULT)
_KEEPING: Final = (_LIMIT, _LOAD_FAULT, _STORE_FAULT)  # what leaves a reservation


class UnicornCpu:
    """One hart with `ram_size` bytes of memory; implements `fluke_async.cpu.protocol.Cpu`.

    Raises FlukeError if the memory cannot be had.
    """

    def __init__(self, ram_size: int) -> None:
        if ram_size <= 0 or ram_size % PAGE_SIZE:
            raise FlukeError(f"ram_size is {ram_size}; it must be a positive multiple of {PAGE_SIZE} bytes")
        self.time = 0
        self.find_page: Callable[[int, int, int], int | None] | None = None
        self._retired = 0  # in the run under way, before the engine's last start
        self._tlb = tlb = UnicornTlb(ghost_frame=ram_size)
        tlb.find_page = self._find_page
        self.code_frames = tlb.code_frames

        self._memory, address = reserve(ram_size + PAGE_SIZE)
        self.ram = memoryview(self._memory)[:ram_size]
        self._halfwords = self.ram.cast("H")
        self._engines = Engines(tlb, address, ram_size + PAGE_SIZE)
        self._engine = self._engines.current
        self.registers = self._engine.registers

        layout = binding.layout()
        self._pc_index = layout.pc
        self._reservation = layout.reservation
        self._mstatus = layout.mstatus
        self._pc = c_uint64(0)
        self._count = c_size_t(1)
        self._start: Any = binding.start
        self._save: Any = binding.save
        self._restore: Any = binding.restore
        self._control: Any = binding.control

    # --- running ----------------------------------------------------------------------------------

    def run(self, pc: int, limit: int) -> tuple[int, int, int, int]:
        # This is `_execute` and `_settle` written out for the commonest ends.
        engine = self._engine
        handle, words, context = engine.handle, engine.words, engine.context
        self._restore(handle, context)
        self._pc.value = pc & -2
        self._count.value = limit
        error = self._start(handle, self._pc, _ZERO, _ZERO, self._count)
        self._save(handle, context)
        if error == 0:
            executed = engine.executed[0]
            pc = words[self._pc_index]
            if executed > limit:
                if self._tlb.fills >= _FILLS_BEFORE_GROWTH:
                    self._flush_all()
                return _LIMIT, pc, 0, limit
            pc -= 4
            entry = engine.pages.get(pc >> 12)
            if entry is not None and pc & _OFFSET != _LAST_HALFWORD:
                index = (entry & _FRAME | pc & _OFFSET) >> 1
                halfwords = self._halfwords
                if halfwords[index] == ENVIRONMENT_CALL and not halfwords[index + 1]:
                    words[self._reservation] = binding.NO_RESERVATION
                    return _ECALL, pc, 0, executed - 1
        elif error == binding.EXCEPTION:
            event = self._tlb.event
            pc = words[self._pc_index]
            entry = engine.pages.get(pc >> 12)
            if entry is not None and event in (binding.FILL_READ, binding.FILL_WRITE):
                index = (entry & _FRAME | pc & _OFFSET) >> 1
                if not may_be_atomic(self._halfwords[index]):
                    self._tlb.event = NOTHING
                    cause = _LOAD_FAULT if event == binding.FILL_READ else _STORE_FAULT
                    return cause, pc, engine.fault_address[0], engine.executed[0] - 1
        cause, pc, address, retired = self._settle(error, limit)
        self._retired = 0
        if cause not in _KEEPING:
            words[self._reservation] = binding.NO_RESERVATION
        return int(cause), pc, address, retired

    @property
    def is_reserved(self) -> bool:
        """Whether the loaded thread holds a reservation of LR."""
        return bool(self._engine.words[self._reservation] != binding.NO_RESERVATION)

    def is_call(self, pc: int, pages: dict[int, int]) -> bool | None:
        return is_call(self._halfwords, pages, pc)

    def _execute(self, pc: int, count: int) -> int:
        handle, context = self._engine.handle, self._engine.context
        self._restore(handle, context)
        self._pc.value = pc
        self._count.value = count
        error: int = self._start(handle, self._pc, _ZERO, _ZERO, self._count)
        self._save(handle, context)
        return error

    def _settle(self, error: int, limit: int) -> tuple[Cause, int, int, int]:
        """What the engine's stop means; serves what is not the kernel's and runs on."""
        count = limit  # of the last call of the engine
        retired = 0
        while True:
            event = self._tlb.take_event()
            executed = self._engine.executed[0]
            pc = self._engine.words[self._pc_index]

            if error == binding.OK and executed > count:
                retired += count
            elif error == binding.OK:
                retired += executed - 1
                pc = pc - 4 & _WORD
                trap = self._name_trap(pc, retired)
                if trap is not None:
                    return trap[0], pc, trap[1], retired
                retired += 1
                pc = pc + 4 & _WORD
            elif error == binding.BREAKPOINT:
                return Cause.BREAKPOINT, pc, 0, retired + executed - 1
            elif event in (binding.FILL_READ, binding.FILL_WRITE):
                load = event == binding.FILL_READ and not is_atomic_store(self._instruction(pc))
                cause = Cause.LOAD_FAULT if load else Cause.STORE_FAULT
                return cause, pc, self._engine.fault_address[0], retired + executed - 1
            elif event == STORE_TO_CODE:
                retired += executed - 1
                count = 1
                self._retired = retired
                error = self._execute_store_to_code(pc)
                continue
            elif event == FETCH_FROM_DATA:
                retired += executed
                self._flush_all()
            elif event == binding.FILL_FETCH:
                # Nothing of the block that begins at pc was executed, though only the instruction
                # at its end may be the one that cannot be fetched.
                retired += executed
                if retired < limit:
                    page = self._tlb.event_page
                    distance = page - (pc >> 12) & _PAGE_NUMBERS
                    straddling = distance == 1 and instructions_before_page_end(self._halfwords, self._engine.pages, pc)
                    if distance > 1:
                        # Unicorn takes the illegal 0x0000 at the start of a page to be empty, and
                        # so to end in the page before.
                        return Cause.ILLEGAL, pc, 0, retired
                    if not straddling:
                        return Cause.FETCH_FAULT, pc, page << 12 if distance else pc, retired
                    count = min(straddling, limit - retired)
                    error = self._execute_before_page(pc, page, count)
                    continue
            else:
                raise_unexplained(error)

            if retired == limit:
                return Cause.LIMIT, pc, 0, limit
            count = limit - retired
            self._retired = retired
            error = self._execute(pc, count)

    def _find_page(self, address: int, access: int) -> int | None:
        """`find_page`, from inside the engine."""
        if self.find_page is None:
            return None
        return self.find_page(address, access, self._retired + self._engine.executed[0] - 1)

    def _name_trap(self, pc: int, retired: int) -> tuple[Cause, int] | None:
        """The cause and address of the trap of the instruction at pc; None if it is served."""
        instruction = self._instruction(pc)
        if instruction == ENVIRONMENT_CALL:
            return Cause.ECALL, 0
        destination = counter_destination(instruction)
        if destination is not None:
            if destination:
                self.registers[destination] = self.time + retired & _WORD
            return None
        operand = atomic_operand(instruction)
        if operand is not None:
            address = self.registers[operand[0]]
            if address % operand[1]:
                return Cause.MISALIGNED, address
        return Cause.ILLEGAL, 0

    def _execute_store_to_code(self, pc: int) -> int:
        """Let the one instruction at pc store to frames that hold code, then forget that code."""
        stored: list[int] = []
        self._tlb.stored_code = stored
        try:
            error = self._execute(pc, 1)
        finally:
            self._tlb.stored_code = None
        for frame in stored:
            self.invalidate(frame, PAGE_SIZE)
        return error

    def _execute_before_page(self, pc: int, page: int, count: int) -> int:
        """Execute `count` instructions that come before one that straddles into a missing page.

        The translator wants the whole block, so it is shown an empty frame instead of that page;
        the count ends the run before what it makes of that.
        """
        self._tlb.ghost_page = page
        try:
            error = self._execute(pc, count)
        finally:
            self._tlb.ghost_page = None
        self._engines.remove_code(self._tlb.ghost_frame, PAGE_SIZE)
        self._flush_all()
        return error

    def _instruction(self, pc: int) -> int:
        """The instruction at pc, which has just been fetched: 16 or 32 bits."""
        return instruction_at(self._halfwords, self._engine.pages, pc)

    # --- threads and address spaces ---------------------------------------------------------------

    def load(self, registers: array[int] | memoryview, floating: array[int] | None) -> None:
        own = self.registers
        if registers is not own:
            own[:] = memoryview(registers)
            own[0] = 0
        words = self._engine.words
        words[self._reservation] = binding.NO_RESERVATION
        # The engine itself notes in mstatus the first write to a floating-point register. (Off is
        # no choice: it then takes compressed floating-point instructions for no-operations.)
        if floating is not None:
            self._load_floating(floating)
        elif words[self._mstatus] != binding.FLOATING_UNUSED:
            self._load_floating(_NO_FLOATING)
            words[self._mstatus] = binding.FLOATING_UNUSED

    def _load_floating(self, floating: array[int]) -> None:
        engine = self._engine
        engine.words[self._mstatus] = binding.FLOATING_WRITTEN
        engine.floating_registers[:] = memoryview(floating)[:32]
        # Only half of fcsr is in a context: it goes in through the engine.
        self._restore(engine.handle, engine.context)
        binding.write_fcsr(engine.handle, floating[32])
        self._save(engine.handle, engine.context)

    def save_floating(self) -> array[int] | None:
        engine = self._engine
        if engine.words[self._mstatus] == binding.FLOATING_UNUSED:
            return None
        floating = array("Q", engine.floating_registers)
        floating.append(binding.read_fcsr(engine.handle))
        return floating

    def set_pages(self, pages: dict[int, int]) -> None:
        engine = self._engine
        if pages is not engine.pages:
            self._engine = engine = self._engines.enter(pages)
            self.registers = engine.registers
            if engine.stale:
                self._flush_current()
        engine.words[self._reservation] = binding.NO_RESERVATION

    def flush(self, pages: dict[int, int]) -> None:
        self._engines.forget_entries_of(pages)
        if self._engine.stale:
            self._flush_current()

    def _flush_all(self) -> None:
        self._engines.forget_entries()
        self._tlb.forget_entries()
        self._flush_current()

    def _flush_current(self) -> None:
        self._control(self._engine.handle, binding.TLB_FLUSH)
        self._tlb.fills = 0
        self._engine.stale = False

    def invalidate(self, frame_address: int, size: int) -> None:
        frames = range(frame_address & _FRAME, frame_address + size, PAGE_SIZE)
        # Every frame with translations is in code_frames; walk the smaller of the two.
        code = self.code_frames
        stale = [f for f in code if f in frames] if len(code) < len(frames) else code & {*frames}
        if stale:
            for frame in stale:
                self._engines.remove_code(frame, PAGE_SIZE)
                code.discard(frame)
            self._flush_all()  # no entry may let these frames be executed without a new fill

    def close(self) -> None:
        self._start = self._save = self._restore = self._control = _refuse
        self._engines.close()
        self._halfwords.release()
        try:
            self.ram.release()
            self._memory.close()
        except BufferError:
            pass  # somebody holds a part of it; it goes with its last view


def _refuse(*_arguments: object) -> int:
    raise FlukeError("this processor is closed")
