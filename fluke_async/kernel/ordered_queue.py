"""
The one queue: threads in order of priority, then of the stamp that each was given.

It serves waiters of every object and the ready threads alike. An entry is a tuple that begins with `(-priority,
stamp, thread)`; a thread is in at most one queue, and its `place` is its entry there. So a thread leaves by losing its
place: the entry that remains is recognised as stale when it comes up, and swept when stale entries prevail.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fluke_async.kernel.objects.thread import Thread

Entry = tuple[Any, ...]
SWEEP_FLOOR = 8  # entries below which sweeping is not worth it; to look for the first few steps over those that remain


class OrderedQueue:
    """A priority queue with removal in constant time; stamps are unique, so the order is total."""

    __slots__ = ("_entries", "_stale")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._stale = 0

    def push(self, entry: Entry) -> None:
        """Give `entry[2]` this place."""
        thread: Thread = entry[2]
        assert thread.place is None, f"{thread} is in a queue already"
        thread.place = entry
        heappush(self._entries, entry)

    def head(self) -> Thread | None:
        """The first thread in order, which stays in the queue."""
        entries = self._entries
        while entries:
            entry = entries[0]
            thread: Thread = entry[2]
            if thread.place is entry:
                return thread
            heappop(entries)
            self._stale -= 1
        return None

    def first(self, count: int) -> list[Thread]:
        """The first threads in order, at most so many; in a time that does not depend on how many follow."""
        found: list[Thread] = []
        entries = self._entries
        reached = [(entries[0], 0)] if self.head() is not None else []  # places in the heap, whose parents were seen
        while reached and len(found) < count:
            entry, index = heappop(reached)
            if entry[2].place is entry:
                found.append(entry[2])
            for below in range(2 * index + 1, min(2 * index + 3, len(entries))):
                heappush(reached, (entries[below], below))
        return found

    def remove(self, thread: Thread) -> None:
        """Take the place of `thread`, which must be in this queue."""
        assert thread.place is not None, f"{thread} is in no queue"
        thread.place = None
        self._stale += 1
        if self._stale > SWEEP_FLOOR and 2 * self._stale > len(self._entries):
            self._entries = [entry for entry in self._entries if entry[2].place is entry]
            heapify(self._entries)
            self._stale = 0

    def in_order(self) -> Iterator[Thread]:
        """All threads of the queue, first to last."""
        for entry in sorted(self._entries):
            thread: Thread = entry[2]
            if thread.place is entry:
                yield thread

    def __len__(self) -> int:
        return len(self._entries) - self._stale
