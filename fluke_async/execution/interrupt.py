"""
The interrupt model: one stack for all, nothing kept.

A suspended operation is dropped. What stays is the thread's exported state and, while it waits, its continuation
record in the wait queue; when it runs again, the operation is dispatched anew from the registers. Compare the
nonblocking configuration of the original, and continuations in Mach (Draves et al., SOSP '91).
"""

from __future__ import annotations

from fluke_async.execution.model import Stack
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event


class InterruptModel:
    """Drops the coroutine at every suspension."""

    def suspend(self, core: Core, thread: Thread, stack: Stack) -> None:
        stack.close()
        if core.trace is not None:
            core.trace((core.time, Event.CONTINUATION_SAVED, thread.hash, core.entry_name(thread)))

    def resume(self, core: Core, thread: Thread) -> Stack | None:
        thread.restarts += 1
        core.statistics.restarts += 1
        if core.trace is not None:
            core.trace((core.time, Event.RESTARTED, thread.hash, core.entry_name(thread)))
        return None
