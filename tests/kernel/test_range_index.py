"""An index of ranges gives what a look at all of them gives, and looks at few."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluke_async.kernel.range_index import RangeIndex

SIZES = st.one_of(
    st.integers(0, 5),
    st.integers(0, 40).flatmap(lambda power: st.sampled_from([2**power - 1, 2**power, 2**power + 1])),
)
STARTS = st.one_of(st.integers(0, 20), st.sampled_from([2**12, 2**20 - 1, 2**38, 2**64 - 2**12]))


@dataclass(eq=False)
class Item:
    """A range that counts how often somebody asks where it is."""

    first: int
    size: int
    looks: int = 0

    @property
    def start(self) -> int:
        self.looks += 1
        return self.first

    @start.setter
    def start(self, start: int) -> None:
        self.first = start


def test_empty_index_has_nothing() -> None:
    index: RangeIndex[Item] = RangeIndex()
    assert list(index.meeting(0, 2**64)) == []
    assert (len(index), list(index)) == (0, [])


@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 8, 9, 4096, 2**38])
@pytest.mark.parametrize("start", [0, 1, 5, 4096, 2**40 - 3])
def test_range_is_met_by_those_who_have_a_byte_of_it(start: int, size: int) -> None:
    index: RangeIndex[Item] = RangeIndex()
    item = Item(start, size)
    index.add(item)
    end = start + size
    for meets in ((start, end), (start, start + 1), (end - 1, end), (0, 2**64), (end - 1, 2**64), (0, start + 1)):
        assert list(index.meeting(*meets)) == [item], meets
    for misses in ((0, start), (end, end + 1), (end, 2**64), (start, start), (end, end)):
        assert list(index.meeting(*misses)) == [], misses


def test_empty_item_is_kept_and_meets_nothing() -> None:
    index: RangeIndex[Item] = RangeIndex()
    item = Item(100, 0)
    index.add(item)
    assert list(index) == [item]
    assert list(index.meeting(0, 200)) == []
    assert list(index.meeting(100, 101)) == []
    index.remove(item)
    assert len(index) == 0


@settings(max_examples=150, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["add", "add", "move", "remove"]), st.integers(0, 30), STARTS, SIZES), max_size=30
    ),
    st.lists(st.tuples(STARTS, SIZES), min_size=1, max_size=10),
)
def test_index_gives_what_a_list_gives(
    changes: list[tuple[str, int, int, int]], questions: list[tuple[int, int]]
) -> None:
    """Each item once, however many buckets it lies in."""
    index: RangeIndex[Item] = RangeIndex()
    items: list[Item] = []
    for what, number, start, size in changes:
        if what == "add":
            items.append(Item(start, size))
            index.add(items[-1])
        elif items:
            item = items[number % len(items)]
            index.remove(item)
            if what == "remove":
                items.remove(item)
            else:
                item.start, item.size = start, size
                index.add(item)
        for first, length in questions:
            end = first + length
            met = list(index.meeting(first, end))
            expected = {item for item in items if max(first, item.first) < min(end, item.first + item.size)}
            assert len(met) == len(set(met))
            assert set(met) == expected
        assert len(index) == len(items)
        assert set(index) == set(items)


def test_what_is_taken_out_leaves_nothing_behind() -> None:
    index: RangeIndex[Item] = RangeIndex()
    items = [Item(start, size) for start in (0, 3, 4096) for size in (0, 1, 5, 4096)]
    for item in items:
        index.add(item)
    for item in items:
        index.remove(item)
    assert index._levels == {}


@pytest.mark.parametrize("size", [1, 4096, 2**30])
def test_few_of_many_are_looked_at(size: int) -> None:
    index: RangeIndex[Item] = RangeIndex()
    items = [Item(number * size, size) for number in range(5000)]
    for item in items:
        index.add(item)
        item.looks = 0
    assert list(index.meeting(2500 * size, 2500 * size + 1)) == [items[2500]]
    assert sum(item.looks for item in items) < 20


def test_large_question_about_few_small_ranges_is_answered_by_looking_at_those() -> None:
    """Not by going through 2^64 buckets."""
    index: RangeIndex[Item] = RangeIndex()
    items = [Item(number << 40, 1) for number in range(3)]
    for item in items:
        index.add(item)
    assert set(index.meeting(0, 2**64)) == set(items)
    assert set(index.meeting(1, 2**64)) == set(items[1:])


def test_items_at_the_same_place_are_different_items() -> None:
    index: RangeIndex[Item] = RangeIndex()
    first, second = Item(8, 8), Item(8, 8)
    index.add(first)
    index.add(second)
    assert set(index.meeting(8, 9)) == {first, second}
    index.remove(first)
    assert list(index.meeting(8, 9)) == [second]
