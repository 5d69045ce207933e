"""
The life of a system call: from the registers to a handler, and from its end to the registers.

A handler that cannot sleep returns its status. One that can is a coroutine: it runs until it returns, waits, or comes
to a marked point where it is preempted; what is then kept is the execution model's business.
"""

from __future__ import annotations

from inspect import iscoroutinefunction
from typing import Any, NamedTuple

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_point import EntryPoint
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.execution.configuration import GRAINS, Preemption
from fluke_async.execution.model import ExecutionModel, Stack
from fluke_async.kernel.core import Core
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.faults import blame
from fluke_async.kernel.handlers import HANDLERS
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point, Recreated
from fluke_async.kernel.suspension import WAIT
from fluke_async.kernel.trace import Event


class _Row(NamedTuple):
    entry: EntryPoint
    handler: Any
    may_sleep: bool


ROWS = {
    BY_NAME[name].number: _Row(BY_NAME[name], handler, iscoroutinefunction(handler))
    for name, handler in HANDLERS.items()
}


class Dispatcher:
    """
    Carries out the system calls of one kernel.

    `points_left` bounds the marked points that are passed before the host's event loop gets its turn. A call cut off
    there is the core's `unfinished` one and goes on as if nothing had been: that is a breath, not a preemption. Its
    coroutine waits in the thread; should the thread be stopped meanwhile, its registers say how to go on.
    """

    def __init__(self, core: Core, model: ExecutionModel, preemption: Preemption) -> None:
        self.core = core
        self.model = model
        self.preempted_at, core.chunk_words, core.visited_pages = GRAINS[preemption]
        self.points_left = 0

    def dispatch(self, thread: Thread) -> None:
        """Carry out the call that the thread's program counter is on, as far as it goes."""
        core = self.core
        registers = thread.registers
        row = ROWS.get(registers[ENTRY_POINT])
        if row is None:
            if core.probe is not None and core.probe(Point.TRAP, thread):
                return
            foreign = ProgramException(thread, ExceptionCode.FOREIGN_SYSTEM_CALL, registers[ENTRY_POINT])
            blame(core, foreign, in_call=False)
            return
        entry = row.entry
        if not thread.in_kernel:
            core.statistics.system_calls += 1
            if core.trace is not None:
                arguments = tuple(registers[operand.register] for operand in entry.arguments)
                core.trace((core.time, Event.TRAP, thread.hash, entry.name, thread.pc, arguments))
            if core.probe is not None and core.probe(Point.TRAP, thread):
                return
        if row.may_sleep:
            stack = self.model.resume(core, thread) if thread.in_kernel else None
            self._run(thread, stack)
            return
        try:
            status = row.handler(core, thread)
        except ProgramException as exception:
            blame(core, exception, in_call=True)
            return
        except Recreated:
            return
        if status is not None:
            core.finish(thread, entry, status)
        if core.probe is not None:
            core.probe(Point.RETURN, thread)

    def go_on(self) -> None:
        """Continue the call that was cut off at a marked point, before anything else happens."""
        thread = self.core.unfinished
        assert thread is not None
        self.core.unfinished = None
        self.core.current = thread
        stack, thread.stack = thread.stack, None
        self._run(thread, stack)

    def _run(self, thread: Thread, stack: Stack | None) -> None:
        """Run a call that may sleep until it is done, waits, is preempted, or its thread is to blame."""
        core = self.core
        while True:
            if stack is None:
                stack = ROWS[thread.registers[ENTRY_POINT]].handler(core, thread)
            try:
                suspension = stack.send(None)
            except StopIteration as end:
                core.finish(thread, ROWS[thread.registers[ENTRY_POINT]].entry, end.value)
                if core.probe is not None:
                    core.probe(Point.RETURN, thread)
                return
            except ProgramException as exception:
                if blame(core, exception, in_call=True) or exception.thread is thread:
                    return
                stack = None  # a peer was to blame, and has left or is away: look again
                continue
            except Recreated:
                return
            if suspension is WAIT:
                self.model.suspend(core, thread, stack)
                if core.probe is not None:
                    core.probe(Point.WAIT, thread)
                return
            preemptible = suspension in self.preempted_at
            if core.probe is not None and self._shown(thread, stack, preemptible):
                return
            if preemptible and self._preempted(thread):
                thread.in_kernel = True
                core.statistics.preemptions += 1
                if core.trace is not None:
                    core.trace((core.time, Event.PREEMPT, thread.hash))
                self.model.suspend(core, thread, stack)
                return
            self.points_left -= 1
            if self.points_left < 0:
                thread.stack = stack
                core.unfinished = thread
                return

    def _shown(self, thread: Thread, stack: Stack, preemptible: bool) -> bool:
        """Show a marked point to the probe; whether it has re-created the state."""
        core = self.core
        assert core.probe is not None
        if not preemptible:
            core.unfinished = thread
        if not core.probe(Point.MARKED, thread):
            core.unfinished = None
            return False
        stack.close()
        return True

    def _preempted(self, thread: Thread) -> bool:
        """At a marked point: whether the thread is to give way. What is due is taken in first."""
        core = self.core
        next_action_time = core.timeline.first_time
        if next_action_time is not None and next_action_time <= core.time:
            core.current = None
            core.act()
            core.current = thread
        if thread.quantum_left <= 0 or core.unsettled:
            return True
        return core.chosen() is not thread or thread.interruptible
