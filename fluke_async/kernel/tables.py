"""
The tables of translations: for each space, what is known of its pages, as numbers `frame | access`.

Translations are soft: what is forgotten is found again by a walk up the tree of mappings. So all tables together have
room for a number of entries that was paid for when the kernel was made, and are emptied when it does not suffice: no
program's state depends on what stands in them. A large table is dropped whole, in constant time, where picking out a
large range would take long; the engine finds a new table by its identity. Only so many spaces have tables at one time:
one more takes the place of the one that was the first to get its own. So to empty all of them never takes long either.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, TRANSLATIONS_PER_FRAME
from fluke_async.kernel.params import FAULT_AROUND_PAGES, PICKED_PAGES_MAX, TRANSLATED_SPACES_MAX, TRANSLATIONS_MIN

if TYPE_CHECKING:
    from fluke_async.kernel.objects.space import Space


_DROPPED: dict[int, int] = {}
"""Stands for all tables that were dropped: the engine has to look whose is another now."""


class Tables:
    """All tables of one kernel. `changed` are, by identity, those that the engine must not use as they were."""

    __slots__ = ("_spaces", "capacity", "changed", "used")

    def __init__(self, memory_bytes: int) -> None:
        self.capacity = max(TRANSLATIONS_MIN, memory_bytes // PAGE_SIZE * TRANSLATIONS_PER_FRAME)
        self.used = 0
        self.changed: dict[int, dict[int, int]] = {}
        self._spaces: dict[Space, None] = {}

    @property
    def have_room(self) -> bool:
        """Whether another page can be entered with its neighbours before everything has to be forgotten."""
        return self.used + FAULT_AROUND_PAGES <= self.capacity

    def enter(self, space: Space, entries: dict[int, int]) -> None:
        """Add entries by page number, or replace them by others that grant more."""
        if self.used + len(entries) > self.capacity:
            self.empty()
        if space not in self._spaces and len(self._spaces) == TRANSLATED_SPACES_MAX:
            self.drop(next(iter(self._spaces)))
        before = len(space.pages)
        space.pages.update(entries)
        self.used += len(space.pages) - before
        self._spaces[space] = None

    def forget(self, space: Space, first_page: int, end_page: int) -> None:
        """Take out the entries of a range of pages, and perhaps more."""
        pages = space.pages
        if not pages or first_page >= end_page:
            return
        if end_page - first_page <= PICKED_PAGES_MAX:
            picked = [page for page in range(first_page, end_page) if page in pages]
        elif len(pages) <= PICKED_PAGES_MAX:
            picked = [page for page in pages if first_page <= page < end_page]
        else:
            self.drop(space)
            return
        for page in picked:
            del pages[page]
        self.used -= len(picked)
        if picked:
            self.changed[id(pages)] = pages

    def drop(self, space: Space) -> None:
        """Forget all of a space's table."""
        self.used -= len(space.pages)
        self.changed.pop(id(space.pages), None)  # nobody uses it any more, and nobody may run to whom that is told
        self.changed[id(_DROPPED)] = _DROPPED
        space.pages = {}
        self._spaces.pop(space, None)

    def empty(self) -> None:
        """Forget everything."""
        for space in tuple(self._spaces):
            self.drop(space)
