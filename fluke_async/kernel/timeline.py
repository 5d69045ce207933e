"""
What is to be done at a time: actions in order of their time, then of their asking.

An action may stand for a device's answer. When nobody waits for that answer any more, the action is as good as gone:
it is skipped when the clock looks for what comes next, and swept before such entries prevail.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Protocol


class Wanted(Protocol):
    """For whom an action is: a request to a device, or somebody outside."""

    @property
    def is_open(self) -> bool:
        """Whether the action is still wanted."""
        ...

    @property
    def is_awaited(self) -> bool:
        """Whether a thread could go on after it."""
        ...


Entry = tuple[int, int, Callable[[], None], Wanted | None]
SWEEP_FLOOR = 256  # entries below which sweeping is not worth it


def _is_wanted(entry: Entry) -> bool:
    request = entry[3]
    return request is None or request.is_open


class Timeline:
    """A heap of actions; its times are whatever its owner's clock counts."""

    __slots__ = ("_count", "_entries", "_sweep_at", "first_time")

    def __init__(self) -> None:
        self._entries: list[Entry] = []
        self._count = 0
        self._sweep_at = SWEEP_FLOOR
        self.first_time: int | None = None  # when the first action is due; it may turn out to be unwanted

    def add(self, time: int, action: Callable[[], None], request: Wanted | None = None) -> None:
        """Do `action` when the clock has reached `time`, unless `request` is given and closed by then."""
        self._count += 1
        heappush(self._entries, (time, self._count, action, request))
        if len(self._entries) > self._sweep_at:
            self._entries = [entry for entry in self._entries if _is_wanted(entry)]
            heapify(self._entries)
            self._sweep_at = max(SWEEP_FLOOR, 2 * len(self._entries))
        self._note_first()

    @property
    def is_awaited(self) -> bool:
        """Whether one of the actions would let a thread go on."""
        return any(request is None or request.is_awaited for _, _, _, request in self._entries)

    @property
    def next_time(self) -> int | None:
        """When the next wanted action is due."""
        while self._entries and not _is_wanted(self._entries[0]):
            heappop(self._entries)
        self._note_first()
        return self.first_time

    def act(self, now: int) -> None:
        """Do all that is due."""
        while self._entries and self._entries[0][0] <= now:
            entry = heappop(self._entries)
            self._note_first()
            if _is_wanted(entry):
                entry[2]()

    def _note_first(self) -> None:
        self.first_time = self._entries[0][0] if self._entries else None

    def __len__(self) -> int:
        return len(self._entries)
