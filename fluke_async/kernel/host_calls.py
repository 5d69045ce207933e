"""
The other end of a thread that a task of the application owns: what the kernel asks of it.

Such a thread has registers and blocks like any other, but no code: its user mode is the task. It is stopped while it is
not in a call. To make one, the task fills the registers, sets `issued` and starts the thread; its turn comes in the
order of the ready queue.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from fluke_async.abi.codes import ExceptionCode


class HostCalls(Protocol):
    """What the kernel sees of the task."""

    issued: bool
    """A call stands in the registers and has not begun."""

    def on_return(self) -> None:
        """The call has ended; the thread has been stopped."""
        ...

    def on_exception(self, code: ExceptionCode, subcode: int) -> None:
        """The call was a mistake; the thread has been stopped, its registers as they were."""
        ...

    def on_destroyed(self) -> None:
        """The thread has been destroyed, in the middle of a call or not."""
        ...
