"""
Points: the instants at which a thread may be stopped and read out, shown to whoever wants to see them.

A probe is called at every point of a kernel that has one: at a trap before its call begins, at a wait after the call
has been suspended, at a marked point before it is decided whether to preempt, at the return to user mode, and where an
operation touches a page that is not in the tables. There
the state of every thread is whole. The probe may export, destroy and re-create what it likes; it returns whether it
has, and then whoever showed the point forgets what it was about and begins again from the state.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluke_async.kernel.objects.thread import Thread


class Point(Enum):
    """The kinds of points."""

    TRAP = "trap"
    WAIT = "wait"
    MARKED = "marked"
    RETURN = "return"
    SOFT_FAULT = "soft fault"
    HARD_FAULT = "hard fault"


Probe = Callable[[Point, "Thread"], bool]


class Recreated(Exception):
    """Everything was created again in the middle of an operation, which is forgotten."""
