"""What a thread is doing, and what is left of one that waits."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from fluke_async.kernel.objects.base import KernelObject
    from fluke_async.kernel.objects.thread import Thread


class Continuation(NamedTuple):
    """
    What is left of a thread that waits: all that the interrupt model keeps.

    It is the thread's entry in the wait queue too, hence the order of the fields. What remains to be done when the wait
    is over stands in the thread's registers; nothing in the record is more than the exported state says.
    """

    negative_priority: int
    wait_order: int
    thread: Thread
    waiting_for: KernelObject


class Condition(Enum):
    """What a thread is doing, as an observer sees it."""

    EMPTY = "empty"  # has no space: cannot run
    READY = "ready"
    ASKING = "waits for its scheduler"  # would be ready, but nobody gives it time
    WAITING = "waiting"
    SPENT = "out of budget"  # would be ready, but its program has used up its budget
    SUSPENDED = "suspended"  # would be ready, but the host has suspended its program
    EXCEPTION = "exception"  # stopped by a mistake that nobody handles
    STOPPED = "stopped"
    DESTROYED = "destroyed"


def condition_of(thread: Thread) -> Condition:
    """What a thread is doing."""
    if not thread.active:
        return Condition.DESTROYED
    if thread.exception is not None:
        return Condition.EXCEPTION
    if thread.stopped:
        return Condition.STOPPED
    if thread.space is None:
        return Condition.EMPTY
    if thread.waiting_for is not None:
        return Condition.WAITING
    account = thread.space.account
    if account.is_spent:
        return Condition.SPENT
    if account.is_suspended:
        return Condition.SUSPENDED
    return Condition.READY if thread.has_time else Condition.ASKING
