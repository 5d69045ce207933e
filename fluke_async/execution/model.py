"""
The execution model: what is kept of an operation that suspends.

An operation is a coroutine on the thread's registers. When it suspends, the registers say what remains; so the
coroutine may be kept, or thrown away.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, Protocol

from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread

Stack = Coroutine[Any, None, int]


class ExecutionModel(Protocol):
    """What both drivers do."""

    def suspend(self, core: Core, thread: Thread, stack: Stack) -> None:
        """The operation of `thread` has stopped at a wait or a marked point."""
        ...

    def resume(self, core: Core, thread: Thread) -> Stack | None:
        """The suspended operation to go on with; None: dispatch from the registers."""
        ...
