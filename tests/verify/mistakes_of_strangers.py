"""
Mistakes by somebody who knows the kernel's code and not the check: what is kept beside the state, or left out of it.

As in `mistakes`: each replaces a function of the kernel. The first keep progress where a restart does not find it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluke_async.abi.codes import FAULT_IN_CALL, MessageKind, Status, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A6, PORT_ALIAS, PROGRESS_WORDS
from fluke_async.execution import dispatcher, hart
from fluke_async.kernel import connection, donation, ipc, reliable, scheduler, scheduling
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects import thread_state
from fluke_async.kernel.objects.base import KernelObject, StateBits
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex, mutex_lock
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.suspension import COPY
from tests.verify.mistakes import replace_exported, replace_handler

ASKED = int(ThreadFlags.ASKED)
ALERTS = int(ThreadFlags.PENDING_CLIENT_ALERT | ThreadFlags.PENDING_SERVER_ALERT)
SENDERS = int(ThreadFlags.CLIENT_SENDER | ThreadFlags.SERVER_SENDER)
FLOATING_FLAGS = 0x1F

# -- progress beside the state ------------------------------------------------------------------------------------


def reply_counted_beside_the_server() -> None:
    """How much of a reply has arrived stands in a table of the kernel's; what is left, in the server's registers."""
    original = ipc.move_reply_chunk
    moved: dict[Thread, int] = {}

    def move_reply_chunk(core: Core, server: Thread) -> bool:
        before = server.registers[PROGRESS_WORDS]
        server.registers[PROGRESS_WORDS] = moved.pop(server, before)
        whole = original(core, server)
        if not whole:
            moved[server] = server.registers[PROGRESS_WORDS]
            server.registers[PROGRESS_WORDS] = before
        return whole

    ipc.move_reply_chunk = move_reply_chunk


def words_of_a_connection_counted_beside_the_receiver() -> None:
    """How many words a receiver has got is put into its registers when a message is whole; its buffer moves at once."""
    original = reliable.move_chunk
    counted: dict[Thread, int] = {}

    def move_chunk(core: Core, sender: Thread, receiver: Thread) -> Any:
        before = receiver.registers[PROGRESS_WORDS]
        receiver.registers[PROGRESS_WORDS] = counted.pop(receiver, before)
        outcome = original(core, sender, receiver)
        if outcome is COPY:
            counted[receiver] = receiver.registers[PROGRESS_WORDS]
            receiver.registers[PROGRESS_WORDS] = before
        return outcome

    reliable.move_chunk = move_chunk


def alias_set_with_the_last_chunk() -> None:
    """At which port a request came is kept by the kernel, until the request is whole."""
    note_arrival, accept_request = connection.note_arrival, ipc.accept_request
    aliases: dict[Thread, int] = {}

    def note(server: Thread, port: Port, kind: MessageKind) -> None:
        before = server.registers[PORT_ALIAS]
        note_arrival(server, port, kind)
        aliases[server], server.registers[PORT_ALIAS] = port.alias, before

    def accept(core: Core, client: Thread, server: Thread) -> None:
        server.registers[PORT_ALIAS] = aliases.pop(server, server.registers[PORT_ALIAS])
        accept_request(core, client, server)

    connection.note_arrival, ipc.accept_request = note, accept


def round_of_a_scan_kept_beside_the_thread() -> None:
    """Which round of questions a thread has begun is told when the whole region has been looked through."""
    original = dispatcher.ROWS[BY_NAME["region_changed"].number].handler
    rounds: dict[Thread, int] = {}

    def region_changed(core: Core, thread: Thread) -> int | None:
        before = thread.registers[A6]
        thread.registers[A6] = rounds.pop(thread, before)
        status: int | None = original(core, thread)
        if status is None:
            rounds[thread], thread.registers[A6] = thread.registers[A6], before
        return status

    replace_handler("region_changed", region_changed)


def time_used_not_committed() -> None:
    """What a donee has used is counted by the kernel, and taken from its donor's register when that call ends."""
    original, withdraw, quantum_left = donation.pay, donation.withdraw, donation.quantum_left
    used: dict[Thread, int] = {}

    def left(donor: Thread) -> int:
        return quantum_left(donor) - used.get(donor, 0)

    def pay(core: Core, thread: Thread, cost: int) -> None:
        quanta = {}
        link = thread
        while link.donors is not None:
            link = donation.first_donor(link)
            quanta[link] = link.registers[donation.QUANTUM]
            used[link] = used.get(link, 0) + cost
            if left(link) <= 0:
                donation.note(core, link)
        original(core, thread, 0)
        for donor, quantum in quanta.items():
            donor.registers[donation.QUANTUM] = quantum

    def end(core: Core, donor: Thread) -> None:
        donor.registers[donation.QUANTUM] = left(donor) % donation.WORD
        used.pop(donor, None)
        withdraw(core, donor)

    for module in (donation, scheduler, scheduling, hart):
        for name, function in {"pay": pay, "quantum_left": left, "withdraw": end}.items():
            if name in module.__dict__:
                module.__dict__[name] = function


def owner_told_when_it_runs() -> None:
    """Whoever a mutex is handed to is its owner at once; that its call is done, it finds out when it runs."""
    told: set[Thread] = set()

    def hand_over(self: Mutex, core: Core) -> None:
        while (waiter := self.first_waiter()) is not None:
            named = self._is_locked_by_call(core, waiter)
            core.wake(waiter)
            if named:
                self.own(core, waiter)
                told.add(waiter)
                return
        self.own(core, None)

    async def lock(core: Core, thread: Thread) -> int:
        if thread in told:
            told.remove(thread)
            return Status.SUCCESS
        return await mutex_lock(core, thread)

    Mutex.hand_over = hand_over  # type: ignore[method-assign]
    replace_handler("mutex_lock", lock)


def destination_kept_across_the_wait() -> None:
    """A call that has waited for a server goes on with the port that it had found before."""
    original = connection.destination
    kept: dict[Thread, Port | None] = {}

    def destination(core: Core, thread: Thread) -> Port | None:
        if not (thread.in_kernel and thread in kept):
            kept[thread] = original(core, thread)
        return kept[thread]

    for module in (ipc, reliable):
        module.__dict__["destination"] = destination


# -- what the state leaves out ------------------------------------------------------------------------------------


def request_for_time_not_exported() -> None:
    """That a thread's scheduler knows of it is not in its state: it asks again."""
    replace_exported("flags", lambda flags: flags & ~ASKED)


def server_of_a_connection_not_exported() -> None:
    """A client names its server while it waits for it, not while it computes."""
    original = Thread.export_link

    def export_link(self: Thread, name: str) -> KernelObject | None:
        return None if name == "server" and self.waiting_for is None else original(self, name)

    Thread.export_link = export_link  # type: ignore[method-assign, assignment]


def sender_of_a_connection_not_exported() -> None:
    """The links of a connection are exported, and not which end of it is the sender."""
    replace_exported("flags", lambda flags: flags & ~SENDERS)


def alerts_not_exported() -> None:
    """Of what is pending, the interrupt is exported, and the alerts are not."""
    replace_exported("flags", lambda flags: flags & ~ALERTS)


def floating_flags_not_exported() -> None:
    """The rounding mode is exported; which exceptions of floating point there have been is not."""
    replace_exported("fcsr", lambda fcsr: fcsr & ~FLOATING_FLAGS)


def order_at_a_condition_not_exported() -> None:
    """Who waits for a mutex has an order in its state, who waits for a condition has none."""
    replace_order(lambda thread: not isinstance(thread.waiting_for, Cond))


def place_of_a_broadcast_not_exported() -> None:
    """Who does not wait has no order: a broadcast that is cut off takes a new place."""
    replace_order(lambda thread: thread.waiting_for is not None)


def fault_of_a_call_exported_as_the_programs() -> None:
    """A thread that waits for a page is exported as if an instruction of its own had wanted it."""
    replace_exported("fault_access", lambda access: access & ~FAULT_IN_CALL)


def inheritor_not_exported() -> None:
    """A condition's state does not say whom its waiters lend their priority."""
    Cond.export_link = lambda _self, _name: None  # type: ignore[method-assign, assignment]


def server_entries_not_exported() -> None:
    """Where a server goes on is exported without the entry for one-way messages."""
    replace_exported("server_oneway_pc", lambda _: 0)


def replace_order(is_kept: Callable[[Thread], bool]) -> None:
    """Export a thread's order if it is kept, and else none."""
    original = thread_state.export_bits

    def export_bits(thread: Thread) -> StateBits:
        bits = original(thread)
        return bits if is_kept(thread) else {**bits, "wait_order": 0}

    thread_state.export_bits = export_bits


# -- what somebody waits for --------------------------------------------------------------------------------------


def request_for_time_taken_for_received() -> None:
    """A thread counts as having asked its scheduler when it stands at the port, before a server has received that."""
    original = donation.ask

    def ask(core: Core, thread: Thread) -> None:
        original(core, thread)
        thread.asked = thread.place is not None

    donation.ask = ask  # type: ignore[assignment]
    scheduler.__dict__["ask"] = ask


def notes_of_a_start_dropped() -> None:
    """Who starts notes nobody: there was nothing to be looked at when it was stopped."""
    original = Core.start

    def start(self: Core, thread: Thread) -> None:
        noted = list(self.unsettled)
        original(self, thread)
        self.unsettled[:] = noted

    Core.start = start  # type: ignore[method-assign, assignment]


def wake_up_of_a_stopped_thread_put_off() -> None:
    """A wake-up that reaches a stopped waiter is kept for its start."""
    wake, start = Core.wake, Core.start
    put_off: set[Thread] = set()

    def wake_or_not(self: Core, thread: Thread) -> None:
        if thread.stopped and self.current is not None and thread.waiting_for is not None and thread.waiting_for.active:
            put_off.add(thread)
        else:
            wake(self, thread)

    def start_and_wake(self: Core, thread: Thread) -> None:
        start(self, thread)
        if thread in put_off:
            put_off.remove(thread)
            wake(self, thread)

    Core.wake, Core.start = wake_or_not, start_and_wake  # type: ignore[method-assign, assignment]


def first_donor_is_the_first_that_came() -> None:
    """Of several who give a thread time, it uses that of the one whose link was made first."""

    def first_donor(thread: Thread) -> Thread:
        assert thread.donors is not None
        return next(iter(thread.donors))

    donation.first_donor = first_donor


MISTAKES: tuple[Callable[[], None], ...] = (
    reply_counted_beside_the_server,
    words_of_a_connection_counted_beside_the_receiver,
    alias_set_with_the_last_chunk,
    round_of_a_scan_kept_beside_the_thread,
    time_used_not_committed,
    owner_told_when_it_runs,
    destination_kept_across_the_wait,
    request_for_time_not_exported,
    server_of_a_connection_not_exported,
    sender_of_a_connection_not_exported,
    alerts_not_exported,
    floating_flags_not_exported,
    order_at_a_condition_not_exported,
    place_of_a_broadcast_not_exported,
    fault_of_a_call_exported_as_the_programs,
    inheritor_not_exported,
    server_entries_not_exported,
    request_for_time_taken_for_received,
    notes_of_a_start_dropped,
    wake_up_of_a_stopped_thread_put_off,
    first_donor_is_the_first_that_came,
)
