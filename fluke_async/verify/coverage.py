"""
Coverage: the rows of the table of system calls that a verification has to pass through.

For every call: its trap; each kind of object that a thread has been created again waiting for, with that call in its
registers; its marked points; and its return, save for the one call that returns to where the registers name another.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fluke_async.abi.entry_points import BY_NUMBER, ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point

LEAVES_NO_NAME = "thread_return_from_exception"


def rows() -> Iterator[str]:
    """Every row, as text."""
    for entry in ENTRY_POINTS:
        yield f"{entry.name} trap"
        for type_ in entry.waits_on:
            yield f"{entry.name} wait on {type_.name.lower()}"
        if entry.has_points:
            yield f"{entry.name} marked"
        if entry.name != LEAVES_NO_NAME and len(entry.restarts_as) == 1:
            yield f"{entry.name} return"


def rows_of(point: Point, thread: Thread, threads: Iterable[Thread]) -> Iterator[str]:
    """The rows that a point of `thread` belongs to, while these threads are there; rows of no call are not counted."""
    yield f"{_call_of(thread)} {point.value}"
    for each in threads:
        if each.waiting_for is not None:
            yield f"{_call_of(each)} wait on {each.waiting_for.type.name.lower()}"


def _call_of(thread: Thread) -> str:
    entry = BY_NUMBER.get(thread.registers[ENTRY_POINT])
    return "none" if entry is None else entry.name
