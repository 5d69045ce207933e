"""The few instructions an engine must recognise to name a trap.

An engine says where it stopped; which of the causes of the protocol that was is often only in the
instruction itself. Source: The RISC-V Instruction Set Manual, volume I, chapters on RV32/64G
listings and on compressed instructions.
"""

from __future__ import annotations

from collections.abc import Mapping

from fluke_async.cpu.protocol import EXECUTE, FIRST_COUNTER, LAST_COUNTER, PAGE_SIZE

ENVIRONMENT_CALL = 0x0000_0073

_WORD = 2**64 - 1
_AMO, _SYSTEM = 0x2F, 0x73
_CSR_SET_AND_CLEAR = frozenset({2, 3, 6, 7})  # unlike csrrw, they may be plain reads
_LOAD_RESERVED, _STORE_CONDITIONAL = 0b00010, 0b00011
_ATOMIC_FUNCTIONS = frozenset({0, 1, _LOAD_RESERVED, _STORE_CONDITIONAL, 4, 8, 12, 16, 20, 24, 28})


def is_compressed(halfword: int) -> bool:
    """Whether the instruction that begins with this halfword is 16 bits long."""
    return halfword & 3 != 3


def counter_destination(instruction: int) -> int | None:
    """The register that a read of cycle, time or instret goes to; None for all other instructions.

    An instruction that would also write the counter is not a read: the counters are read-only.
    """
    function = instruction >> 12 & 7
    if instruction & 0x7F != _SYSTEM or function not in _CSR_SET_AND_CLEAR:
        return None
    writes = instruction >> 15 & 31  # a source register other than x0, or an immediate not 0
    if writes or not FIRST_COUNTER <= instruction >> 20 <= LAST_COUNTER:
        return None
    return instruction >> 7 & 31


def atomic_operand(instruction: int) -> tuple[int, int] | None:
    """(number of the address register, size in bytes) of an LR, SC or AMO; None for others."""
    function = instruction >> 27
    if instruction & 0x7F != _AMO or function not in _ATOMIC_FUNCTIONS:
        return None
    size_code = instruction >> 12 & 7
    if size_code not in (2, 3) or (function == _LOAD_RESERVED and instruction >> 20 & 31):
        return None
    return instruction >> 15 & 31, 1 << size_code


def may_be_atomic(halfword: int) -> bool:
    """Whether an instruction that begins with this halfword may be an LR, SC or AMO."""
    return halfword & 0x7F == _AMO


def is_atomic_store(instruction: int) -> bool:
    """Whether it is an SC or AMO: they fault as stores even where their read faults first."""
    return atomic_operand(instruction) is not None and instruction >> 27 != _LOAD_RESERVED


def instruction_at(halfwords: memoryview, pages: Mapping[int, int], pc: int) -> int:
    """The 16 or 32 bits at an address whose pages can be fetched from; `halfwords` is physical memory."""
    halfword: int = halfwords[_halfword_index(pages, pc)]
    if is_compressed(halfword):
        return halfword
    return halfword | halfwords[_halfword_index(pages, pc + 2 & _WORD)] << 16


def instructions_before_page_end(halfwords: memoryview, pages: Mapping[int, int], pc: int) -> int:
    """How many instructions in a row begin from pc on and before the page's last halfword."""
    index = _halfword_index(pages, pc)
    last = index | (PAGE_SIZE >> 1) - 1
    number = 0
    while index < last:
        index += 1 if is_compressed(halfwords[index]) else 2
        number += 1
    return number


def is_call(halfwords: memoryview, pages: Mapping[int, int], pc: int) -> bool | None:
    """Whether an `ecall` is at pc; None if a page that it would lie in cannot be fetched from."""
    entry = pages.get(pc >> 12, 0)
    if not entry & EXECUTE:
        return None
    index = (entry & -PAGE_SIZE | pc & PAGE_SIZE - 1) >> 1
    if halfwords[index] != ENVIRONMENT_CALL:
        return False
    if pc & PAGE_SIZE - 2 != PAGE_SIZE - 2:
        return not halfwords[index + 1]
    entry = pages.get((pc + 2 & _WORD) >> 12, 0)
    return not halfwords[(entry & -PAGE_SIZE) >> 1] if entry & EXECUTE else None


def _halfword_index(pages: Mapping[int, int], pc: int) -> int:
    return (pages[pc >> 12] & -PAGE_SIZE | pc & PAGE_SIZE - 1) >> 1
