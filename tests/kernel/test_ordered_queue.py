"""The queue against a sorted list that does the same in the plainest way."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluke_async.kernel.ordered_queue import SWEEP_FLOOR, OrderedQueue


def waiter(name: int) -> Any:
    return SimpleNamespace(place=None, name=name)


def names(queue: OrderedQueue) -> list[int]:
    threads: list[Any] = list(queue.in_order())
    return [thread.name for thread in threads]


def test_order_is_priority_then_stamp() -> None:
    queue = OrderedQueue()
    for priority, stamp, name in ((16, 3, 1), (31, 4, 2), (16, 1, 3), (0, 2, 4)):
        queue.push((-priority, stamp, waiter(name)))
    assert names(queue) == [2, 3, 1, 4]
    head: Any = queue.head()
    assert head.name == 2
    assert len(queue) == 4


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=40), st.integers(1, 8))
def test_first_are_those_that_come_first_in_order(entries: list[tuple[int, bool]], count: int) -> None:
    queue = OrderedQueue()
    waiters = [waiter(stamp) for stamp in range(len(entries))]
    for each, (priority, _) in zip(waiters, entries, strict=True):
        queue.push((-priority, each.name, each))
    for each, (_, leaves) in zip(waiters, entries, strict=True):
        if leaves:
            queue.remove(each)
    first: list[Any] = queue.first(count)
    assert [thread.name for thread in first] == names(queue)[:count]


def test_head_of_an_empty_queue() -> None:
    queue = OrderedQueue()
    assert queue.head() is None
    assert len(queue) == 0


def test_thread_that_left_and_came_back_has_its_new_place_only() -> None:
    queue = OrderedQueue()
    first, second = waiter(1), waiter(2)
    queue.push((0, 1, first))
    queue.push((0, 2, second))
    queue.remove(first)
    queue.push((0, 3, first))
    assert names(queue) == [2, 1]
    assert queue.head() is second
    assert len(queue) == 2


def test_pushing_twice_and_removing_twice_are_refused() -> None:
    queue = OrderedQueue()
    thread = waiter(1)
    queue.push((0, 1, thread))
    with pytest.raises(AssertionError, match="in a queue already"):
        queue.push((0, 2, thread))
    queue.remove(thread)
    with pytest.raises(AssertionError, match="in no queue"):
        queue.remove(thread)


def test_stale_entries_are_swept() -> None:
    queue = OrderedQueue()
    stays = waiter(0)
    queue.push((0, 0, stays))
    for stamp in range(1, 100 * SWEEP_FLOOR):
        thread = waiter(stamp)
        queue.push((0, stamp, thread))
        queue.remove(thread)
    assert len(queue._entries) <= 2 * SWEEP_FLOOR + 2
    assert names(queue) == [0]


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3)), max_size=300))
def test_equals_a_sorted_list(steps: list[tuple[int, int]]) -> None:
    """Each step names a thread: it leaves if it is in, else it enters with a priority and a fresh stamp."""
    queue = OrderedQueue()
    threads = [waiter(name) for name in range(10)]
    expected: dict[int, tuple[int, int]] = {}
    for stamp, (name, priority) in enumerate(steps):
        thread = threads[name]
        if name in expected:
            del expected[name]
            queue.remove(thread)
        else:
            expected[name] = (-priority, stamp)
            queue.push((-priority, stamp, thread))
        in_order = sorted(expected, key=expected.__getitem__)
        head: Any = queue.head()
        assert (None if head is None else head.name) == (in_order[0] if in_order else None)
        assert len(queue) == len(expected)
    assert names(queue) == sorted(expected, key=expected.__getitem__)
