"""
More mistakes to be planted, by somebody who has not read what is to find them.

As in `mistakes`: each replaces a function of the kernel for the rest of its process, and what it does to a program that
runs undisturbed is little or nothing. A first group leaves something out of the state, a second uses the state wrongly
when a thread starts again, a third does work in order to export, and a fourth lets the execution models differ.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from fluke_async.abi.codes import ExceptionCode, Status, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, A7, ENTRY_POINT, PROGRESS_WORDS, SEND_BUFFER, SEND_WORDS
from fluke_async.execution import dispatcher
from fluke_async.kernel import connection, ipc
from fluke_async.kernel.core import Core
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects import thread_state
from fluke_async.kernel.objects.base import KernelObject, Links, StateBits
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.priority import lend
from fluke_async.kernel.suspension import COPY, WAIT
from tests.verify.mistakes import replace_exported, replace_handler

DECODING_COST = 10
IN_CALL = int(ThreadFlags.IN_CALL)
SERVING = ("ipc_reply", "ipc_reply_wait_receive", "ipc_setup_wait_receive", "ipc_wait_receive", "ipc_request_receive")

# -- what the state leaves out ------------------------------------------------------------------------------------


def cut_off_call_not_exported() -> None:
    """A thread that was stopped at a marked point is exported as if it had not begun its call: it may lose its turn."""
    replace_exported("flags", lambda flags: int(flags) & ~IN_CALL)


def registration_of_a_working_server_not_exported() -> None:
    """A thread's port set is exported while it waits there, not while it works on a request and will come back."""
    original = thread_state.export_bits

    def export_bits(thread: Thread) -> StateBits:
        bits = original(thread)
        return bits if isinstance(thread.waiting_for, Portset) else {**bits, "server_portset": 0}

    thread_state.export_bits = export_bits


def client_of_a_working_server_not_exported() -> None:
    """The link from a server to its client is exported while they are copying, not from the request to the reply."""
    original = Thread.export_link

    def export_link(self: Thread, name: str) -> KernelObject | None:
        if name == "client" and self.registers[ENTRY_POINT] != connection.REQUEST_RECEIVE:
            return None
        return original(self, name)

    Thread.export_link = export_link  # type: ignore[assignment, method-assign]


def saved_entry_point_taken_from_its_register() -> None:
    """The a7 that a handler has saved is exported as a7 is now: right until the handler makes a call of its own."""
    original = thread_state.export_bits

    def export_bits(thread: Thread) -> StateBits:
        bits = original(thread)
        return bits if thread.exceptions_enabled else {**bits, "saved_a7": thread.registers[A7]}

    thread_state.export_bits = export_bits


def rounding_mode_not_exported() -> None:
    """The floating-point registers are exported without their control register."""
    replace_exported("fcsr", lambda _: 0)


# -- what becomes of the state when a thread starts again ---------------------------------------------------------


def pending_interrupt_not_loaded() -> None:
    """An interrupt that was posted and not yet taken stands in the state, and is not read from there."""
    original = thread_state._load_bits

    def load_bits(core: Core, thread: Thread, bits: StateBits) -> None:
        original(core, thread, bits)
        thread.pending = 0

    thread_state._load_bits = load_bits


def priority_not_lent_by_a_loaded_mutex() -> None:
    """A mutex is given its owner before its flags, so that it does not lend to the owner that it is loaded with."""
    original = Mutex.import_state

    def import_state(self: Mutex, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        original(self, core, by, bits, links)
        lend(core, self, self.owner, None)

    Mutex.import_state = import_state  # type: ignore[method-assign]


def lock_of_a_dead_owner_not_loaded() -> None:
    """A mutex that is loaded with no owner is loaded as a free one."""
    original = Mutex.import_state

    def import_state(self: Mutex, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        if bits is not None and "owner" in links and links["owner"] is None:
            bits = {**bits, "locked": 0}
        original(self, core, by, bits, links)

    Mutex.import_state = import_state  # type: ignore[method-assign]


def order_of_ready_threads_not_kept() -> None:
    """A thread that starts comes last among those of its priority, also where it was the one that ran."""
    original = Core.start

    def start(self: Core, thread: Thread) -> None:
        thread.run_order = 0
        original(self, thread)

    Core.start = start  # type: ignore[method-assign,assignment]


def waiter_looks_again_when_it_starts() -> None:
    """A parked thread that starts is woken, which is always safe; but it is not what would have happened."""
    original = Core.start

    def start(self: Core, thread: Thread) -> None:
        original(self, thread)
        if thread.waiting_for is not None and thread.request is None:
            self.wake(thread)

    Core.start = start  # type: ignore[method-assign,assignment]


def device_not_asked_again() -> None:
    """A thread that starts in a call to a device waits for the answer to a request that was made in another life."""

    def expects(self: Port, core: Core, thread: Thread) -> bool:
        return self.active

    Port.expects = expects  # type: ignore[method-assign]


def connection_known_to_the_client_alone() -> None:
    """A client that begins anew in the middle of its request does not look for the server that is receiving it."""

    def former_server(core: Core, thread: Thread, port: Port) -> Thread | None:
        return None

    ipc.__dict__["former_server"] = former_server


# -- what is done in order to export ------------------------------------------------------------------------------


def request_finished_before_the_stop() -> None:
    """A client that is stopped while its request is being copied has the rest of it copied first."""
    original = Core.stop

    def stop(self: Core, thread: Thread) -> None:
        server = thread.callee
        if server is not None and server.registers[ENTRY_POINT] == connection.REQUEST_RECEIVE:
            with suppress(ProgramException):
                while not ipc.move_request_chunk(self, thread, server):
                    pass
        original(self, thread)

    Core.stop = stop  # type: ignore[method-assign,assignment]


def answer_awaited_before_the_stop() -> None:
    """A thread that is stopped in a call to a device is waited for; a sleeper, until it has slept."""
    original = Core.stop

    def stop(self: Core, thread: Thread) -> None:
        while thread.request is not None and (instant := self.timeline.next_time) is not None:
            self.time = max(self.time, instant)
            self.act()
        original(self, thread)

    Core.stop = stop  # type: ignore[method-assign,assignment]


# -- what the execution models see of each other ------------------------------------------------------------------


def decoding_charged() -> None:
    """A call pays for its decoding whenever it is dispatched, hence for every restart."""

    def charging(handler: Any) -> Any:
        async def charged(core: Core, thread: Thread) -> Any:
            core.charge(DECODING_COST)
            return await handler(core, thread)

        return charged

    for name in ("mutex_lock", "cond_wait", "ipc_call", *SERVING):
        replace_handler(name, charging(dispatcher.ROWS[BY_NAME[name].number].handler))


def reply_committed_after_the_marked_point() -> None:
    """A reply's progress is put into the server's registers after the marked point, not before."""

    async def serve(core: Core, thread: Thread) -> int:
        while (stage := thread.registers[ENTRY_POINT]) in (connection.REPLY, connection.REPLY_WAIT_RECEIVE):
            registers = thread.registers
            before = [registers[number] for number in (SEND_BUFFER, SEND_WORDS, PROGRESS_WORDS)]
            if not ipc.move_reply_chunk(core, thread):
                after = [registers[number] for number in (SEND_BUFFER, SEND_WORDS, PROGRESS_WORDS)]
                registers[SEND_BUFFER], registers[SEND_WORDS], registers[PROGRESS_WORDS] = before
                await COPY
                registers = thread.registers
                registers[SEND_BUFFER], registers[SEND_WORDS], registers[PROGRESS_WORDS] = after
            elif stage == connection.REPLY:
                return Status.SUCCESS
            else:
                registers[PROGRESS_WORDS] = 0
                core.enter_stage(thread, connection.WAIT_RECEIVE)
        return await ipc.serve(core, thread)

    for name in SERVING:
        replace_handler(name, serve)


def mutex_looked_up_once() -> None:
    """`mutex_lock` keeps the mutex that it has found, and after a wait takes it, though it may be gone by then."""

    async def mutex_lock(core: Core, thread: Thread) -> int:
        mutex = object_at(core, thread, thread.registers[A0], Mutex)
        if mutex.owner is thread:
            raise ProgramException(thread, ExceptionCode.MUTEX_LOCKED, thread.registers[A0])
        while mutex.locked:
            core.park(thread, mutex)
            await WAIT
        mutex.own(core, thread)
        return Status.SUCCESS

    replace_handler("mutex_lock", mutex_lock)


MISTAKES: tuple[Callable[[], None], ...] = (
    cut_off_call_not_exported,
    registration_of_a_working_server_not_exported,
    client_of_a_working_server_not_exported,
    saved_entry_point_taken_from_its_register,
    rounding_mode_not_exported,
    pending_interrupt_not_loaded,
    priority_not_lent_by_a_loaded_mutex,
    lock_of_a_dead_owner_not_loaded,
    order_of_ready_threads_not_kept,
    waiter_looks_again_when_it_starts,
    device_not_asked_again,
    connection_known_to_the_client_alone,
    request_finished_before_the_stop,
    answer_awaited_before_the_stop,
    decoding_charged,
    reply_committed_after_the_marked_point,
    mutex_looked_up_once,
)
