"""
Mistakes by somebody who knows the kernel's code and not the check: an effect that comes before the last thing that can
go wrong.

As in `mistakes`: each replaces a function of the kernel for the rest of its process. Where no page is missing, what
they do is the same in the end; what is cut off by one that is, or by whoever reads the state out there, is done twice
or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import COPY_CHUNK_WORDS, WORD_SIZE, ExceptionCode, MessageKind, Status, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.abi.registers import A0, A1
from fluke_async.execution import dispatcher
from fluke_async.kernel import ipc, region_scan, user_memory
from fluke_async.kernel.buffers import RECEIVING, SENDING, go_to, length, position
from fluke_async.kernel.connection import enter_server, is_calling, note_received
from fluke_async.kernel.core import Core
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.message import hand_over, move_words, pass_references, references_between
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects import thread_state
from fluke_async.kernel.objects.cond import MUTEX_LOCK, Cond
from fluke_async.kernel.objects.mutex import Mutex, mutex_lock
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.suspension import WAIT
from fluke_devices.console import OK, Console
from tests.verify.mistakes import replace_handler

STOPPED = int(ThreadFlags.STOPPED)

# -- messages -----------------------------------------------------------------------------------------------------


def reply_committed_before_it_is_copied() -> None:
    """A reply's progress is in the server's registers when the words go; should they not go, they count as gone."""
    original = ipc.move_reply_chunk

    def move_reply_chunk(core: Core, server: Thread) -> bool:
        client, registers = server.served, server.registers
        is_plain = not registers[reg.SEND_BUFFER_COUNT]
        if client is None or not is_calling(client, server) or client.question is not None or not is_plain:
            return original(core, server)
        left, room = length(core, server, SENDING), length(core, client, RECEIVING)
        done = min(registers[reg.PROGRESS_WORDS], room)
        words = min(left, room - done, core.chunk_words)
        address = registers[reg.SEND_BUFFER]
        go_to(server, SENDING, position(core, server, SENDING, words))
        registers[reg.PROGRESS_WORDS] = done + words
        user_memory.copy_words(
            core, server, address, client, client.registers[reg.RECEIVE_BUFFER] + done * WORD_SIZE, words
        )
        if done + words < room and words < left:
            return False
        return original(core, server)

    ipc.move_reply_chunk = move_reply_chunk


def client_released_before_its_references_are_found() -> None:
    """A server that has sent all words of its reply serves nobody any more, while references are still to be passed."""

    def move_reply_chunk(core: Core, server: Thread) -> bool:
        client = server.served
        if client is not None and is_calling(client, server) and server.registers[reg.SEND_REFERENCE_COUNT]:
            words = length(core, server, SENDING)
            if words <= min(length(core, client, RECEIVING), core.chunk_words):
                move_words(core, server, client, 0, 0, words)
                server.release()
                pass_references(core, server, client)
                note_received(client, position(core, client, RECEIVING, words), words)
                core.complete(client, Status.SUCCESS)
                return True
        return original(core, server)

    original = ipc.move_reply_chunk
    ipc.move_reply_chunk = move_reply_chunk


def arrival_committed_before_references() -> None:
    """A request that has come counts as received before its references are looked up."""

    def accept_request(core: Core, client: Thread, server: Thread) -> None:
        done = server.registers[reg.PROGRESS_WORDS]
        note_received(server, position(core, server, RECEIVING, done), done)
        pass_references(core, client, server)
        server.registers[reg.MESSAGE_KIND] = MessageKind.IDEMPOTENT
        enter_server(server)

    ipc.accept_request = accept_request


def one_way_message_counted_before_it_moves() -> None:
    """The words of a one-way message count as received, and then they are copied."""

    def receive_one_way(core: Core, client: Thread, server: Thread, alias: int) -> None:
        words = min(length(core, client, SENDING), length(core, server, RECEIVING), COPY_CHUNK_WORDS)
        passed = references_between(core, client, server)
        into, source = server.registers[reg.RECEIVE_BUFFER], client.registers[reg.SEND_BUFFER]
        note_received(server, position(core, server, RECEIVING, words), words)
        user_memory.copy_words(core, client, source, server, into, words)
        hand_over(server, passed)
        server.registers[reg.PORT_ALIAS] = alias
        server.registers[reg.MESSAGE_KIND] = MessageKind.ONE_WAY
        enter_server(server)

    ipc.receive_one_way = receive_one_way


# -- other calls --------------------------------------------------------------------------------------------------


def found_objects_written_last() -> None:
    """A search of a region moves its arguments on, and then writes what it has found."""
    original, write = region_scan._commit, user_memory.write

    def _commit(core: Core, thread: Thread, found: list[bytes], progress: tuple[int, int, bool], visits: int) -> Any:
        items, data = thread.registers[region_scan.ITEMS], b"".join(found)
        user_memory.write = lambda *_: None
        try:
            status = original(core, thread, found, progress, visits)
        finally:
            user_memory.write = write
        write(core, thread, items, data)
        return status

    region_scan._commit = _commit


def thread_stopped_before_its_state_has_room() -> None:
    """`thread_get_state` stops its target, and then finds out whether it can write the state anywhere."""
    object_call = dispatcher.ROWS[BY_NAME["thread_get_state"].number].handler
    stopped: set[Thread] = set()  # by calls that have yet to write the state of a thread that was not

    def get_state(core: Core, thread: Thread) -> int | None:
        target, address = object_at(core, thread, thread.registers[A0], Thread), thread.registers[A1]
        if not target.stopped:
            target.on_export(core, thread)
            stopped.add(target)
        status: int | None = object_call(core, thread)
        if address and target in stopped:
            stopped.remove(target)
            bits: dict[str, Any] = dict(thread_state.export_bits(target))
            bits["flags"] &= ~STOPPED
            user_memory.write(core, thread, address, THREAD_STATE.pack(bits))
        return status

    replace_handler("thread_get_state", get_state)


def mutex_unlocked_before_the_condition_is_found() -> None:
    """`cond_wait` unlocks its mutex, and then looks for the condition that it is to wait for."""

    async def cond_wait(core: Core, thread: Thread) -> int:
        while True:
            registers = thread.registers
            if registers[reg.ENTRY_POINT] == MUTEX_LOCK:
                return await mutex_lock(core, thread)
            mutex = object_at(core, thread, registers[A1], Mutex)
            if mutex.owner is not thread:
                raise ProgramException(thread, ExceptionCode.MUTEX_NOT_OWNED, registers[A1])
            mutex.hand_over(core)
            cond = object_at(core, thread, registers[A0], Cond)
            registers[A0] = registers[A1]
            core.enter_stage(thread, MUTEX_LOCK)
            core.park(thread, cond)
            await WAIT

    replace_handler("cond_wait", cond_wait)


def write_done_again_by_the_console() -> None:
    """The console takes a write at an offset that it has been given before for a new one."""
    original = Console._write

    def _write(self: Console, port: Any, request: Any, offset: int, data: bytes) -> None:
        if offset < self._written:
            self._output.write(data)
            request.reply(OK, self._written)
        else:
            original(self, port, request, offset, data)

    Console._write = _write  # type: ignore[method-assign]


MISTAKES: tuple[Callable[[], None], ...] = (
    reply_committed_before_it_is_copied,
    client_released_before_its_references_are_found,
    arrival_committed_before_references,
    one_way_message_counted_before_it_moves,
    found_objects_written_last,
    thread_stopped_before_its_state_has_room,
    mutex_unlocked_before_the_condition_is_found,
    write_done_again_by_the_console,
)
