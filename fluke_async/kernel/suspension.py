"""
The only ways in which an operation stops: a wait, and a marked point, of which there are two kinds.

An operation awaits one of the values below; it reaches the execution model, which decides what becomes of the
coroutine. Nothing comes back: what a wait was for is looked up again.
"""

from __future__ import annotations

from collections.abc import Generator


class Suspension:
    """What an operation awaits; the same object arrives at the driver."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __await__(self) -> Generator[Suspension, None, None]:
        yield self


WAIT = Suspension("wait")  # the thread has been parked
COPY = Suspension("copy")  # a marked point, progress committed: a chunk of a message has moved
VISIT = Suspension("visit")  # a marked point, progress committed: an object has been visited, of many
