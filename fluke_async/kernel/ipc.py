"""
Messages: one-way sends, idempotent calls, and the servers that receive and answer them.

All progress is in registers. A call's own registers stay as they are until its reply is there, so that it can be
issued again at any time; how much of a request has arrived stands in the server's `PROGRESS_WORDS`, how much of a
reply has gone out in the same register while the server answers. A message moves in chunks; between two chunks the
thread that copies may be preempted.

Life of a call that finds a server waiting: the client captures it (the server's stage becomes `ipc_server_receive`,
waiting for the client), copies chunk by chunk, completes the server's call, and waits for the server; the server's
reply completes the client's call. If no server waits, the client waits for the port, and the server that comes does
the copying. Facts of the flavours: the manual's chapter 8; that a one-way message carries at most one chunk is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import (
    WORD_SIZE,
    MessageKind,
    Status,
)
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.kernel import user_memory
from fluke_async.kernel.answers import ANSWER_WORDS_MAX, answer_question
from fluke_async.kernel.asking import take_question
from fluke_async.kernel.connection import (
    CALL,
    REPLY,
    REPLY_WAIT_RECEIVE,
    SERVER_RECEIVE,
    WAIT_RECEIVE,
    abandon_client,
    capture,
    destination,
    former_server,
    is_away,
    is_calling,
    note_received,
    served_portset,
    waiting_client,
    waiting_server,
)
from fluke_async.kernel.device_request import device_request
from fluke_async.kernel.message import (
    RECEIVING,
    SENDING,
    check_buffers,
    move_words,
    pass_references,
)
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.suspension import COPY, WAIT
from fluke_async.kernel.translation import READ, WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

SEND = BY_NAME["ipc_send"].number
SETUP_WAIT_RECEIVE = BY_NAME["ipc_setup_wait_receive"].number
ANSWERING = (REPLY, REPLY_WAIT_RECEIVE, SERVER_RECEIVE)  # the stages in which a server is tied to a client


# -- the client's side --------------------------------------------------------------------------------------------


async def ipc_send(core: Core, thread: Thread) -> int:
    """Give a one-way message to the first server, or wait for one."""
    while True:
        check_buffers(core, thread, SENDING, reg.SEND_BUFFER_COUNT, READ)
        port = destination(core, thread)
        if port is None:
            return Status.INVALID_DEST
        if port.receiver is not None:
            core.request(device_request(core, thread, port))
            return Status.SUCCESS
        server = waiting_server(core, port)
        if server is not None:
            receive_one_way(core, thread, server, port.alias)
            core.complete(server, Status.SUCCESS)
            return Status.SUCCESS
        core.park(thread, port)
        await WAIT


async def ipc_call(core: Core, thread: Thread) -> int:
    """Send an idempotent request and wait for its reply; the one who replies completes this call."""
    while True:
        check_buffers(core, thread, SENDING, reg.SEND_BUFFER_COUNT, READ)
        check_buffers(core, thread, RECEIVING, reg.RECEIVE_BUFFER_COUNT, WRITE)
        port = destination(core, thread)
        if port is None:
            thread.drop_call(core)
            return Status.IPC_CONNECT_INVALID_DEST
        if port.receiver is not None:
            thread.request = device_request(core, thread, port)
            core.park(thread, port)
            core.request(thread.request)
            await WAIT
            continue
        server = thread.callee or former_server(core, thread, port) or waiting_server(core, port)
        if server is None:
            core.park(thread, port)
            await WAIT
            continue
        if server.client is not thread or isinstance(server.waiting_for, Portset):
            capture(core, server, thread, port)
            core.advance(server, SERVER_RECEIVE, thread)
        if server.waiting_for is thread and server.registers[reg.ENTRY_POINT] != SERVER_RECEIVE:
            core.park(thread, server)  # this thread was away, and the reply can go on
            core.wake(server)
            await WAIT
            continue
        if server.waiting_for is thread:
            if not move_request_chunk(core, thread, server):
                await COPY
                continue
            accept_request(core, thread, server)
            core.complete(server, Status.SUCCESS)
        core.park(thread, server)
        await WAIT


# -- the server's side --------------------------------------------------------------------------------------------


async def serve(core: Core, thread: Thread) -> int:
    """All receiving entry points and replies: one loop over their stages."""
    while True:
        registers = thread.registers
        stage = registers[reg.ENTRY_POINT]
        client = thread.client
        if client is not None and stage in ANSWERING and is_away(client, thread):
            core.park(thread, client)
            await WAIT
            continue
        if stage in (REPLY, REPLY_WAIT_RECEIVE):
            if not move_reply_chunk(core, thread):
                await COPY
                continue
            if stage == REPLY:
                return Status.SUCCESS
            registers[reg.PROGRESS_WORDS] = 0
            core.enter_stage(thread, WAIT_RECEIVE)
        elif stage == SETUP_WAIT_RECEIVE:
            object_at(core, thread, registers[reg.DESTINATION], Portset)
            thread.server_registration = (registers[reg.DESTINATION], *thread.server_registration[1:])
            core.enter_stage(thread, WAIT_RECEIVE)
        elif stage == WAIT_RECEIVE:
            check_buffers(core, thread, RECEIVING, reg.RECEIVE_BUFFER_COUNT, WRITE)
            portset = served_portset(core, thread)
            abandon_client(core, thread)
            client = waiting_client(core, portset)
            if client is None:
                core.park(thread, portset)
                await WAIT
                continue
            port = client.waiting_for
            assert isinstance(port, Port)
            if client.question is None and client.registers[reg.ENTRY_POINT] == SEND:
                receive_one_way(core, client, thread, port.alias)
                core.complete(client, Status.SUCCESS)
                return Status.SUCCESS
            capture(core, thread, client, port)
            core.enter_stage(thread, SERVER_RECEIVE)
            core.advance(client, CALL, thread)
        else:
            assert stage == SERVER_RECEIVE
            if client is None or not is_calling(client, thread):
                registers[reg.PROGRESS_WORDS] = 0  # the call was abandoned: the next message, then
                core.enter_stage(thread, WAIT_RECEIVE)
                continue
            if client.question is not None:
                if take_question(core, client, thread):
                    return Status.SUCCESS
                abandon_client(core, thread)
                continue
            if not move_request_chunk(core, client, thread):
                await COPY
                continue
            accept_request(core, client, thread)
            return Status.SUCCESS


# -- what passes between the two -----------------------------------------------------------------------------------


def move_request_chunk(core: Core, client: Thread, server: Thread) -> bool:
    """Move a chunk of a request; whether the request is whole."""
    whole = min(client.registers[reg.SEND_WORDS], server.registers[reg.RECEIVE_WORDS])
    done = min(server.registers[reg.PROGRESS_WORDS], whole)  # a program may have put anything there
    done += move_words(core, client, server, done, done)
    server.registers[reg.PROGRESS_WORDS] = done
    return done >= whole


def move_reply_chunk(core: Core, server: Thread) -> bool:
    """Move a chunk of the reply to the client being served, and complete its call with the last; whether it is done."""
    client = server.client
    if client is None or not is_calling(client, server):
        server.release()
        return True
    check_buffers(core, server, SENDING, reg.SEND_BUFFER_COUNT, READ)
    sent = server.registers
    if client.question is not None:
        words = min(sent[reg.SEND_WORDS], ANSWER_WORDS_MAX)
        reply = user_memory.read(core, server, sent[reg.SEND_BUFFER], words * WORD_SIZE)
        server.release()
        answer_question(core, client, tuple(memoryview(reply).cast("Q")))
        return True
    done = min(sent[reg.PROGRESS_WORDS], client.registers[reg.RECEIVE_WORDS])
    words = move_words(core, server, client, done, 0)
    sent[reg.SEND_BUFFER] += words * WORD_SIZE
    sent[reg.SEND_WORDS] -= words
    sent[reg.PROGRESS_WORDS] = done + words
    if sent[reg.SEND_WORDS] and done + words < client.registers[reg.RECEIVE_WORDS]:
        return False
    pass_references(core, server, client)
    note_received(client, min(done + words, client.registers[reg.RECEIVE_WORDS]))
    server.release()
    core.complete(client, Status.SUCCESS)
    return True


def accept_request(core: Core, client: Thread, server: Thread) -> None:
    """Set the results of the receive that a whole request completes."""
    pass_references(core, client, server)
    note_received(server, server.registers[reg.PROGRESS_WORDS])
    server.registers[reg.MESSAGE_KIND] = MessageKind.IDEMPOTENT


def receive_one_way(core: Core, client: Thread, server: Thread, alias: int) -> None:
    """Move a one-way message, at most one chunk, and set the results of the receive."""
    words = move_words(core, client, server, 0, 0)
    pass_references(core, client, server)
    note_received(server, words)
    server.registers[reg.PORT_ALIAS] = alias
    server.registers[reg.MESSAGE_KIND] = MessageKind.ONE_WAY
