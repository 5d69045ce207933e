"""A slab: the part of the root's memory that one program has."""

from __future__ import annotations

from array import array
from bisect import bisect_left, insort
from collections.abc import Collection

from fluke_async.kernel.hold import Hold
from fluke_async.kernel.params import FAULT_AROUND_PAGES

ROW_PAGES = FAULT_AROUND_PAGES
NO_FRAME = -1
EMPTY_ROW = array("q", [NO_FRAME]) * ROW_PAGES


class Slab(dict[int, int]):
    """
    The frames of a program by page number.

    In `rows` of pages too, NO_FRAME where there is none, for who wants those around a page; and in the order of the
    pages, for who looks through all; `objects` are the pages that have objects, in order. While somebody holds the
    slab, `written` are the pages whose next write need not be noticed: those that were written or added since it was
    held last.
    """

    __slots__ = ("_in_order", "holds", "objects", "rows", "written")

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, array[int]] = {}
        self.objects: list[int] = []
        self.holds: list[Hold] = []  # in order, from the oldest that has not been ended on
        self.written: set[int] | None = None
        self._in_order: list[int] = []

    def __setitem__(self, page: int, frame: int) -> None:
        if self.written is not None and page not in self:
            self.written.add(page)
        super().__setitem__(page, frame)
        row = self.rows.get(page // ROW_PAGES)
        if row is None:
            row = self.rows[page // ROW_PAGES] = EMPTY_ROW[:]
        row[page % ROW_PAGES] = frame

    def share(self, source: Slab, first: int, end: int, shift: int, but: Collection[int]) -> Collection[int]:
        """
        Have the frames of pages `first` to `end` of a slab, `shift` pages further on, where there are none yet.

        Those of some pages are left out; returns the others.
        """
        assert source is not self, "no frame is twice in a slab"
        pages = {page + shift: frame for page, frame in source.items() if first <= page < end}
        assert self.keys().isdisjoint(pages.keys()), "a page has a frame already"
        for page in but:
            pages.pop(page + shift, None)
        if (first | end | shift) % ROW_PAGES:
            for page, frame in pages.items():
                self[page] = frame
        else:
            self.update(pages)
            low, high, further = first // ROW_PAGES, end // ROW_PAGES, shift // ROW_PAGES
            copied = {number + further: row[:] for number, row in source.rows.items() if low <= number < high}
            for page in but:
                copied[page // ROW_PAGES + further][page % ROW_PAGES] = NO_FRAME
            for number in self.rows.keys() & copied.keys():
                copied[number] = array("q", map(max, self.rows[number], copied[number]))
            self.rows.update(copied)
        if self.written is not None:
            self.written.update(pages)
        return pages.values()

    def add_objects(self, page: int) -> None:
        """A page that had no objects has some."""
        insort(self.objects, page)

    def remove_objects(self, page: int) -> None:
        """It has none any more."""
        del self.objects[bisect_left(self.objects, page)]

    def objects_between(self, first: int, end: int) -> list[int]:
        """The pages from `first` to `end` that have objects."""
        return self.objects[bisect_left(self.objects, first) : bisect_left(self.objects, end)]

    def next_objects(self, page: int) -> int | None:
        """The first page from `page` on that has objects."""
        index = bisect_left(self.objects, page)
        return self.objects[index] if index < len(self.objects) else None

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

    def is_held(self, page: int) -> bool:
        """Whether the first write to a page is to be noticed by who holds the slab."""
        return self.written is not None and page not in self.written

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
