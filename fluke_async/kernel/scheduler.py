"""
Threads and the few moves that everything is made of.

A thread is in the ready queue, in an object's wait queue, or nowhere. `park`, `wake`, `complete` and `make_ready` are
the moves between these; each leaves the thread's exported state whole. Stamps are given in the order of becoming ready
or of waiting; priority and stamp together decide every place. Time is a count of instructions; kernel work is charged
to it here and nowhere else.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from fluke_async.abi.codes import ObjectType
from fluke_async.abi.entry_point import EntryPoint
from fluke_async.abi.entry_points import BY_NUMBER, COMPLETION_COST, STAGE_COST
from fluke_async.abi.registers import ENTRY_POINT, STATUS
from fluke_async.kernel.account import Account
from fluke_async.kernel.donation import Request, announce, ask, note_donors, pay, renew_time, withdraw
from fluke_async.kernel.objects.base import Lender
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Continuation
from fluke_async.kernel.ordered_queue import OrderedQueue
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS, UNPACKED_WAITS_MAX
from fluke_async.kernel.priority import renew
from fluke_async.kernel.statistics import Counters
from fluke_async.kernel.trace import Event, Trace
from fluke_async.kernel.turns import Turns

if TYPE_CHECKING:
    from fluke_async.kernel.objects.base import KernelObject
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.space import Space

ECALL_SIZE = 4
PC_MASK = (1 << 64) - 1
new_tuple = tuple.__new__  # what a named tuple's own constructors call at last


class Scheduler:
    """The threads of one kernel. `attention` is raised when somebody outside has to look before guest code runs on."""

    def __init__(self, trace: Trace | None, turns: Turns | None = None) -> None:
        self.trace = trace
        self.turns = turns  # None: one hart, on which the first of the ready runs
        self.time = 0
        self.stamp = 0
        self.current: Thread | None = None
        self.ready = OrderedQueue()
        self.statistics = Counters()
        self.attention = False
        self.links_ranked = 0  # work of the host's that the hart has not allowed for yet
        self.unfinished: Thread | None = None  # in a call that was cut off at a marked point, and goes on first
        self.unsettled: list[tuple[int, int, Port | Thread]] = []  # who has to look before the next thread runs
        self.sensitive: dict[Thread, None] = {}  # donors that are to look when somebody calls at their port sets
        self._waits: deque[tuple[Thread, int]] = deque()

    def chosen(self) -> Thread | None:
        """The thread that is to go on now; None if none is ready."""
        return self.ready.head() if self.turns is None else self.turns.choose(self)

    # -- order --------------------------------------------------------------------------------------------------

    def new_stamp(self) -> int:
        """A stamp later than all before."""
        self.stamp += 1
        return self.stamp

    def make_ready(self, thread: Thread) -> None:
        """Put a thread behind the ready ones of its priority; a stopped one gets its stamp too."""
        self.stamp += 1
        thread.run_order = self.stamp
        self.take_place(thread)

    def take_place(self, thread: Thread) -> None:
        """Put a thread in no queue where its state says: it is ready, or asks its scheduler for time, or neither."""
        if not thread.runnable:
            return
        if thread.scheduler is not None and thread.donors is None:
            ask(self, thread)
        else:
            self.ready.push((-thread.effective_priority, thread.run_order, thread))
            if thread.in_call:  # it was cut off at a marked point, and nothing was to happen before it goes on
                thread.in_call = False
                self.unfinished = self.unfinished or thread

    def leave_place(self, thread: Thread) -> None:
        """Take a thread that does not wait out of its queue, if it is in one; who gives it time looks."""
        place = thread.place
        if place is not None:
            (place.port.queue() if isinstance(place, Request) else self.ready).remove(thread)
        if thread.donors is not None:
            note_donors(self, thread)

    def end_quantum(self, thread: Thread) -> None:
        """Put the running thread behind the others of its priority, with a new time slice."""
        thread.quantum_left = QUANTUM_INSTRUCTIONS
        self.leave_place(thread)
        self.make_ready(thread)
        self.statistics.quanta_ended += 1
        if self.trace is not None:
            self.trace((self.time, Event.QUANTUM, thread.hash))

    def stop(self, thread: Thread) -> None:
        """Stop a thread at once, wherever it is; a waiter keeps its place in line, and will ask its device anew."""
        thread.drop_stack()
        thread.request = None
        thread.stopped = True
        renew_time(self, thread)
        thread.in_kernel = False
        if self.unfinished is thread:
            self.unfinished = None
            thread.in_call = True
        if self.trace is not None:
            self.trace((self.time, Event.STOP, self._by(), thread.hash))

    def start(self, thread: Thread) -> None:
        """Let a stopped thread go on; one that has never been ready comes last."""
        assert thread.stopped
        thread.stopped = False
        target = thread.waiting_for
        if target is not None:
            thread.in_call = False
            if thread.interruptible:  # an interrupt came while it was stopped
                thread.drop_call(self)
                self.wake(thread)
            elif not target.expects(self, thread):  # type: ignore[arg-type]  # it is a Core's
                self.wake(thread)  # what it waits for has gone meanwhile
            else:
                renew_time(self, thread)
        else:
            if thread.run_order == 0 and thread.exception is None:  # who is stopped by a mistake does not become ready
                thread.run_order = self.new_stamp()
            self.take_place(thread)
        if self.trace is not None:
            self.trace((self.time, Event.START, self._by(), thread.hash))

    def reorder(self, thread: Thread, priority: int, wait_order: int) -> None:
        """Change what decides a thread's place, and its place with it; who waits has an order."""
        if thread.waiting_for is not None and not wait_order:
            wait_order = self.new_stamp()
        thread.priority, thread.wait_order = priority, wait_order
        self.rank(thread, thread.effective_priority)
        renew(self, thread)

    def rank(self, thread: Thread, priority: int) -> None:
        """Give a thread an effective priority, and the place that follows from it."""
        thread.effective_priority = priority
        target = thread.waiting_for
        if target is not None:
            target.queue().remove(thread)
            self._stand_in_line(thread, target)
        elif thread.place is not None:
            self.leave_place(thread)
            self.take_place(thread)

    def enter_space(self, thread: Thread, space: Space) -> None:
        """Give a thread an address space."""
        thread.space = space
        space.account.threads[thread] = None

    def leave_space(self, thread: Thread) -> None:
        """Take a thread's address space away: it cannot run."""
        if thread.space is not None:
            del thread.space.account.threads[thread]
            thread.space = None
        renew_time(self, thread)

    def settle(self, account: Account) -> None:
        """An account is halted, or not any more: its threads leave or take their places, and somebody outside looks."""
        for thread in account.threads:
            if thread.waiting_for is not None or thread.place is None:
                renew_time(self, thread)
            elif account.is_halted:
                self.leave_place(thread)
                if self.unfinished is thread:
                    thread.drop_stack()
                    thread.in_call, self.unfinished = True, None
        self.attention = True

    def _by(self) -> int:
        return 0 if self.current is None else self.current.hash

    def charge(self, cost: int) -> None:
        """Kernel work was committed: the clock and the running thread pay."""
        self.time += cost
        if self.current is not None:
            self.current.quantum_left -= cost
            if self.current.donors is not None:
                pay(self, self.current, cost)

    # -- waits --------------------------------------------------------------------------------------------------

    def park(self, thread: Thread, target: KernelObject) -> None:
        """
        Make a thread wait for `target`, in order; its registers must name what remains to be done.

        The stamp is given at the first wait of a stage and kept when the thread has to wait again.
        """
        if thread.place is not None:
            self.leave_place(thread)
        thread.waiting_for = target
        thread.asked = False
        thread.in_kernel = False
        if not thread.wait_order:
            thread.wait_order = self.new_stamp()
        thread.run_order = 0
        self._stand_in_line(thread, target)
        if isinstance(target, Lender) and target.heir is not None:
            renew(self, target.heir)
        if self.sensitive and target.type is ObjectType.PORT:
            announce(self, target)  # type: ignore[arg-type]  # its type says so
        self._waits.append((thread, thread.wait_order))
        if len(self._waits) > UNPACKED_WAITS_MAX:
            self._pack_who_waits_longest()
        self.statistics.waits += 1
        if self.trace is not None:
            where = (self.entry_name(thread), target.type.name, target.hash, thread.wait_order)
            self.trace((self.time, Event.WAIT, thread.hash, *where))

    def _pack_who_waits_longest(self) -> None:
        """A thread that still waits when many others have come to wait keeps its registers packed."""
        early, wait_order = self._waits.popleft()
        if early.waiting_for is not None and early.wait_order == wait_order:
            early.pack()

    def _stand_in_line(self, thread: Thread, target: KernelObject) -> None:
        record = (-thread.effective_priority, thread.wait_order, thread, target)
        target.queue().push(new_tuple(Continuation, record))

    def unpark(self, thread: Thread) -> None:
        """End a wait without readying the thread."""
        self._leave_line(thread)
        if thread.question is not None:
            if not thread.question.in_call:
                thread.wait_order = 0  # it was that of the question alone
            thread.question = None

    def _leave_line(self, thread: Thread) -> None:
        target = thread.waiting_for
        if target is not None:
            if thread.donee is not None:
                withdraw(self, thread)
            target.queue().remove(thread)
            thread.waiting_for = None
            thread.request = None  # it lives as long as the wait
            if target.ends_stage:
                thread.wait_order = 0
            if isinstance(target, Lender) and target.heir is not None:
                renew(self, target.heir)

    def wake(self, thread: Thread) -> None:
        """End a wait: the operation looks again at its condition, or the instruction that failed is tried again."""
        if self.trace is not None:
            self.trace((self.time, Event.WAKE, thread.hash, self.entry_name(thread)))
        in_call = thread.question is None or thread.question.in_call
        self.unpark(thread)
        thread.in_kernel = in_call and not thread.stopped
        self.make_ready(thread)

    def complete(self, thread: Thread, status: int) -> None:
        """
        Finish another thread's call: its result registers are set, its program counter moves on, now.

        A kept stack is closed, for there is nothing left that it could do.
        """
        if self.trace is not None:
            name = self.entry_name(thread)
            self.trace((self.time, Event.COMPLETE, thread.hash, name, status))
        self.unpark(thread)
        thread.registers[STATUS] = status
        thread.pc = (thread.pc + ECALL_SIZE) & PC_MASK
        thread.wait_order = 0
        thread.in_kernel = False
        if thread.stack is not None:
            thread.stack.close()
            thread.stack = None
        self.statistics.completions += 1
        self.make_ready(thread)
        self.charge(COMPLETION_COST)

    def finish(self, thread: Thread, entry: EntryPoint, status: int) -> None:
        """The running thread's call is done."""
        thread.registers[STATUS] = status
        thread.pc = (thread.pc + ECALL_SIZE) & PC_MASK
        thread.wait_order = 0
        thread.in_kernel = False
        self.time += entry.cost
        thread.quantum_left -= entry.cost
        if thread.donors is not None:
            pay(self, thread, entry.cost)
        if self.trace is not None:
            self.trace((self.time, Event.FINISH, thread.hash, entry.name, status))

    def enter_stage(self, thread: Thread, number: int) -> None:
        """Commit a stage of the running thread's call: what remains is entry point `number`."""
        thread.registers[ENTRY_POINT] = number
        thread.wait_order = 0
        self.charge(STAGE_COST)
        if self.trace is not None:
            self.trace((self.time, Event.STAGE, thread.hash, BY_NUMBER[number].name))

    def advance(self, thread: Thread, number: int, waiting_for: KernelObject) -> None:
        """Move a parked thread's call on to another stage and another wait, or just its question; it stays parked."""
        if thread.question is None:
            thread.registers[ENTRY_POINT] = number
        if waiting_for is not thread.waiting_for:
            self._leave_line(thread)
            thread.waiting_for = waiting_for
            self._stand_in_line(thread, waiting_for)
        if self.trace is not None:
            self.trace((self.time, Event.ADVANCE, thread.hash, self.entry_name(thread)))

    def entry_name(self, thread: Thread) -> str:
        """The name of the call that a thread's registers speak of, or of what it waits for besides."""
        if thread.question is not None:
            return "exception" if thread.fault is None else "fault"
        entry = BY_NUMBER.get(thread.registers[ENTRY_POINT])
        return "?" if entry is None else entry.name
