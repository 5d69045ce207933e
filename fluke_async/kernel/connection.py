"""
Who is tied to whom: servers that wait on a port set, clients that wait for a port, and the tie between a client that
makes an idempotent call, or asks a keeper, and the server that has taken it.

The tie is whole while the client waits for the server and the server serves it. It survives a fault of either, which
then waits for a keeper instead and comes back to where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import ExceptionCode, MessageKind
from fluke_async.abi.conversation import Role
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.kernel.buffers import RECEIVING, Position, go_to
from fluke_async.kernel.exceptions import WORD_MASK, ProgramException
from fluke_async.kernel.links import untie
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.scheduler import ECALL_SIZE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

CALL = BY_NAME["ipc_call"].number
REPLY = BY_NAME["ipc_reply"].number
REPLY_WAIT_RECEIVE = BY_NAME["ipc_reply_wait_receive"].number
WAIT_RECEIVE = BY_NAME["ipc_wait_receive"].number
REQUEST_RECEIVE = BY_NAME["ipc_request_receive"].number


def destination(core: Core, thread: Thread) -> Port | None:
    """The port that the destination reference names; None if it is gone or was never one."""
    target = object_at(core, thread, thread.registers[reg.DESTINATION], Reference).target
    return target if isinstance(target, Port) else None


def waiting_server(core: Core, port: Port) -> Thread | None:
    """The first server that waits on the port's set, ready to receive."""
    portset = port.portset
    while portset is not None and (server := portset.first_waiter()) is not None:
        if server.registers[reg.ENTRY_POINT] == WAIT_RECEIVE and serves(core, server, portset):
            return server
        core.wake(server)  # its registers say something else by now: it looks for itself
    return None


def serves(core: Core, server: Thread, portset: Portset) -> bool:
    """Whether a server's own registration names the port set: to be parked there by a state is not enough."""
    try:
        return served_portset(core, server) is portset
    except ProgramException:
        return False


def served_portset(core: Core, thread: Thread) -> Portset:
    """The port set that a server thread is registered with."""
    address = thread.server_portset
    if not address:
        raise ProgramException(thread, ExceptionCode.NO_PORTSET, 0)
    return object_at(core, thread, address, Portset)


def waiting_client(core: Core, portset: Portset) -> Thread | None:
    """The first client that waits on one of the set's ports."""
    while (client := portset.first_caller()) is not None:
        port = client.waiting_for
        if port is None:
            return client  # it asks its scheduler for time
        if isinstance(port, Port) and port.is_called_by(core, client):
            return client
        core.wake(client)  # its registers say something else by now, or its page is there: it looks for itself
    return None


def former_server(core: Core, thread: Thread, port: Port) -> Thread | None:
    """
    The server that has this call already, where the two were loaded from their states, or the client was away.

    What a state says of a connection is the server's end alone; the call makes it whole. A server that does not serve
    the port has no part in the call, and looks for another.
    """
    for server in thread.servers():
        if server.registers[reg.ENTRY_POINT] not in (REQUEST_RECEIVE, REPLY, REPLY_WAIT_RECEIVE):
            continue
        if port.portset is not None and serves(core, server, port.portset):
            thread.callee = server
            return server
        if server.waiting_for is thread and not server.stopped:
            core.wake(server)
    return None


def is_calling(client: Thread, server: Thread) -> bool:
    """Whether a client waits for the server's answer, to an idempotent call or to a question."""
    is_call = client.question is not None or client.registers[reg.ENTRY_POINT] == CALL
    return client.waiting_for is server and is_call


def is_away(client: Thread, server: Thread) -> bool:
    """Whether a client has a fault of its own to be resolved, and will come back to its call of the server."""
    is_call = client.registers[reg.ENTRY_POINT] == CALL
    return client.fault is not None and client.waiting_for is not server and is_call


def capture(core: Core, server: Thread, client: Thread, port: Port) -> None:
    """Tie a server to the client whose request it is to receive."""
    abandon_client(core, server)  # it may serve somebody still, by a state that it was given
    server.capture(client)
    note_arrival(server, port, MessageKind.IDEMPOTENT)


def note_arrival(server: Thread, port: Port, kind: MessageKind) -> None:
    """Commit what a server that begins to receive will return of the port, and of the kind of message."""
    server.registers[reg.PROGRESS_WORDS] = 0
    server.registers[reg.PORT_ALIAS] = port.alias
    server.registers[reg.MESSAGE_KIND] = kind


def leave_capture(core: Core, server: Thread) -> None:
    """A server met an exception while it was receiving a request: its client finds another."""
    if server.registers[reg.ENTRY_POINT] == REQUEST_RECEIVE and not server.reliable:
        abandon_client(core, server)


def abandon_client(core: Core, server: Thread) -> None:
    """A server will not answer: its client, if it still waits for it, makes its call again, or is disconnected."""
    client = server.client
    if client is None:
        return
    if server.reliable:
        untie(core, server, Role.SERVER)
        return
    server.release()
    if client.waiting_for is server:
        core.wake(client)


def note_received(thread: Thread, after: Position, words: int) -> None:
    """Commit what has arrived: where receiving would go on, and how many words came."""
    go_to(thread, RECEIVING, after)
    thread.registers[reg.PROGRESS_WORDS] = words


def enter_server(server: Thread) -> None:
    """See that a server whose wait for a message is about to end goes on at its entry for the kind, if it has one."""
    _, stack, one_way, idempotent, reliable = server.server_registration
    kind = server.registers[reg.MESSAGE_KIND]
    entry = one_way if kind == MessageKind.ONE_WAY else reliable if kind == MessageKind.RELIABLE else idempotent
    if entry:
        server.pc = (entry - ECALL_SIZE) & WORD_MASK  # the end of a call moves it past the `ecall`
        server.registers[reg.SP] = stack
