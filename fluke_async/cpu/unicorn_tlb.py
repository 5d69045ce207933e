"""What the engine on Unicorn has in its TLB: each frame is either code or data.

Unicorn asks for every page that it misses. The answer comes from the page dictionary, but never
makes a frame writable and executable at a time, whatever the dictionary allows. A fetch from a
frame that may be written, and a store to a frame that holds code, are refused with an event, and
`UnicornCpu` changes the frame's side. So generated code takes effect at once and at the same count
however a run is chunked; and data is never executable, which makes stores several times faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from fluke_async.cpu import unicorn_binding as binding
from fluke_async.cpu.protocol import EXECUTE, PAGE_SIZE, PERMISSIONS, READ, WRITE
from fluke_async.errors import KernelBug

_FRAME: Final = -PAGE_SIZE
_LOADS_AND_STORES: Final = (binding.FILL_READ, binding.FILL_WRITE)

# Events are the kinds of access that Unicorn names, for pages that are missing, and these:
NOTHING, STORE_TO_CODE, FETCH_FROM_DATA = 0, -1, -2


class UnicornTlb:
    """Fills the TLB from `pages`, the page dictionary of the current address space.

    The frame behind the last one of memory, the ghost, is the engine's own.
    """

    def __init__(self, ghost_frame: int) -> None:
        self.ghost_frame = ghost_frame
        self.pages: dict[int, int] = {}
        self.code_frames: set[int] = set()  # those with translations
        self.writable_frames: set[int] = set()  # those with a writable entry since the last flush of all
        self.fills = 0  # of the engine that runs, since its last flush
        self.find_page: Callable[[int, int], int | None] | None = None  # for loads and stores, by address

        # Why the last answer was a refusal.
        self.event = NOTHING
        self.event_page = 0
        self.exception: BaseException | None = None

        # What to answer differently for a while.
        self.identity = False  # physical addresses
        self.stored_code: list[int] | None = None  # let stores to code through and list them
        self.ghost_page: int | None = None  # a missing page, fetched from the ghost

        self._results: dict[int, memoryview] = {}  # where answers go, by host address

    def take_event(self) -> int:
        """The event since the last call; raises the exception that the callback has met."""
        event, self.event = self.event, NOTHING
        if self.exception is not None:
            exception, self.exception = self.exception, None
            raise exception
        return event

    def forget_entries(self) -> None:
        """Note that no engine uses what it has been told."""
        self.writable_frames.clear()

    def answer(self, _handle: int, address: int, access: int, result: int, _data: int) -> bool:
        """The callback: whether the engine may go on, with `result` written."""
        # An exception must not leave a callback: ctypes would print it and run on.
        try:
            entry = self._translate(address >> 12, access)
            if entry is None and self.event in _LOADS_AND_STORES:
                entry = self._found(address, access)
            if entry is None:
                return False
            self.fills += 1
            view = self._results.get(result)
            if view is None:
                view = self._results[result] = binding.words_at(result, 2)
            view[0] = entry & _FRAME
            view[1] = entry & PERMISSIONS
        except BaseException as exception:  # noqa: BLE001 (`run` raises it again)
            self.exception = exception
            return False
        return True

    def _found(self, address: int, access: int) -> int | None:
        """The entry after all, if it can be found in passing."""
        if self.find_page is None:
            return None
        wanted = READ if access == binding.FILL_READ else WRITE
        event, self.event = self.event, NOTHING  # should the question raise, there is none
        if self.find_page(address, wanted) is None:
            self.event = event
            return None
        return self._translate(address >> 12, access)

    def _translate(self, page: int, access: int) -> int | None:
        """The TLB's entry for a page, granting `access`; None and an event to leave the engine."""
        if self.identity:
            return page << 12 | READ | EXECUTE
        entry = self.pages.get(page, 0)
        if not 0 <= entry < self.ghost_frame:
            raise KernelBug(f"page {page:#x} has the entry {entry:#x}, a frame outside of memory")
        frame = entry & _FRAME
        if access == binding.FILL_FETCH:
            if not entry & EXECUTE:
                if page == self.ghost_page:
                    return self.ghost_frame | EXECUTE
                self.event, self.event_page = access, page
                return None
            if frame not in self.code_frames:
                self.code_frames.add(frame)
                if frame in self.writable_frames:
                    self.event = FETCH_FROM_DATA
                    return None
            return entry & ~WRITE
        if access == binding.FILL_WRITE:
            if not entry & WRITE:
                self.event = access
                return None
            if frame not in self.code_frames:
                self.writable_frames.add(frame)
            elif self.stored_code is None:
                self.event = STORE_TO_CODE
                return None
            else:
                self.stored_code.append(frame)
            return entry & ~EXECUTE
        if not entry & READ:
            self.event = access
            return None
        if frame in self.code_frames:
            return entry & ~WRITE
        if entry & EXECUTE:
            return frame | READ  # its first store or fetch decides what the frame is
        if entry & WRITE:
            self.writable_frames.add(frame)
        return entry
