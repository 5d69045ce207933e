"""
The process model: a stack for every thread, kept while it waits.

The suspended coroutine is the thread's kernel stack. It is resumed only if nothing has changed under it: the epochs
of the thread and of its peer must be those noted when it stopped; otherwise the stack is stale and is dropped, and the
operation is dispatched from the registers as in the interrupt model.
"""

from __future__ import annotations

from fluke_async.execution.model import Stack
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event


class ProcessModel:
    """Keeps the coroutine at every suspension."""

    def suspend(self, core: Core, thread: Thread, stack: Stack) -> None:
        peer = thread.callee or thread.client
        thread.stack = stack
        thread.stack_epochs = (thread.epoch, peer, -1 if peer is None else peer.epoch)
        if core.trace is not None:
            core.trace((core.time, Event.STACK_KEPT, thread.hash, core.entry_name(thread)))

    def resume(self, core: Core, thread: Thread) -> Stack | None:
        stack = thread.stack
        thread.stack = None
        if stack is not None:
            assert thread.stack_epochs is not None
            epoch, peer, peer_epoch = thread.stack_epochs
            if thread.epoch == epoch and (peer is None or peer.epoch == peer_epoch):
                core.statistics.resumes += 1
                if core.trace is not None:
                    core.trace((core.time, Event.RESUMED, thread.hash, core.entry_name(thread)))
                return stack
            stack.close()
            core.statistics.stacks_dropped += 1
            if core.trace is not None:
                core.trace((core.time, Event.STACK_DROPPED, thread.hash, core.entry_name(thread)))
        thread.restarts += 1
        core.statistics.restarts += 1
        if core.trace is not None:
            core.trace((core.time, Event.RESTARTED, thread.hash, core.entry_name(thread)))
        return None
