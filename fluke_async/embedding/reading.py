"""The pages of a process as they were at one moment, read a few at a time while it goes on, or after its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.kernel.hold import Hold

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

ALL = 1 << 40


class Reading:
    """What a hold has that was not given yet."""

    def __init__(self, core: Core, hold: Hold) -> None:
        self._core = core
        self._hold = hold
        self._rest: list[tuple[int, bytes]] = []

    def memory_ends(self) -> None:
        """Copy what is left: the memory is about to be freed."""
        self._rest += self._hold.take(self._core, ALL)

    def take(self, most_pages: int) -> list[tuple[int, bytes]]:
        """At most so many pages with their offsets, each once, in any order; none when all have been given."""
        if not self._hold.is_done:
            return self._hold.take(self._core, most_pages)
        taken, self._rest = self._rest[:most_pages], self._rest[most_pages:]
        return taken
