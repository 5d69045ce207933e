"""
Moments at which rows are in an image: where a thread has come to wait, or to a marked point, or back from a call.

A run shows such points one after the other, with what all threads are in the middle of there. The same points come
again in each run, so the number of one says where a process is to stand still.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fluke_async.kernel.probe import Point

KINDS = frozenset({Point.WAIT, Point.MARKED, Point.RETURN})
"""Where the state that the probe sees is that of an image: nothing more comes of the thread's step."""


class Moment(NamedTuple):
    """When an image is made: at a count of the process's own, or at a point, by its number."""

    number: int
    is_point: bool = False

    def __str__(self) -> str:
        return f"point {self.number}" if self.is_point else str(self.number)


class Sight(NamedTuple):
    """What was seen at a point, by the process's own count."""

    time: int
    rows: frozenset[str]


def moments(sights: Sequence[Sight]) -> dict[str, int]:
    """For each row the point at which it is best seen: in the middle of the longest time that it lasts."""
    found: dict[str, tuple[int, int]] = {}  # how long it lasts, negative, and where
    begun: dict[str, int] = {}
    for number, sight in enumerate([*sights, Sight(0, frozenset())]):
        for row in [row for row in begun if row not in sight.rows]:
            first, last = begun.pop(row), number - 1
            lasted = sights[last].time - sights[first].time
            found[row] = min(found.get(row, (1, 0)), (-lasted, (first + last) // 2))
        for row in sight.rows:
            begun.setdefault(row, number)
    return {row: number for row, (_, number) in found.items()}


def chosen(sights: Sequence[Sight], wanted: set[str]) -> list[int]:
    """Few points, in order, that together show each row that is wanted and was seen."""
    best = moments(sights)
    seen: set[str] = set()
    numbers = []
    for row, number in sorted(best.items(), key=lambda item: (item[1], item[0])):
        if row in wanted and row not in seen:
            numbers.append(number)
            seen |= sights[number].rows
    return numbers
