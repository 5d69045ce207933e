"""
A hold: the contents of a part of one slab of the root's memory at one moment, read while programs go on writing.

To make one takes the same short time whatever its size. From then on the first write to each page of the slab is
noticed, and what was in the page till then is kept, if it has not been taken: as bytes of the host and not in a frame,
for a program must not run out of memory because somebody looks at it. One copy is kept for all holds that miss it.

What was written between two holds is known from that too. Holds of one slab are a chain, each with the pages that were
written or added until the next was made; the chain goes on while one of them has not been ended. When all have been,
nothing is watched any more.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.errors import FlukeError

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.slab import Slab

TAKEN = b""


class HoldLost(FlukeError):
    """The slab was freed before all of a hold had been taken."""

    def __init__(self) -> None:
        super().__init__("this memory was freed before it had been read: take all of a hold before its slab is freed")


class Hold:
    """
    Pages `first` to `end` of a slab as they are now; made by `RootSpace.hold`, at a moment at which no engine runs.

    `written` are the pages of the slab that were written or added since, until the hold `next` was made.
    """

    __slots__ = (
        "_count",
        "_end",
        "_first",
        "_kept",
        "_next",
        "_pages",
        "_slab",
        "_wanted",
        "is_done",
        "is_ended",
        "is_lost",
        "next",
        "written",
    )

    def __init__(self, slab: Slab, first: int, end: int) -> None:
        self.written: set[int] = set()
        self.next: Hold | None = None
        self.is_done = False  # there is nothing left to take
        self.is_ended = False
        self.is_lost = False  # what had not been taken is gone
        self._first, self._end = first, end
        self._slab: Slab | None = slab  # until it is freed, or this is ended
        self._count = len(slab)  # pages are only ever added, at the end: so many of the first were there
        self._pages: list[int] | None = None  # which these are, from the first `take` on
        self._wanted: set[int] | None = None  # which of them are; None: all
        self._next = 0  # the first of them that has not been looked at
        self._kept: dict[int, bytes] = {}  # of pages not taken, what was written over; TAKEN for those that were

    def take(self, core: Core, most_pages: int) -> list[tuple[int, bytes]]:
        """
        The contents, at the moment of the hold, of at most so many pages that were not taken yet, by their offsets.

        Each page is given once, in any order; one that had no frame then is zero, and not given.

        Raises:
            HoldLost: the slab has been freed.
        """
        taken: list[tuple[int, bytes]] = []
        if self.is_done:
            return taken
        if self.is_lost:
            raise HoldLost
        slab, first, end, kept, ram = self._slab, self._first, self._end, self._kept, core.hardware.ram
        assert slab is not None
        if self._pages is None:
            self._pages = list(islice(slab, self._count))
        while self._next < len(self._pages):
            page = self._pages[self._next]
            if first <= page < end:
                if len(taken) == most_pages:
                    return taken
                content = kept.get(page)
                if content is None:
                    content = bytes(ram[slab[page] : slab[page] + PAGE_SIZE])
                kept[page] = TAKEN
                taken.append(((page - first) * PAGE_SIZE, content))
            self._next += 1
        self.is_done = True
        self._let_go()
        return taken

    def narrow(self, offsets: set[int]) -> None:
        """Only these pages are wanted of what is left: the others are not given, nor kept any more."""
        if self.is_done or self.is_lost:
            return
        wanted = {self._first + offset // PAGE_SIZE for offset in offsets}
        if self._wanted is not None:
            wanted &= self._wanted
        left = islice(self._slab or (), self._count) if self._pages is None else self._pages[self._next :]
        self._wanted, self._pages, self._next = wanted, [page for page in left if page in wanted], 0
        self._kept = {page: content for page, content in self._kept.items() if content is TAKEN or page in wanted}

    def changed_since(self, earlier: Hold) -> set[int] | None:
        """
        The offsets of those pages that were written or added between the moment of another hold and that of this one.

        None: that is not known, since nobody held the slab for a while between the two. Either may have been ended.
        """
        changed: set[int] = set()
        hold: Hold | None = earlier
        while hold is not self:
            if hold is None:
                return None
            changed |= hold.written
            hold = hold.next
        return {(page - self._first) * PAGE_SIZE for page in changed if self._first <= page < self._end}

    def end(self, core: Core) -> None:
        """Nobody wants it any more, and there is nothing left to take. May be called at any time, and again."""
        slab, self._slab = self._slab, None
        self.is_ended = self.is_done = True
        self._let_go()
        if slab is not None:
            slab.leave_holds()

    def lose(self) -> None:
        """The slab is freed."""
        self.is_lost = not self.is_done
        self._slab = None
        self._let_go()

    def keep(self, page: int, content: memoryview, copied: bytes | None) -> bytes | None:
        """A page of the moment is about to be written: keep what is in it, if it was not taken; returns the copy."""
        if self.is_done or page in self._kept or not self._is_wanted(page):
            return copied
        self._kept[page] = copied = copied or bytes(content)
        return copied

    def _is_wanted(self, page: int) -> bool:
        return self._first <= page < self._end and (self._wanted is None or page in self._wanted)

    def _let_go(self) -> None:
        self._pages, self._wanted, self._kept = None, None, {}

    def pages_of_the_moment(self) -> tuple[set[int], set[int], set[int]]:
        """Which pages there were that are wanted; of these, which were taken, and of which what they held is kept."""
        there = {page for page in islice(self._slab or (), self._count) if self._is_wanted(page)}
        taken = {page for page, content in self._kept.items() if content is TAKEN}
        return there | taken, taken, self._kept.keys() - taken
