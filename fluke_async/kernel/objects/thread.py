"""Threads: the only active objects."""

from __future__ import annotations

from array import array
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any

from fluke_async.abi.codes import PRIORITY_DEFAULT, ExceptionCode, ObjectType, ThreadFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.links import break_off, can_go_on
from fluke_async.kernel.objects import packed_registers, thread_state
from fluke_async.kernel.objects.base import KernelObject, Link, Links, StateBits
from fluke_async.kernel.objects.thread_condition import Condition, Continuation, condition_of
from fluke_async.kernel.objects.thread_connections import servers_of
from fluke_async.kernel.objects.thread_state import NO_HANDLERS, NO_WORDS, Fault, Mistake, Question
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.device_request import DeviceRequest
    from fluke_async.kernel.host_calls import HostCalls
    from fluke_async.kernel.objects.base import Lender
    from fluke_async.kernel.objects.mutex import Mutex
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.space import Space
    from fluke_async.kernel.scheduler import Scheduler

WAITABLE = frozenset({ObjectType.THREAD, ObjectType.PORT, ObjectType.PORTSET, ObjectType.MUTEX, ObjectType.COND})
PENDING_INTERRUPT = int(ThreadFlags.PENDING_INTERRUPT)
PENDING_CLIENT_ALERT = int(ThreadFlags.PENDING_CLIENT_ALERT)
PENDING_SERVER_ALERT = int(ThreadFlags.PENDING_SERVER_ALERT)


class Thread(KernelObject):
    """A thread's whole state: what is exported, and below it what only the kernel knows."""

    __slots__ = (
        # Exported, as bits.
        "asked",
        "client_sender",
        "exceptions_enabled",
        "floating",
        "handlers",
        "in_call",
        "pc",
        "pending",
        "priority",
        "quantum_left",
        "question",
        "registers",
        "reliable",
        "run_order",
        "saved",
        "sched_val",
        "server_registration",
        "server_sender",
        "stopped",
        "thread_va",
        "wait_order",
        # Exported, as links.
        "client",
        "scheduler",
        "server",
        "space",
        "waiting_for",
        # Derived from the state of others, or lost without harm.
        "callee",
        "donee",
        "donors",
        "effective_priority",
        "exception",
        "lenders",
        "owned",
        "packed",
        "request",
        "takers",
        # The application's task that owns the thread, where it is one of those.
        "host",
        # The running kernel's own.
        "epoch",
        "in_kernel",
        "place",
        "restarts",
        "stack",
        "stack_epochs",
    )

    type = ObjectType.THREAD
    wrong_type = ExceptionCode.NOT_THREAD
    layout = THREAD_STATE
    links = (
        Link("space", frozenset({ObjectType.SPACE}), ExceptionCode.NOT_SPACE_REF),
        Link("scheduler", frozenset({ObjectType.PORT}), ExceptionCode.NOT_PORT_REF),
        Link("waiting_for", WAITABLE, ExceptionCode.INVALID_STATE),
        Link("client", frozenset({ObjectType.THREAD}), ExceptionCode.NOT_THREAD_REF),
        Link("server", frozenset({ObjectType.THREAD}), ExceptionCode.NOT_THREAD_REF),
    )

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.registers: array[int] | memoryview = packed_registers.NONE[:]
        self.packed: bytes | None = None
        self.floating: array[int] | None = None
        self.pc = 0
        self.thread_va = 0
        self.sched_val = 0
        self.priority = PRIORITY_DEFAULT
        self.stopped = True
        self.asked = False  # its scheduler has received its request
        self.in_call = False  # stopped at a marked point where it could not have been preempted: it goes on first
        self.exceptions_enabled = False
        self.question: Question | None = None  # what it asks a keeper, while it waits for one
        self.pending = 0  # ThreadFlags.PENDING_*, a plain number
        self.wait_order = 0
        self.run_order = 0
        self.quantum_left = QUANTUM_INSTRUCTIONS
        self.handlers = NO_HANDLERS
        self.saved = NO_WORDS  # a0-a2, a7 and pc, while a handler runs
        self.server_registration = NO_WORDS

        self.space: Space | None = None
        self.scheduler: Port | None = None
        self.waiting_for: KernelObject | None = None
        self.client: Thread | None = None  # whose idempotent request this thread serves, or whose server it is
        self.server: Thread | None = None  # of the reliable connection of which this thread is the client
        self.reliable = False  # whether the client is that of a reliable connection
        self.client_sender = False  # as a client, it is the sender
        self.server_sender = False  # as a server

        self.callee: Thread | None = None  # who took this thread's idempotent request, in this kernel
        self.donee: Thread | None = None  # to whom it gives its time, now
        self.donors: dict[Thread, None] | None = None  # who give it theirs
        self.exception: Mistake | None = None  # what has stopped it
        self.owned: set[Mutex] | None = None
        self.effective_priority = PRIORITY_DEFAULT
        self.lenders: set[Lender] | None = None
        self.request: DeviceRequest | None = None
        self.takers: dict[Thread, None] | None = None  # whose client this thread is, were it by their states alone

        self.host: HostCalls | None = None

        self.epoch = 0
        self.in_kernel = False  # the next step is the dispatch of the call that pc is on
        self.place: tuple[Any, ...] | None = None
        self.restarts = 0  # how often an operation was dispatched again from the registers
        self.stack: Coroutine[Any, None, int] | None = None  # process model: the suspended operation
        self.stack_epochs: tuple[int, Thread | None, int] | None = None

    def pack(self) -> None:
        """Keep the registers in as little memory as they need, until somebody looks at them."""
        registers = self.registers
        if isinstance(registers, array):  # else they are in the engine
            self.packed = packed_registers.pack(registers)
            del self.registers

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Registers that were packed come back at the first look; nothing else is ever missing."""
            if name != "registers" or self.packed is None:
                raise AttributeError(f"a thread has no {name!r}")
            packed, self.packed = self.packed, None
            self.registers = packed_registers.unpack(packed)
            return self.registers

    @property
    def condition(self) -> Condition:
        """What the thread is doing."""
        return condition_of(self)

    @property
    def has_time(self) -> bool:
        """Whether the thread may run, if it can."""
        return self.scheduler is None or self.donors is not None

    def set_scheduler(self, port: Port | None) -> None:
        """Be scheduled by a port's servers, or by nobody."""
        if self.scheduler is not None:
            assert self.scheduler.scheduled is not None
            del self.scheduler.scheduled[self]
            self.scheduler.scheduled = self.scheduler.scheduled or None
        self.scheduler = port
        if port is not None:
            port.scheduled = port.scheduled or {}
            port.scheduled[self] = None

    @property
    def is_awake(self) -> bool:
        """Whether nothing keeps the thread from running but what it waits for, and time."""
        space = self.space
        return not (self.stopped or space is None or self.exception or space.account.is_halted)

    @property
    def runnable(self) -> bool:
        """Whether the thread belongs among the ready ones."""
        space = self.space
        return not (self.stopped or space is None or self.exception or self.waiting_for or space.account.is_halted)

    @property
    def interruptible(self) -> bool:
        """Whether something that was posted would be taken."""
        return self.exceptions_enabled and self.deliverable != 0

    @property
    def deliverable(self) -> int:
        """What of that which was posted there is a handler for."""
        handlers = self.handlers
        return self.pending & (
            PENDING_INTERRUPT * (handlers.interrupt != 0)
            | PENDING_CLIENT_ALERT * (handlers.client_alert != 0)
            | PENDING_SERVER_ALERT * (handlers.server_alert != 0)
        )

    @property
    def fault(self) -> Fault | None:
        """The access that the thread asks a region's keeper for."""
        return self.question if isinstance(self.question, Fault) else None

    @property
    def continuation(self) -> Continuation | None:
        """The record of the wait that the thread is in."""
        return self.place if isinstance(self.place, Continuation) else None

    @property
    def server_portset(self) -> int:
        """Address of the port set that the thread serves; 0: none."""
        return self.server_registration[0]

    def drop_stack(self) -> None:
        """Make a kept stack stale: the next dispatch starts from the registers."""
        self.epoch += 1
        if self.stack is not None:
            self.stack.close()
            self.stack = None

    def capture(self, client: Thread) -> None:
        """Begin to serve the idempotent request of `client`, whose call this is."""
        self.link_client(client)
        client.callee = self

    @property
    def served(self) -> Thread | None:
        """Whose idempotent request this thread serves."""
        return None if self.reliable else self.client

    def release(self) -> None:
        """Serve no idempotent request."""
        if not self.reliable:
            self.link_client(None)

    def link_client(self, client: Thread | None, *, reliable: bool = False, sender: bool = False) -> None:
        """Name another client, or none; the one that was named is told."""
        before = self.client
        if before is not None:
            if before.callee is self:
                before.callee = None
            assert before.takers is not None
            del before.takers[self]
            before.takers = before.takers or None
        self.client, self.reliable, self.server_sender = client, reliable, sender
        if client is not None:
            if client.takers is None:
                client.takers = {}
            client.takers[self] = None

    def drop_call(self, core: Scheduler) -> None:
        """Abandon an idempotent call in flight; it will be issued again from the registers."""
        self.request = None
        for server in self.servers():
            server.release()
            if server.waiting_for is self:  # it was receiving the request: it waits for another
                core.wake(server)

    def servers(self) -> list[Thread]:
        """Who has taken this thread's call, or was loaded as one that has, in order."""
        return servers_of(self)

    def export_bits(self) -> StateBits:
        return thread_state.export_bits(self)

    def expects(self, core: Core, thread: Thread) -> bool:
        meets = self.waiting_for is thread and self.question is None and thread.question is None
        return self.active and not (meets and can_go_on(thread, self))  # one of the two has to do the work

    def on_export(self, core: Core, by: Thread) -> None:
        if self is by:
            raise ProgramException(by, ExceptionCode.CURRENT_THREAD, by.thread_va)
        if self.host is None:  # nobody inside could start that one again
            core.stop(self)

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        thread_state.load(core, self, by, bits, links)

    def on_destroy(self, core: Core) -> None:
        self.drop_stack()
        core.unpark(self)
        core.leave_place(self)
        self.set_scheduler(None)
        self.request = None
        for server in self.servers():
            server.release()  # if it waits for this thread, it is among the waiters
        self.release()
        break_off(core, self)
        for taker in tuple(self.takers or ()):  # who named it without being named has no client any more
            taker.link_client(None)
        for mutex in self.owned or ():
            mutex.owner_died()
        self.owned = None
        for lender in self.lenders or ():
            lender.on_borrower_gone()
        self.lenders = None
        if core.unfinished is self:
            core.unfinished = None
        core.leave_space(self)
        if self.host is not None:
            self.host.on_destroyed()
