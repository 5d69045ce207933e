"""
Coverage: the rows of the table of system calls that a verification has to pass through.

For every call: its trap; each kind of object on which its registers may be parked; its marked points; and its return,
save for the one call that returns to where its registers speak of another.
"""

from __future__ import annotations

from collections.abc import Iterator

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


def row_of(point: Point, thread: Thread) -> str:
    """The row that a point belongs to; one that `rows` does not have is no system call's."""
    entry = BY_NUMBER.get(thread.registers[ENTRY_POINT])
    name = "none" if entry is None else entry.name
    if point is Point.WAIT and thread.waiting_for is not None:
        return f"{name} wait on {thread.waiting_for.type.name.lower()}"
    return f"{name} {point.value}"
