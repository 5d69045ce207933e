"""
The one queue through which everything of the host comes into a kernel.

Tasks put actions into it at any time; the driver does them at its fixed point, in the order of asking. Who waits for
one is told, and goes on before anything else happens in the kernel; so what it asks for next comes at the same instant.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TypeVar

import anyio

from fluke_async.embedding.cancellation import wait_to_the_end
from fluke_async.errors import FlukeError

T = TypeVar("T")

STOPPED = "the kernel has stopped: see the error that its `async with` block raised"


class HostQueue:
    """The queue of one kernel, until that is `closing`."""

    def __init__(self) -> None:
        self.closing = False
        self.turn_owed = False  # a task has got its result, and goes on first
        self._actions: deque[Callable[[], None]] = deque()
        self._news = anyio.Event()
        self._callers: set[anyio.Event] = set()
        self._outlasting: set[anyio.Event] = set()
        self._closed = anyio.Event()

    def post(self, action: Callable[[], None]) -> None:
        """Do `action` at the next fixed point; from the kernel's event loop only."""
        self._actions.append(action)
        self._news.set()

    def tell(self, event: anyio.Event) -> None:
        """Let the task go on that waits for `event`, before anything else happens in the kernel."""
        event.set()
        self.turn_owed = True

    async def call(self, action: Callable[[], T]) -> T:
        """
        Do `action` at the next fixed point and return its result, or raise its FlukeError.

        Raises:
            FlukeError: the kernel has stopped.
        """
        self.check_open()
        done = anyio.Event()
        outcome: list[T | FlukeError] = []

        def carry_out() -> None:
            try:
                self.check_open()  # it may be closed by what was asked for before
                outcome.append(action())
            except FlukeError as error:
                outcome.append(error)
            self.tell(done)

        self.post(carry_out)
        self._callers.add(done)
        try:
            await done.wait()
        finally:
            self._callers.discard(done)
        return _result_of(outcome)

    def check_open(self) -> None:
        """
        See that something can be asked for.

        Raises:
            FlukeError: the kernel has stopped.
        """
        if self.closing:
            raise FlukeError("the kernel has stopped: use it inside its `async with` block")

    async def ensure(self, action: Callable[[], None]) -> None:
        """Do `action` at the next fixed point, and wait for that even if cancelled; not if the loop has ended."""
        done = anyio.Event()

        def carry_out() -> None:
            action()
            self.tell(done)

        self.post(carry_out)
        await self.outlast(done)

    async def surely(self, action: Callable[[], T]) -> T:
        """
        As `call`, but not left before `action` has been done: a cancellation is raised after it.

        Raises:
            FlukeError: the kernel has stopped.
        """
        self.check_open()
        outcome: list[T | FlukeError] = []

        def carry_out() -> None:
            try:
                self.check_open()  # as there
                outcome.append(action())
            except FlukeError as error:
                outcome.append(error)

        await self.ensure(carry_out)
        return _result_of(outcome)

    async def outlast(self, event: anyio.Event) -> None:
        """Wait for `event` even if cancelled; it is set at the latest when the loop ends."""
        if not self._closed.is_set():
            self._outlasting.add(event)
            try:
                await wait_to_the_end(event)
            finally:
                self._outlasting.discard(event)

    # -- for the driver -------------------------------------------------------------------------------------------

    def has_actions(self) -> bool:
        """Whether there is something to be done."""
        return bool(self._actions)

    def do_all(self) -> None:
        """Do everything that has been asked for, and what that asks for in turn."""
        while self._actions:
            self._actions.popleft()()

    async def news(self, timeout_s: float | None) -> None:
        """Wait until something is asked for, or for so long."""
        self._news = anyio.Event()
        with anyio.move_on_after(timeout_s):
            await self._news.wait()

    async def closed(self) -> None:
        """Wait until the loop has ended."""
        await self._closed.wait()

    def loop_ended(self) -> None:
        """Nothing will be done any more."""
        self.closing = True
        self._closed.set()
        for event in self._outlasting:
            event.set()

    def abandon_callers(self) -> None:
        """Tell everybody who still waits for a result."""
        for caller in self._callers:
            caller.set()


def _result_of(outcome: list[T | FlukeError]) -> T:
    """What an action has come to; nothing, if the loop ended before it."""
    if not outcome:
        raise FlukeError(STOPPED)
    result = outcome[0]
    if isinstance(result, FlukeError):
        raise result
    return result
