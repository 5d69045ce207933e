"""
What a program may still execute: one account for all the spaces that it makes, so that none is outside the bound.

A thread whose account is halted, because it is spent, suspended, or held while somebody reads it out, is not ready,
whatever else it is. Nothing of its state is touched, so the program cannot tell. Nor do devices hear of what threads
ask for that are started meanwhile: for a program that is held, no time passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fluke_async.kernel.device_request import DeviceRequest
    from fluke_async.kernel.objects.thread import Thread


class Account:
    """
    Instructions left, or None without a bound; the threads, in the order in which they came; and what devices are to be
    asked when the program is not held any more.
    """

    __slots__ = ("instructions_left", "is_held", "is_suspended", "requests", "threads")

    def __init__(self) -> None:
        self.instructions_left: int | None = None
        self.is_held = False
        self.is_suspended = False
        self.threads: dict[Thread, None] = {}
        self.requests: list[DeviceRequest] = []

    @property
    def is_spent(self) -> bool:
        """Whether the bound has been reached."""
        return self.instructions_left == 0

    @property
    def is_halted(self) -> bool:
        """Whether no thread of the program may run."""
        return self.is_suspended or self.is_held or self.instructions_left == 0
