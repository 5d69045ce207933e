"""
A reliable connection, as tables: who may do what, and which call is made of which steps.

A client and a server thread are linked; one of them is the sender. The connection is half-duplex: only the sender
sends, only the receiver receives. To turn it round the sender says *over* and the receiver *ack*, each of which waits
for the other. A call is a sequence of steps; when its first step is done, what remains is the call that is made of the
others, so every state in which a thread can be stopped is a valid call.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from fluke_async.abi.codes import ExceptionCode, Status


class Role(Enum):
    """Which end of a connection; a thread can be one of each at the same time."""

    CLIENT = "client"
    SERVER = "server"

    __hash__ = object.__hash__  # the tables are read on the way of every message, and an enumeration's own is slow

    @property
    def peer(self) -> Role:
        """The other end's."""
        return Role.SERVER if self is Role.CLIENT else Role.CLIENT


class State(Enum):
    """What an end of a connection is."""

    __hash__ = object.__hash__

    NONE = "no connection"
    SENDER = "sender"
    RECEIVER = "receiver"


class Step(Enum):
    """What a call does, or wants to do, with its connection."""

    __hash__ = object.__hash__

    CONNECT = "connect"
    SEND = "send"
    OVER = "over"
    ACK = "ack"
    RECEIVE = "receive"
    DISCONNECT = "disconnect"


MOVES: dict[tuple[State, Step], State | Status | ExceptionCode] = {
    (State.NONE, Step.CONNECT): State.SENDER,
    (State.NONE, Step.SEND): Status.IPC_SEND_DISCONNECTED,
    (State.NONE, Step.OVER): Status.IPC_OVER_DISCONNECTED,
    (State.NONE, Step.ACK): Status.IPC_ACK_DISCONNECTED,
    (State.NONE, Step.RECEIVE): Status.IPC_RECV_DISCONNECTED,
    (State.NONE, Step.DISCONNECT): State.NONE,
    (State.SENDER, Step.CONNECT): State.SENDER,
    (State.SENDER, Step.SEND): State.SENDER,
    (State.SENDER, Step.OVER): State.RECEIVER,
    (State.SENDER, Step.ACK): ExceptionCode.NOT_RECEIVER,
    (State.SENDER, Step.RECEIVE): ExceptionCode.NOT_RECEIVER,
    (State.SENDER, Step.DISCONNECT): State.NONE,
    (State.RECEIVER, Step.CONNECT): State.SENDER,
    (State.RECEIVER, Step.SEND): ExceptionCode.NOT_SENDER,
    (State.RECEIVER, Step.OVER): ExceptionCode.NOT_SENDER,
    (State.RECEIVER, Step.ACK): State.SENDER,
    (State.RECEIVER, Step.RECEIVE): State.RECEIVER,
    (State.RECEIVER, Step.DISCONNECT): State.NONE,
}
"""What a step makes of the state; a status or an exception where it cannot be done, which changes nothing."""


class Meeting(Enum):
    """What happens when a thread comes to a step while its peer waits in another."""

    MOVE = "words and references move, until one side has no more"
    DISCARD = "what has not been sent yet is thrown away"
    WHOLE = "the receiver has the whole message"
    TURN = "sender and receiver change places"


MEETINGS: dict[tuple[Step, Step], Meeting] = {
    (Step.SEND, Step.RECEIVE): Meeting.MOVE,
    (Step.SEND, Step.ACK): Meeting.DISCARD,
    (Step.OVER, Step.RECEIVE): Meeting.WHOLE,
    (Step.OVER, Step.ACK): Meeting.TURN,
}
"""By the steps of the sender and the receiver. Where there is none, the one who comes first waits for the other."""


class Conversation(NamedTuple):
    """A call by its steps; `waits` if it ends its connection after them and waits for the next message."""

    name: str
    role: Role
    steps: tuple[Step, ...]
    waits: bool = False

    @property
    def rest(self) -> str:
        """The name of the call that remains when the first step is done; empty if none does."""
        if len(self.steps) > 1:
            return BY_STEPS[self.role, self.steps[1:], self.waits].name
        return "ipc_wait_receive" if self.waits else ""


def _both(name: str, *steps: Step) -> list[Conversation]:
    return [Conversation(f"ipc_{role.value}_{name}", role, steps) for role in Role]


CONVERSATIONS: tuple[Conversation, ...] = (
    Conversation("ipc_client_connect_send", Role.CLIENT, (Step.CONNECT, Step.SEND)),
    Conversation(
        "ipc_client_connect_send_over_receive", Role.CLIENT, (Step.CONNECT, Step.SEND, Step.OVER, Step.RECEIVE)
    ),
    *_both("send", Step.SEND),
    *_both("receive", Step.RECEIVE),
    *_both("over_receive", Step.OVER, Step.RECEIVE),
    *_both("ack_send", Step.ACK, Step.SEND),
    *_both("send_over_receive", Step.SEND, Step.OVER, Step.RECEIVE),
    *_both("ack_send_over_receive", Step.ACK, Step.SEND, Step.OVER, Step.RECEIVE),
    Conversation("ipc_server_ack_send_wait_receive", Role.SERVER, (Step.ACK, Step.SEND), waits=True),
    Conversation("ipc_server_send_wait_receive", Role.SERVER, (Step.SEND,), waits=True),
)
BY_STEPS = {(each.role, each.steps, each.waits): each for each in CONVERSATIONS}
