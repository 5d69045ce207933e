"""
Coverage: the rows of the table of system calls that a verification has to pass through.

For every call: its trap; each kind of object that a thread has been created again waiting for, with that call in its
registers; its marked points; its faults, soft and hard, in its thread's own memory and in that of its peer; and its
return, save for the one call that returns to where the registers name another. Besides, the waits for the keepers of
regions and of spaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fluke_async.abi.codes import ObjectType
from fluke_async.abi.entry_points import BY_NUMBER, ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point

LEAVES_NO_NAME = "thread_return_from_exception"
FAULTS = (Point.SOFT_FAULT, Point.HARD_FAULT)
COPYING = (
    "ipc_send",
    "ipc_wait_receive",
    *(entry.name for entry in ENTRY_POINTS if entry.is_message and entry.has_points),
)


def rows() -> Iterator[str]:
    """Every row, as text."""
    for entry in ENTRY_POINTS:
        yield f"{entry.name} trap"
        for type_ in entry.waits_on:
            yield f"{entry.name} wait on {type_.name.lower()}"
        if entry.has_points:
            yield f"{entry.name} marked"
        if entry.touches_memory:
            for fault in FAULTS:
                yield f"{entry.name} {fault.value}"
                if entry.name in COPYING:
                    yield f"{entry.name} {fault.value} of its peer"
        if entry.name != LEAVES_NO_NAME and len(entry.restarts_as) == 1:
            yield f"{entry.name} return"
    for type_ in (ObjectType.PORT, ObjectType.THREAD):
        yield f"fault wait on {type_.name.lower()}"
        yield f"exception wait on {type_.name.lower()}"


def rows_of(core: Core, point: Point, thread: Thread, threads: Iterable[Thread]) -> Iterator[str]:
    """The rows that a point of `thread` belongs to, while these threads are there; rows of no call are not counted."""
    if point in FAULTS and core.current is not None and core.current is not thread:
        yield f"{_call_of(core.current)} {point.value} of its peer"
    else:
        yield f"{_call_of(thread)} {point.value}"
    for each in threads:
        if each.waiting_for is not None:
            waits_in = _call_of(each) if each.question is None else core.entry_name(each)
            yield f"{waits_in} wait on {each.waiting_for.type.name.lower()}"


def _call_of(thread: Thread) -> str:
    entry = BY_NUMBER.get(thread.registers[ENTRY_POINT])
    return "none" if entry is None else entry.name
