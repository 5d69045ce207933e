"""
What a program may still execute: one account for all the spaces that it makes, so that none is outside the bound.

A thread whose account is spent is not ready, whatever else it is; nothing of its state is touched.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluke_async.kernel.objects.thread import Thread


class Account:
    """Instructions left, or None without a bound; and the threads, in the order in which they came."""

    __slots__ = ("instructions_left", "threads")

    def __init__(self) -> None:
        self.instructions_left: int | None = None
        self.threads: dict[Thread, None] = {}

    @property
    def is_spent(self) -> bool:
        """Whether the bound has been reached."""
        return self.instructions_left == 0
