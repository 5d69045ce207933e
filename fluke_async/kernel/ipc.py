"""
Messages: one-way sends, idempotent calls, and the servers that receive and answer them.

All progress is in registers. A call's own registers stay as they are until its reply is there, so that it can be
issued again at any time; how much of a request has arrived stands in the server's `PROGRESS_WORDS`, how much of a
reply has gone out in the same register while the server answers. A message moves in chunks; between two chunks the
thread that copies may be preempted.

Life of a call that finds a server waiting: the client captures it (the server's stage becomes `ipc_request_receive`,
waiting for the client), copies chunk by chunk, completes the server's call, and waits for the server; the server's
reply completes the client's call. If no server waits, the client waits for the port, and the server that comes does
the copying. Facts of the flavours: the manual's chapter 8; that a one-way message carries at most one chunk is ours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import COPY_CHUNK_WORDS, MessageKind, Status
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.kernel.answers import ANSWER_WORDS_MAX, answer_question
from fluke_async.kernel.asking import take_question
from fluke_async.kernel.buffers import RECEIVING, SENDING, gather, go_to, length, position
from fluke_async.kernel.connection import (
    CALL,
    REPLY,
    REPLY_WAIT_RECEIVE,
    REQUEST_RECEIVE,
    WAIT_RECEIVE,
    abandon_client,
    capture,
    destination,
    enter_server,
    former_server,
    is_away,
    is_calling,
    note_received,
    served_portset,
    waiting_client,
    waiting_server,
)
from fluke_async.kernel.device_request import device_request
from fluke_async.kernel.links import SERVER
from fluke_async.kernel.message import check_side, hand_over, move_words, pass_references, references_between
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.reliable import CONNECT, RECEIVE, STAGES, connect, take_step, take_steps
from fluke_async.kernel.scheduling import take_request
from fluke_async.kernel.suspension import COPY, WAIT, Suspension

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

SEND = BY_NAME["ipc_send"].number
SETUP_WAIT_RECEIVE = BY_NAME["ipc_setup_wait_receive"].number
ANSWERING = (REPLY, REPLY_WAIT_RECEIVE, REQUEST_RECEIVE)  # the stages in which a server is tied to a client


# -- the client's side --------------------------------------------------------------------------------------------


async def ipc_send(core: Core, thread: Thread) -> int:
    """Give a one-way message to the first server, or wait for one."""
    while True:
        check_side(core, thread, SENDING)
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
        check_side(core, thread, SENDING)
        check_side(core, thread, RECEIVING)
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
            core.advance(server, REQUEST_RECEIVE, thread)
        if server.waiting_for is thread and server.registers[reg.ENTRY_POINT] != REQUEST_RECEIVE:
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
        client = thread.served
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
            check_side(core, thread, RECEIVING)
            portset = served_portset(core, thread)
            abandon_client(core, thread)
            client = waiting_client(core, portset)
            if client is None:
                core.park(thread, portset)
                await WAIT
                continue
            port = client.waiting_for
            if port is None:
                take_request(core, client, thread)
                return Status.SUCCESS
            assert isinstance(port, Port)
            asked = client.registers[reg.ENTRY_POINT]
            client_stage = STAGES.get(asked)
            if client.question is None and client_stage is not None and client_stage.step is CONNECT:
                connect(core, client, thread, port)
                core.enter_stage(thread, REQUEST_RECEIVE)
                core.advance(client, client_stage.rest, thread)
                continue
            if client.question is None and asked == SEND:
                receive_one_way(core, client, thread, port.alias)
                core.complete(client, Status.SUCCESS)
                return Status.SUCCESS
            capture(core, thread, client, port)
            core.enter_stage(thread, REQUEST_RECEIVE)
            core.advance(client, CALL, thread)
        else:
            assert stage == REQUEST_RECEIVE
            if thread.reliable or (client is None and registers[reg.MESSAGE_KIND] == MessageKind.RELIABLE):
                outcome = take_step(core, thread, SERVER, RECEIVE)
                if isinstance(outcome, Suspension):
                    await outcome
                    continue
                assert outcome is not None
                enter_server(thread)
                return outcome
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


async def converse(core: Core, thread: Thread) -> int:
    """All calls on a reliable connection: one loop over their steps."""
    while True:
        stage = STAGES.get(thread.registers[reg.ENTRY_POINT])
        if stage is None:
            return await serve(core, thread)
        if stage.sends:
            check_side(core, thread, SENDING)
        if stage.receives:
            check_side(core, thread, RECEIVING)
        outcome = take_steps(core, thread, stage)
        if isinstance(outcome, Suspension):
            await outcome
            continue
        if outcome is not None:
            return outcome


# -- what passes between the two -----------------------------------------------------------------------------------


def move_request_chunk(core: Core, client: Thread, server: Thread) -> bool:
    """Move a chunk of a request; whether the request is whole."""
    whole = min(length(core, client, SENDING), length(core, server, RECEIVING))
    done = min(server.registers[reg.PROGRESS_WORDS], whole)  # a program may have put anything there
    done += move_words(core, client, server, done, done, core.chunk_words)
    server.registers[reg.PROGRESS_WORDS] = done
    return done >= whole


def move_reply_chunk(core: Core, server: Thread) -> bool:
    """Move a chunk of the reply to the client being served, and complete its call with the last; whether it is done."""
    client = server.served
    if client is None or not is_calling(client, server):
        server.release()
        return True
    check_side(core, server, SENDING)
    if client.question is not None:
        reply = gather(core, server, ANSWER_WORDS_MAX)
        server.release()
        answer_question(core, client, tuple(memoryview(reply).cast("Q")))
        return True
    left, room = length(core, server, SENDING), length(core, client, RECEIVING)
    done = min(server.registers[reg.PROGRESS_WORDS], room)
    words = min(left, room - done, core.chunk_words)
    sent = position(core, server, SENDING, words)
    move_words(core, server, client, done, 0, words)
    go_to(server, SENDING, sent)
    done += words
    server.registers[reg.PROGRESS_WORDS] = done
    if done < room and words < left:
        return False
    after = position(core, client, RECEIVING, done)
    pass_references(core, server, client)
    note_received(client, after, done)
    server.release()
    core.complete(client, Status.SUCCESS)
    return True


def accept_request(core: Core, client: Thread, server: Thread) -> None:
    """Set the results of the receive that a whole request completes."""
    done = server.registers[reg.PROGRESS_WORDS]
    after = position(core, server, RECEIVING, done)
    pass_references(core, client, server)
    note_received(server, after, done)
    server.registers[reg.MESSAGE_KIND] = MessageKind.IDEMPOTENT
    enter_server(server)


def receive_one_way(core: Core, client: Thread, server: Thread, alias: int) -> None:
    """
    Move a one-way message, at most one chunk, and set the results of the receive.

    The words count as moved only when nothing can be missing any more, for nothing says that they have.
    """
    words = min(length(core, client, SENDING), length(core, server, RECEIVING), COPY_CHUNK_WORDS)
    after = position(core, server, RECEIVING, words)
    passed = references_between(core, client, server)
    move_words(core, client, server, 0, 0, COPY_CHUNK_WORDS)
    hand_over(server, passed)
    note_received(server, after, words)
    server.registers[reg.PORT_ALIAS] = alias
    server.registers[reg.MESSAGE_KIND] = MessageKind.ONE_WAY
    enter_server(server)
