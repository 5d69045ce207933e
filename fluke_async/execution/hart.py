"""
A hart: the processor loop between the engine and the kernel.

The first thread of the ready queue, or of several harts' the one whose turn it is, runs until its time slice or turn
ends, something is due, or it traps. A slice of host time ends the loop too; that end is invisible to programs, for the
loop goes on where it was.
"""

from __future__ import annotations

from array import array
from enum import Enum

from fluke_async.abi.codes import ExceptionCode
from fluke_async.cpu.protocol import Cause, Cpu
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.kernel.core import Core
from fluke_async.kernel.donation import pay, time_given
from fluke_async.kernel.exceptions import ProgramException, take_interrupt
from fluke_async.kernel.faults import blame
from fluke_async.kernel.host_calls import HostCalls
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.kernel.scheduling import settle
from fluke_async.kernel.trace import Event
from fluke_async.kernel.translation import EXECUTE, FRAME_MASK, READ, WRITE, resolve, resolve_softly

TRAP_EFFORT = 1000  # what a trap costs the host, in guest instructions: some 3 us at 300 MIPS
EFFORT_PER_LINK = 1000  # likewise a thread ranked anew, where priorities are inherited along a chain of waits
EFFORT_PER_POINT = 3000  # likewise a chunk copied
PAGE_EFFORT = 1000  # likewise a page that is found in passing
PAGES_FOUND_MAX = 64  # in one run of the engine, which cannot be ended in between

ACCESS_OF_FAULT = {
    int(Cause.FETCH_FAULT): EXECUTE,
    int(Cause.LOAD_FAULT): READ,
    int(Cause.STORE_FAULT): WRITE,
}
EXCEPTION_OF_CAUSE = {
    Cause.ILLEGAL: ExceptionCode.ILLEGAL_INSTRUCTION,
    Cause.BREAKPOINT: ExceptionCode.BREAKPOINT,
    Cause.MISALIGNED: ExceptionCode.MISALIGNED_ADDRESS,
}


class Outcome(Enum):
    """Why the loop came back."""

    SLICE = "slice"  # the effort is spent
    IDLE = "idle"  # no thread is ready
    ATTENTION = "attention"  # somebody outside has to look first


class Hart:
    """
    One processor of one kernel.

    `resident` is the thread whose registers are the processor's, `last` the one that ran last. Threads of other address
    spaces may still have theirs in a register file of the processor's, for when they come back.
    """

    def __init__(self, core: Core, cpu: Cpu, dispatcher: Dispatcher) -> None:
        self.core = core
        self.cpu = cpu
        self.dispatcher = dispatcher
        self.resident: Thread | None = None
        self.last: Thread | None = None
        self._seated: dict[int, Thread] = {}  # who was loaded last into which of the processor's register files
        self._pages_found = 0  # in the engine's run
        cpu.find_page = self._find_page

    def run(self, effort: int) -> Outcome:
        """Run guest code and kernel work worth about `effort` instructions."""
        core, cpu, dispatcher = self.core, self.cpu, self.dispatcher
        ready, statistics = core.ready, core.statistics
        last, timeline, turns = self.last, core.timeline, core.turns
        dispatcher.points_left = effort // EFFORT_PER_POINT
        if core.unfinished is not None:
            if core.requests:
                return Outcome.ATTENTION  # asked anew by threads that were loaded: devices know before it goes on
            dispatcher.go_on()
        while core.unfinished is None:
            if core.links_ranked:  # what was noted to be settled counts among them
                settle(core)
                effort -= core.links_ranked * EFFORT_PER_LINK
                core.links_ranked = 0
            if core.attention:
                core.current = None
                return Outcome.ATTENTION
            if effort <= 0:
                core.current = None
                return Outcome.SLICE
            next_action_time = timeline.first_time
            if next_action_time is not None and next_action_time <= core.time:
                core.current = None
                core.act()
                continue
            thread = ready.head() if turns is None else turns.choose(core)
            if thread is None:
                core.current = None
                return Outcome.IDLE
            core.current = thread
            if thread is not last:
                last = self.last = thread
                statistics.switches += 1
                if core.trace is not None:
                    core.trace((core.time, Event.SWITCH, thread.hash))
            if thread.pending and thread.interruptible:
                statistics.interrupts += 1
                take_interrupt(core, thread)
                continue  # a call that it dropped may have readied its server
            if thread.quantum_left <= 0:
                core.end_quantum(thread)
                continue
            effort -= TRAP_EFFORT
            if thread.in_kernel and self._is_at_its_call(thread):
                dispatcher.dispatch(thread)
                continue
            if thread.host is not None:
                self._turn_of_host(thread, thread.host)
                continue

            space = thread.space
            assert space is not None
            limit = thread.quantum_left
            if next_action_time is not None and next_action_time - core.time < limit:
                limit = next_action_time - core.time
            if turns is not None:
                limit = min(limit, turns.left(core.time))
            account = space.account
            left = account.instructions_left
            if left is not None and left < limit:
                limit = left
            if thread.donors is not None:
                limit = min(limit, time_given(thread))
            if effort < limit:
                limit = min(limit, max(effort, TRAP_EFFORT))
            assert limit > 0, "an engine without a limit does not come back"
            if core.tables.changed:
                for pages in core.tables.changed.values():
                    cpu.flush(pages)
                core.tables.changed.clear()
                self._load(thread)  # its table may be another
            elif thread is not self.resident or thread.registers is not cpu.registers:
                self._load(thread)
            cpu.time = core.time
            cause, thread.pc, address, retired = cpu.run(thread.pc, limit)
            core.time += retired
            thread.quantum_left -= retired
            if thread.donors is not None:
                pay(core, thread, retired)
            effort -= retired
            if self._pages_found:
                effort -= self._pages_found * PAGE_EFFORT
                self._pages_found = 0
            if left is not None:
                account.instructions_left = left - retired
                if retired == left:
                    core.settle(account)
            if cause == Cause.ECALL:
                assert retired < limit, "what is due at this count comes before the trap"
                dispatcher.dispatch(thread)
            elif cause != Cause.LIMIT:
                self._trap(thread, cause, address)
        return Outcome.SLICE

    def _find_page(self, address: int, access: int, retired: int) -> int | None:
        """A page that guest code touches and that only has to be looked up: the code need not stop for it."""
        core = self.core
        if core.probe is not None or self._pages_found >= PAGES_FOUND_MAX:
            return None
        assert core.current is not None
        entry = resolve_softly(core, core.current, address, access, core.time + retired)
        if entry is not None:
            self._pages_found += 1
        return entry

    def _is_at_its_call(self, thread: Thread) -> bool:
        """
        Whether a thread in the kernel is on the call that its registers speak of.

        It looks again by executing its `ecall` anew, as it does if it is created again meanwhile; where there is none
        any more, it executes what there is.
        """
        space = thread.space
        if space is None or thread.host is not None:
            return True
        there = self.cpu.is_call(thread.pc, space.pages)
        if there is None:
            try:
                for page in sorted({thread.pc & FRAME_MASK, thread.pc + 2 & FRAME_MASK}):
                    resolve(self.core, thread, page, EXECUTE)
            except ProgramException:
                there = False
            else:
                there = self.cpu.is_call(thread.pc, space.pages)
        if not there:
            thread.in_kernel = False
            thread.drop_stack()
        return bool(there)

    def _turn_of_host(self, thread: Thread, host: HostCalls) -> None:
        """A thread without code begins the call that its task has issued, or is back from one."""
        if host.issued:
            host.issued = False
            self.park_resident()  # the call may read that thread's state out
            self.dispatcher.dispatch(thread)
        else:
            self.core.stop(thread)
            self.core.attention = True
            host.on_return()

    def park_resident(self) -> None:
        """Bring home what the processor has of threads, so that all of it stands in them."""
        resident, self.resident = self.resident, None
        if resident is not None and resident.registers is self.cpu.registers:
            resident.floating = self.cpu.save_floating()
        for thread in self._seated.values():
            if isinstance(thread.registers, memoryview):
                self._park(thread, thread.registers)
        self._seated.clear()

    def _load(self, thread: Thread) -> None:
        """Make a thread the resident; only who has used floating point is taken home, if it is another's turn."""
        assert thread.space is not None
        cpu, before = self.cpu, self.resident
        if before is not None and before.registers is cpu.registers:  # else a state was loaded into it meanwhile
            floating = cpu.save_floating()
            if floating is not None:
                self._park(before, cpu.registers)
                before.floating = floating
        cpu.set_pages(thread.space.pages)
        registers = cpu.registers
        if thread.registers is not registers:
            seated = self._seated.get(id(registers))
            if seated is not None:
                self._park(seated, registers)
            cpu.load(thread.registers, thread.floating)
            thread.registers = registers
            self._seated[id(registers)] = thread
        self.resident = thread

    def _park(self, thread: Thread, registers: memoryview) -> None:
        """Give a thread a register file of its own, if it has this one."""
        if thread.registers is registers:
            thread.registers = array("Q", registers.tobytes())

    def _trap(self, thread: Thread, cause: int, address: int) -> None:
        """A trap that is no system call: a page to enter, or the thread's mistake."""
        core = self.core
        if core.probe is not None and core.probe(Point.TRAP, thread):
            return
        access = ACCESS_OF_FAULT.get(cause)
        if access is None:
            mistake = ProgramException(thread, EXCEPTION_OF_CAUSE[Cause(cause)], address or thread.pc)
            blame(core, mistake, in_call=False)
            return
        try:
            resolve(core, thread, address, access)
        except ProgramException as exception:
            self._load(thread)  # an access that was only looked up has left a reservation; a trap does not
            blame(core, exception, in_call=False)
