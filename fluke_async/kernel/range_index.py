"""
An index of ranges that may overlap: which of them meet a given range, without looking at all.

Ranges are filed by size. At the level of the power of two that is at least its size, a range lies in one or two
buckets; so a question looks into a few buckets at each level that is in use. Whoever changes an item's `start` or
`size` takes it out before, and files it again after.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Range(Protocol):
    """`size` bytes from `start`."""

    start: int
    size: int


R = TypeVar("R", bound=Range)


class RangeIndex(Generic[R]):
    """Items by where they lie; those of size 0 are kept, and meet nothing."""

    __slots__ = ("_items", "_levels")

    def __init__(self) -> None:
        self._items: dict[R, None] = {}
        self._levels: dict[int, dict[int, dict[R, None]]] = {}

    def add(self, item: R) -> None:
        """File an item."""
        self._items[item] = None
        level = item.size.bit_length()
        buckets = self._levels.setdefault(level, {})
        for number in self._places(item, level):
            buckets.setdefault(number, {})[item] = None

    def remove(self, item: R) -> None:
        """Take an item out, which lies where it lay when it was filed."""
        del self._items[item]
        level = item.size.bit_length()
        buckets = self._levels[level]
        for number in self._places(item, level):
            del buckets[number][item]
            if not buckets[number]:
                del buckets[number]
        if not buckets:
            del self._levels[level]

    def meeting(self, start: int, end: int) -> Iterator[R]:
        """The items that have a byte in [start, end)."""
        for level, buckets in self._levels.items():
            first, last = start >> level, end - 1 >> level
            if last - first < len(buckets):
                numbers = [number for number in range(first, last + 1) if number in buckets]
            else:
                numbers = [number for number in buckets if first <= number <= last]
            for number in numbers:
                for item in buckets[number]:
                    once = number == max(first, item.start >> level)
                    if once and max(start, item.start) < min(end, item.start + item.size):
                        yield item

    def __iter__(self) -> Iterator[R]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @staticmethod
    def _places(item: R, level: int) -> set[int]:
        return {item.start >> level, item.start + max(item.size - 1, 0) >> level}
