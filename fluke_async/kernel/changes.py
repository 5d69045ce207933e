"""
Which pages have been written since when, for those who ask.

Time is counted in generations: each round of questions begins a new one. A frame that has been asked about is
*tracked*: it is entered without write access, so the first write after a question faults and is noted with the
generation of that moment; those that follow cost nothing, until somebody asks again. Nor do frames that nobody asks
about.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.kernel.translation import FRAME_MASK, WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.objects.space import Space
    from fluke_async.kernel.tables import Tables

PLACES_MAX = 8  # places at which a frame that can be written is remembered


class Changes:
    """The generation in which each tracked frame was last written for the first time after a question."""

    __slots__ = ("_tables", "_writable", "generation", "written")

    def __init__(self, tables: Tables) -> None:
        self.generation = 0
        self.written: dict[int, int] = {}
        self._tables = tables
        self._writable: dict[int, set[tuple[Space, int]]] = {}  # tracked frames, and where they can be written

    def next_generation(self) -> int:
        """Begin a round."""
        self.generation += 1
        return self.generation

    def note_write(self, frame: int, space: Space, page: int) -> None:
        """A tracked frame is about to be written through a page of a space."""
        self.written[frame] = self.generation
        places = self._writable.setdefault(frame, set())
        if len(places) <= PLACES_MAX:  # one more than that stands for: anywhere
            places.add((space, page))

    def ask(self, frame: int, since: int, generation: int) -> bool:
        """
        Whether a frame may have been written since a generation; track it from now on.

        What happened before a frame was tracked is not known. It counts as now; where nobody else has begun a round
        since the asker did, as just before that, so that it is not told the same again.
        """
        unknown = generation - 1 if generation == self.generation else self.generation
        if frame not in self.written:
            self.written[frame] = unknown
            self._tables.empty()  # it may be writable anywhere
            return True
        places = self._writable.pop(frame, set())
        if places:  # it could be written until now, by who did not have to say so
            self.written[frame] = max(self.written[frame], unknown)
        if len(places) > PLACES_MAX:
            self._tables.empty()
        for space, page in places:
            pages = space.pages
            entry = pages.get(page, 0)
            if entry & WRITE and entry & FRAME_MASK == frame:
                pages[page] = entry & ~WRITE
                self._tables.changed[id(pages)] = pages
        return self.written[frame] >= since

    def forget(self, frame: int) -> None:
        """A frame goes to somebody else: nothing is known of it."""
        self.written.pop(frame, None)
        self._writable.pop(frame, None)
