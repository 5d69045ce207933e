"""
The links of reliable connections: a client names its server, a server its client, and each whether it is the sender.

A connection counts while both ends say the same. One end alone is dormant: whoever wants to go on with it waits until
the other names it again, or is gone. So a thread can put a connection away and take up another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.conversation import CONVERSATIONS, MEETINGS, Meeting, Role, State, Step
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.exceptions import POSTED, post

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

CLIENT, SERVER = Role
NONE, SENDER, RECEIVER = State
SENDING_STEPS = frozenset({Step.SEND, Step.OVER})
WAITING = {BY_NAME[call.name].number: (call.role, call.steps[0]) for call in CONVERSATIONS} | {
    BY_NAME["ipc_request_receive"].number: (SERVER, Step.RECEIVE)
}
"""In which role and step a thread is that waits for its peer, by its call."""
CALL = BY_NAME["ipc_call"].number
ALERT = {CLIENT: POSTED[1], SERVER: POSTED[2]}  # of the role of the thread that gets it


def named_peer(thread: Thread, role: Role) -> Thread | None:
    """Whom a thread names as the other end of the connection in which it has a role, though it may be gone."""
    if role is CLIENT:
        return thread.server
    return thread.client if thread.reliable else None


def peer_of(thread: Thread, role: Role) -> Thread | None:
    """Whom it names, if that one is still there."""
    peer = thread.server if role is CLIENT else thread.client if thread.reliable else None
    return peer if peer is not None and peer.active else None


def state_of(thread: Thread, role: Role, peer: Thread | None) -> State:
    """What it is there, by its own account, with the peer that it has."""
    if peer is None:
        return NONE
    sends = thread.client_sender if role is CLIENT else thread.server_sender
    return SENDER if sends else RECEIVER


def counts(thread: Thread, role: Role, peer: Thread) -> bool:
    """Whether the other end, which `thread` names, says the same."""
    if role is CLIENT:
        return peer.client is thread and peer.reliable and peer.server_sender is not thread.client_sender
    return peer.server is thread and peer.client_sender is not thread.server_sender


def meeting_of(thread: Thread, role: Role, step: Step, peer: Thread) -> Meeting | None:
    """What comes of it that a thread is in a step of their connection; None: it has to wait for the other end."""
    if peer.waiting_for is not thread or peer.question is not None or not counts(thread, role, peer):
        return None
    its_role, its_step = WAITING.get(peer.registers[ENTRY_POINT], (role, step))
    if its_role is role:
        return None
    return MEETINGS.get((step, its_step) if step in SENDING_STEPS else (its_step, step))


def can_go_on(thread: Thread, peer: Thread) -> bool:
    """Whether of two threads that wait for each other one has to do work, or may have to: who starts looks."""
    for client, server in ((thread, peer), (peer, thread)):
        if client.registers[ENTRY_POINT] == CALL:
            return server.served is client
    waiting = WAITING.get(thread.registers[ENTRY_POINT])
    if waiting is None or waiting[1] is Step.CONNECT:
        return True
    role, step = waiting
    if named_peer(thread, role) is not peer:  # a server that receives an idempotent request, for one
        return True
    return meeting_of(thread, role, step, peer) is not None


def name_peer(thread: Thread, role: Role, peer: Thread | None, *, sender: bool = False) -> None:
    """Name another end, or none; what an end is, counts only where it names one."""
    if role is SERVER:
        thread.link_client(peer, reliable=peer is not None, sender=sender)
    else:
        thread.server, thread.client_sender = peer, sender


def turn(thread: Thread, peer: Thread, role: Role) -> None:
    """Sender and receiver change places."""
    client, server = (thread, peer) if role is CLIENT else (peer, thread)
    client.client_sender = not client.client_sender
    server.server_sender = not server.server_sender


def untie(core: Core, thread: Thread, role: Role) -> Thread | None:
    """End a connection; the other end, if it was one, finds out as soon as it looks. Returns it."""
    if role is SERVER and not thread.reliable:
        return None  # the client of an idempotent call waits for its reply
    if named_peer(thread, role) is None:
        return None
    peer = peer_of(thread, role)
    is_mutual = peer is not None and named_peer(peer, role.peer) is thread
    name_peer(thread, role, None)
    if peer is None or not is_mutual:
        return None
    name_peer(peer, role.peer, None)
    if thread.active and peer.waiting_for is thread and peer.question is None:  # else all its waiters look, as they may
        core.wake(peer)
    return peer


def break_off(core: Core, thread: Thread) -> None:
    """A thread is destroyed: its peers get alerts, but for those that are stopped, for whom it is as if it had left."""
    for role in Role:
        stopped = (peer := peer_of(thread, role)) is not None and peer.stopped
        peer = untie(core, thread, role)
        if peer is not None and not stopped:
            post(core, peer, ALERT[role.peer])
