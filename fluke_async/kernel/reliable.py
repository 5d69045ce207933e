"""
Reliable connections: whoever of the two comes second finds the other waiting, and does the work.

All progress is in the registers of both: what has moved is no longer to be sent, and there is that much less room. A
thread waits for its peer; the step in which it waits follows from its registers. The tables of steps, moves and
meetings are `abi/conversation.py`'s.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import WORD_SIZE, ExceptionCode, MessageKind, Status
from fluke_async.abi.conversation import CONVERSATIONS, MOVES, Conversation, Meeting, Role, State, Step
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.kernel.buffers import RECEIVING, SENDING, go_to, length, position
from fluke_async.kernel.connection import (
    REQUEST_RECEIVE,
    WAIT_RECEIVE,
    abandon_client,
    destination,
    enter_server,
    note_arrival,
    waiting_server,
)
from fluke_async.kernel.exceptions import WORD_MASK, ProgramException, post
from fluke_async.kernel.links import (
    ALERT,
    CLIENT,
    SERVER,
    counts,
    meeting_of,
    name_peer,
    peer_of,
    state_of,
    turn,
    untie,
)
from fluke_async.kernel.message import move_words, pass_references
from fluke_async.kernel.suspension import COPY, WAIT, Suspension

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.thread import Thread

CONNECT, SEND, OVER, ACK, RECEIVE, _ = Step
MOVE, DISCARD, WHOLE, TURN = Meeting


class Stage(NamedTuple):
    """What the number of a call says of where it is: the step it is in, and what remains after that (0: nothing)."""

    role: Role
    step: Step
    rest: int
    sends: bool  # in this step or a later one
    receives: bool


def _stage(call: Conversation) -> Stage:
    rest = BY_NAME[call.rest].number if call.rest else 0
    return Stage(call.role, call.steps[0], rest, SEND in call.steps, RECEIVE in call.steps or call.waits)


STAGES = {BY_NAME[call.name].number: _stage(call) for call in CONVERSATIONS}


def take_steps(core: Core, thread: Thread, stage: Stage) -> Suspension | Status | None:
    """Take as many steps of a call as can be done now: what to await, its status, or None if it is another by now."""
    while True:
        outcome = take_step(core, thread, stage.role, stage.step)
        if outcome is not None:
            return outcome
        rest = stage.rest
        if not rest:
            return Status.SUCCESS
        core.enter_stage(thread, rest)
        if rest == WAIT_RECEIVE:
            return None
        stage = STAGES[rest]


def take_step(core: Core, thread: Thread, role: Role, step: Step) -> Suspension | Status | None:
    """Do as much as can be done of a step now: what to await before going on, the call's status, or None if done."""
    if step is CONNECT:
        return _find_server(core, thread)
    peer = peer_of(thread, role)
    move = MOVES[state_of(thread, role, peer), step]
    if not isinstance(move, State):
        if isinstance(move, ExceptionCode):
            raise ProgramException(thread, move, thread.registers[reg.ENTRY_POINT])
        return move
    assert peer is not None, "who has no peer makes no move"
    is_sender = step is SEND or step is OVER
    if step is SEND and not has_more(core, thread):
        return None
    while True:
        meeting = meeting_of(thread, role, step, peer)
        if meeting is None:
            core.park(thread, peer)
            return WAIT
        if meeting is TURN:
            turn(thread, peer, role)
            pass_on(core, peer, thread)
            return None
        if meeting is WHOLE:
            if not is_sender:
                return Status.SUCCESS
            finish_receive(core, peer, Status.SUCCESS)
            core.park(thread, peer)  # until it acknowledges
            return WAIT
        sender, receiver = (thread, peer) if is_sender else (peer, thread)
        if meeting is DISCARD:
            discard(sender)
        else:
            full = move_chunk(core, sender, receiver)
            if isinstance(full, Suspension):
                return full
            if full is not None and thread is receiver:
                return full
            if full is not None:
                finish_receive(core, peer, full)
                core.park(thread, peer)  # until it has room again
                return WAIT
        if is_sender:
            return None
        pass_on(core, peer, thread)


def has_more(core: Core, sender: Thread) -> bool:
    """Whether there is anything left to be sent."""
    registers = sender.registers
    if not registers[reg.SEND_BUFFER_COUNT]:
        return bool(registers[reg.SEND_WORDS] or registers[reg.SEND_REFERENCE_COUNT])
    return bool(registers[reg.SEND_REFERENCE_COUNT]) or length(core, sender, SENDING) > 0


def move_chunk(core: Core, sender: Thread, receiver: Thread) -> Suspension | Status | None:
    """
    Move a chunk of words or, after all words, references.

    Returns COPY if there is more to be sent, or the status of a receiver that has no room for more.
    """
    sent, received = sender.registers, receiver.registers
    is_plain = not (sent[reg.SEND_BUFFER_COUNT] or received[reg.RECEIVE_BUFFER_COUNT])
    left = sent[reg.SEND_WORDS] if is_plain else length(core, sender, SENDING)
    room = received[reg.RECEIVE_WORDS] if is_plain else length(core, receiver, RECEIVING)
    if left:
        if not room:
            return Status.IPC_RECV_MORE_DATA
        words = min(left, room, core.chunk_words)
        places = (
            None if is_plain else (position(core, sender, SENDING, words), position(core, receiver, RECEIVING, words))
        )
        moved = move_words(core, sender, receiver, 0, 0, words)
        assert moved == words
        if places is None:
            size = words * WORD_SIZE
            sent[reg.SEND_BUFFER] = (sent[reg.SEND_BUFFER] + size) & WORD_MASK
            sent[reg.SEND_WORDS] = left - words
            received[reg.RECEIVE_BUFFER] = (received[reg.RECEIVE_BUFFER] + size) & WORD_MASK
            received[reg.RECEIVE_WORDS] = room - words
        else:
            go_to(sender, SENDING, places[0])
            go_to(receiver, RECEIVING, places[1])
        received[reg.PROGRESS_WORDS] = (received[reg.PROGRESS_WORDS] + words) & WORD_MASK
        if left > words or sent[reg.SEND_REFERENCE_COUNT]:
            return COPY
    elif not receiver.registers[reg.RECEIVE_REFERENCE_COUNT]:
        return Status.IPC_RECV_MORE_REFS
    else:
        count = pass_references(core, sender, receiver)
        sender.registers[reg.SEND_REFERENCES] = (sender.registers[reg.SEND_REFERENCES] + count * WORD_SIZE) & WORD_MASK
        sender.registers[reg.SEND_REFERENCE_COUNT] -= count
    return COPY if sender.registers[reg.SEND_REFERENCE_COUNT] else None


def discard(sender: Thread) -> None:
    """Throw away what has not been sent."""
    for role in (reg.SEND_WORDS, reg.SEND_BUFFER_COUNT, reg.SEND_REFERENCE_COUNT):
        sender.registers[role] = 0


def pass_on(core: Core, thread: Thread, peer: Thread) -> None:
    """The step in which a thread waits for `peer` is done; it stays where it is, in the next one, if there is one."""
    rest = STAGES[thread.registers[reg.ENTRY_POINT]].rest  # who receives a first message has no step to follow it
    if not rest:
        core.complete(thread, Status.SUCCESS)
    elif rest == WAIT_RECEIVE:
        thread.registers[reg.ENTRY_POINT] = rest
        core.wake(thread)
        thread.wait_order = 0
    else:
        core.advance(thread, rest, peer)


def finish_receive(core: Core, receiver: Thread, status: Status) -> None:
    """End the receive in which a thread waits."""
    if receiver.registers[reg.ENTRY_POINT] == REQUEST_RECEIVE:
        enter_server(receiver)
    core.complete(receiver, status)


# -- the beginning and the end -------------------------------------------------------------------------------------


def _find_server(core: Core, thread: Thread) -> Suspension | Status | None:
    port = destination(core, thread)
    untie(core, thread, CLIENT)
    if port is None or port.receiver is not None:  # devices answer calls only
        return Status.IPC_CONNECT_INVALID_DEST
    server = waiting_server(core, port)
    if server is None:
        core.park(thread, port)
        return WAIT
    connect(core, thread, server, port)
    core.advance(server, REQUEST_RECEIVE, thread)
    return None


def connect(core: Core, client: Thread, server: Thread, port: Port) -> None:
    """Link a client to a server that is to receive from it."""
    abandon_client(core, server)  # it may have one still, by a state that it was given
    untie(core, client, CLIENT)
    name_peer(server, SERVER, client, sender=False)
    name_peer(client, CLIENT, server, sender=True)
    note_arrival(server, port, MessageKind.RELIABLE)


def _disconnect(role: Role) -> Callable[[Core, Thread], int]:
    def disconnect(core: Core, thread: Thread) -> int:
        """End a connection; the other end, if it waits, finds out."""
        untie(core, thread, role)
        return 0

    return disconnect


def _alert(role: Role) -> Callable[[Core, Thread], int]:
    def alert(core: Core, thread: Thread) -> int:
        """Post an alert to the other end."""
        peer = peer_of(thread, role)
        if peer is None or not counts(thread, role, peer):
            return Status.IPC_SEND_DISCONNECTED
        post(core, peer, ALERT[role.peer])
        return Status.SUCCESS

    return alert


client_disconnect, server_disconnect = _disconnect(CLIENT), _disconnect(SERVER)
client_alert, server_alert = _alert(CLIENT), _alert(SERVER)
