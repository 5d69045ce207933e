"""The processor as the kernel sees it.

An engine executes the user mode of one RV64GC hart on physical memory of its own. It knows pages,
not spaces; register files, not threads; counts, not time. The kernel loads a register file and a
page dictionary, calls `run`, and gets back one trap.

Two rules hold for every engine. *Traps are precise*: the reported instruction has had no effect.
*Chunking is invisible*: any sequence of limits gives the same traps at the same counts with the
same registers and memory.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

PAGE_SIZE = 4096

# A page-table entry is `frame_address | permissions`, the frame a page-aligned address in `ram`.
READ, WRITE, EXECUTE = 1, 2, 4
PERMISSIONS = READ | WRITE | EXECUTE

REGISTER_COUNT = 32
FLOATING_WORDS = 33  # f0..f31, then fcsr

FIRST_COUNTER, LAST_COUNTER = 0xC00, 0xC02  # cycle, time, instret: all three count instructions


class Cause(IntEnum):
    """Why `run` came back."""

    LIMIT = 0  # `limit` instructions are done; pc is the next one
    ECALL = 1
    ILLEGAL = 2
    BREAKPOINT = 3
    MISALIGNED = 4
    FETCH_FAULT = 5
    LOAD_FAULT = 6
    STORE_FAULT = 7


class Cpu(Protocol):
    """One hart and the physical memory it works on."""

    ram: memoryview
    """Physical memory as bytes, zero at start; the host gives memory only where it is touched."""

    registers: memoryview
    """x0..x31 of the loaded thread as 64-bit words ('Q'), live. Index 0 is never written. A processor
    may have several such register files, for threads of different address spaces."""

    time: int
    """Instructions retired up to the start of the next run: the base of rdcycle, rdinstret and
    rdtime, which read `time` plus what the run has retired before them."""

    find_page: Callable[[int, int, int], int | None] | None
    """Called for a load or store to a page whose entry does not grant it: with the address, the
    access (READ or WRITE) and how many instructions the run has retired. It puts an entry that
    grants the access into the dictionary and returns it, and nothing else changes; or it returns
    None, and the access is a trap. An engine need not call it."""

    code_frames: set[int]
    """Addresses of the frames that hold translated code. Whoever writes such a frame from the
    host calls `invalidate`."""

    def run(self, pc: int, limit: int) -> tuple[int, int, int, int]:
        """Execute at most `limit` (1 to 2**62) instructions from `pc`.

        Returns (cause, pc, address, retired). For LIMIT, pc is the next instruction; for every
        trap it is the trapping instruction, which is not counted in `retired`. `address` is the
        virtual address of a fault, of a misaligned access where known, else 0.

        The reservation of LR survives LIMIT, so that a slice may end inside an LR/SC pair, and what
        `find_page` finds. Every trap clears it but a fault of a load or store, for a page may be
        found after it too; whoever does not run on there clears it by `load` or `set_pages`.
        """
        ...

    def is_call(self, pc: int, pages: dict[int, int]) -> bool | None:
        """Whether `run` would trap at once with ECALL there; None if a page is missing for a fetch."""
        ...

    def load(self, registers: array[int] | memoryview, floating: array[int] | None) -> None:
        """Make a parked thread's register file the engine's, and clear the reservation.

        `registers` has 32 words; it may be `self.registers`, for the thread that is already
        loaded. `floating` has 33 words, f0..f31 and fcsr; None stands for a file of zeros, and
        costs nothing as long as no floating-point register is written.
        """
        ...

    def save_floating(self) -> array[int] | None:
        """f0..f31 and fcsr of the loaded thread, 33 words.

        None if it was loaded with None and has written no floating-point register since.
        """
        ...

    def set_pages(self, pages: dict[int, int]) -> None:
        """Make `pages` (virtual page number to entry) the address space; clear the reservation.

        If `registers` is another view after it, then the thread that was loaded last into that one is
        the loaded thread; until then its registers stay as they are.

        The dictionary stays the caller's. Entries may be added or upgraded at any time between
        runs; after removing or downgrading one, call `flush`.
        """
        ...

    def flush(self, pages: dict[int, int]) -> None:
        """Forget what was read from a page dictionary: entries were removed or downgraded."""
        ...

    def invalidate(self, frame_address: int, size: int) -> None:
        """Forget the code in these frames: the host has written them, or they change hands."""
        ...

    def close(self) -> None:
        """Release the engine and its memory; views of `ram` and `registers` become invalid."""
        ...
