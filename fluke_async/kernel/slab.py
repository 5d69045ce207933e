"""A slab: the part of the root's memory that one program has, and who holds it."""

from __future__ import annotations

from array import array
from bisect import bisect_left

from fluke_async.kernel.hold import Hold
from fluke_async.kernel.params import FAULT_AROUND_PAGES

ROW_PAGES = FAULT_AROUND_PAGES
NO_FRAME = -1
EMPTY_ROW = array("q", [NO_FRAME]) * ROW_PAGES


class Slab(dict[int, int]):
    """
    The frames of a program by page number.

    In `rows` of pages too, NO_FRAME where there is none, for who wants those around a page; and in the order of the
    pages, for who looks through all. While somebody holds it, `written` are the pages whose next write need not be
    noticed: those that were written or added since it was held last.
    """

    __slots__ = ("_in_order", "holds", "rows", "written")

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, array[int]] = {}
        self.holds: list[Hold] = []  # in order, from the oldest that has not been ended on
        self.written: set[int] | None = None
        self._in_order: list[int] = []

    def __setitem__(self, page: int, frame: int) -> None:
        super().__setitem__(page, frame)
        row = self.rows.get(page // ROW_PAGES)
        if row is None:
            row = self.rows[page // ROW_PAGES] = EMPTY_ROW[:]
        row[page % ROW_PAGES] = frame

    def next_page(self, page: int) -> int | None:
        """The first page from `page` on that has a frame."""
        if len(self._in_order) != len(self):  # pages are only ever added
            self._in_order = sorted(self)
        index = bisect_left(self._in_order, page)
        return self._in_order[index] if index < len(self._in_order) else None

    def hold(self, first: int, end: int) -> Hold:
        """Hold pages `first` to `end`."""
        hold = Hold(self, first, end)
        if self.holds:
            self.holds[-1].next = hold
        self.holds.append(hold)
        self.written = hold.written
        return hold

    def leave_holds(self) -> None:
        """A hold has been ended: let go of those that are older than all that have not."""
        while self.holds and self.holds[0].is_ended:
            del self.holds[0]
        if not self.holds:
            self.written = None

    def note_write(self, page: int, content: memoryview) -> None:
        """A page is about to be written, for the first time since the slab was held last."""
        copied = None
        for hold in reversed(self.holds):
            if page in hold.written:
                break  # this one, and those before it, have what they want of it
            copied = hold.keep(page, content, copied)
        self.holds[-1].written.add(page)
