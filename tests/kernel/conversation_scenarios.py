"""A conversation that makes every call on reliable connections, with either end behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fluke_async.abi.codes import COPY_CHUNK_WORDS, Status
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

LONG = 2 * COPY_CHUNK_WORDS + 5  # words that need three chunks
PAUSE = 900  # instructions: longer than what the other end does in between, but for long messages
RESULTS = ("a0", "a4", "t6", "t1")  # status, room left, words received, references left


class Turn(NamedTuple):
    """One call of an end: what it sends, the room that it has, and what must come of it."""

    call: str
    sent: Sequence[int] = ()
    room: int = 0
    status: Status = Status.SUCCESS
    received: Sequence[int] = ()


def numbers(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


A, B, C, D = numbers(100, 3), numbers(1000, LONG), numbers(200, LONG), numbers(300, 2)
E, F, G, H = numbers(400, 1), numbers(500, 4), numbers(600, 3), numbers(700, COPY_CHUNK_WORDS)
M, J, K, L = numbers(800, 7), numbers(900, 2), numbers(950, 5), numbers(970, 6)

CLIENT = (
    Turn("client_connect_send", A),
    Turn("client_send", B),
    Turn("client_over_receive", room=3 * LONG, received=C + D),
    Turn("client_ack_send", E),
    Turn("client_send_over_receive", F, room=9, received=G),
    Turn("client_ack_send_over_receive", H, room=4, status=Status.IPC_RECV_MORE_DATA, received=M[:4]),
    Turn("client_receive", room=LONG, received=M[4:]),
    Turn("client_ack_send", J),
    Turn("client_disconnect"),
    Turn("client_send", J, status=Status.IPC_SEND_DISCONNECTED),
    Turn("client_connect_send_over_receive", K, room=8, status=Status.IPC_RECV_DISCONNECTED, received=L),
    Turn("client_connect_send_over_receive", K, room=LONG, status=Status.IPC_RECV_DISCONNECTED, received=L + K),
)
SERVER = (
    Turn("setup_wait_receive", room=3, status=Status.IPC_RECV_MORE_DATA, received=A),
    Turn("server_receive", room=LONG, received=B),
    Turn("server_ack_send", C),
    Turn("server_send_over_receive", D, room=LONG, received=E + F),
    Turn("server_ack_send_over_receive", G, room=LONG, received=H),
    Turn("server_ack_send", M[:5]),
    Turn("server_send", M[5:]),
    Turn("server_over_receive", room=6, status=Status.IPC_RECV_DISCONNECTED, received=J),
    Turn("wait_receive", room=9, received=K),
    Turn("server_ack_send_wait_receive", L, room=9, received=K),
    Turn("server_ack_send", L),
    Turn("server_send_wait_receive", K, room=9),  # and waits for somebody for ever
)

MORE = Status.IPC_RECV_MORE_DATA
# The same calls where each finds the other end elsewhere: rooms that are full, words that nobody takes any more.
CROSSING_CLIENT = (
    Turn("client_connect_send", [1, 2, 3]),
    Turn("client_over_receive", room=1, status=MORE, received=[10]),
    Turn("client_receive", room=1, status=MORE, received=[11]),
    Turn("client_ack_send", [4, 5]),
    Turn("client_send_over_receive", [6], room=1, status=MORE, received=[13]),
    Turn("client_ack_send_over_receive", [7], room=1, status=MORE, received=[15]),
    Turn("client_receive", room=1, received=[16]),
    Turn("client_ack_send", [8, 9]),
    Turn("client_over_receive", room=1, received=[17]),
    Turn("client_ack_send", [30]),
    Turn("client_send", [31]),
    Turn("client_over_receive", room=2, status=Status.IPC_RECV_DISCONNECTED, received=[18]),
    Turn("client_connect_send_over_receive", [32], room=1, status=MORE, received=[19]),
    Turn("client_disconnect"),
)
CROSSING_SERVER = (
    Turn("setup_wait_receive", room=2, status=MORE, received=[1, 2]),
    Turn("server_ack_send", [10]),
    Turn("server_send", [11, 12]),
    Turn("server_over_receive", room=2, status=MORE, received=[4, 5]),
    Turn("server_receive", room=1, received=[6]),
    Turn("server_ack_send", [13]),
    Turn("server_send", [14]),
    Turn("server_over_receive", room=1, received=[7]),
    Turn("server_ack_send", [15]),
    Turn("server_send_over_receive", [16], room=1, status=MORE, received=[8]),
    Turn("server_ack_send_over_receive", [17], room=1, status=MORE, received=[30]),
    Turn("server_ack_send_wait_receive", [18], room=1, received=[32]),
    Turn("server_ack_send", [19]),
    Turn("server_send_wait_receive", [20], room=1, status=Status.IPC_SEND_DISCONNECTED),
)


class End:
    """One end's thread, and where what it got is found."""

    def __init__(
        self, machine: Machine, service: Service, turns: Sequence[Turn], *, pause: int, scattered: bool
    ) -> None:
        self.machine, self.turns = machine, turns
        self.log = machine.buffer(len(RESULTS) * len(turns))
        self.rooms: list[list[tuple[int, int]]] = []
        parts: list[Part] = []
        for index, turn in enumerate(turns):
            mine = {operand for operand in ("send", "receive") if operand in turn.call or "wait_receive" in turn.call}
            operands: dict[str, int] = {}
            if "send" in mine and "send" in turn.call:
                operands |= self._buffers("send", turn.sent, len(turn.sent), scattered=scattered)[0]
            self.rooms.append([])
            if "receive" in turn.call:
                more, places = self._buffers("receive", (), turn.room, scattered=scattered)
                operands |= more
                self.rooms[-1] = places
            if "connect" in turn.call and "disconnect" not in turn.call:
                operands["destination_ref"] = machine.value(service.reference)
            if turn.call.startswith("setup"):
                operands["portset"] = machine.value(service.portset)
            at = self.log + 8 * len(RESULTS) * index
            kept = [machine.keep(name, at + 8 * number) for number, name in enumerate(RESULTS)]
            parts += [("burn", pause), machine.call(f"ipc_{turn.call}", **operands), *kept]
        self.thread: Thread = machine.spawn(*parts)

    def _buffers(
        self, role: str, words: Sequence[int], count: int, *, scattered: bool
    ) -> tuple[dict[str, int], list[tuple[int, int]]]:
        machine = self.machine
        lengths = [count] if not scattered or count < 2 else [1, count // 2, count - 1 - count // 2]
        places: list[tuple[int, int]] = []
        for length in lengths:
            begin = sum(before for _, before in places)
            places.append((machine.buffer(words[begin : begin + length] if words else length), length))
        operands = {f"{role}_buffer": places[0][0], f"{role}_words": lengths[0]}
        if places[1:]:
            operands[f"{role}_buffer_table"] = machine.buffer([word for place in places[1:] for word in place[::-1]])
            operands[f"{role}_buffer_count"] = len(places) - 1
        return operands, places

    def results(self, index: int) -> tuple[int, list[int]]:
        """The status of a call, and all the words of the room that it had."""
        status = self.machine.read(self.log + 8 * len(RESULTS) * index, 1)[0]
        return status, [word for place, count in self.rooms[index] for word in self.machine.read(place, count)]

    def words_received(self, index: int) -> int:
        """What the call said that it had received."""
        return self.machine.read(self.log + 8 * len(RESULTS) * index + 16, 1)[0]


def converse(
    machine: Machine,
    *,
    client_pause: int,
    server_pause: int,
    scattered: bool = False,
    turns: tuple[Sequence[Turn], Sequence[Turn]] = (CLIENT, SERVER),
) -> tuple[End, End]:
    """The two ends, ready to talk; each pauses before each call."""
    service = Service(machine)
    client = End(machine, service, turns[0], pause=client_pause, scattered=scattered)
    return client, End(machine, service, turns[1], pause=server_pause, scattered=scattered)


def long_conversation(machine: Machine) -> tuple[int, int]:
    """Every call of the client waits for its server; all buffers are scattered."""
    _, server = converse(machine, client_pause=1, server_pause=PAUSE, scattered=True)
    return server.log, len(RESULTS) * len(SERVER)


def crossing_slow_client(machine: Machine) -> tuple[int, int]:
    """The server is always there first."""
    turns = (CROSSING_CLIENT, CROSSING_SERVER)
    client, _ = converse(machine, client_pause=PAUSE, server_pause=1, turns=turns)
    return client.log, len(RESULTS) * len(CROSSING_CLIENT)


def crossing_slow_server(machine: Machine) -> tuple[int, int]:
    """The client is always there first."""
    turns = (CROSSING_CLIENT, CROSSING_SERVER)
    _, server = converse(machine, client_pause=1, server_pause=PAUSE, turns=turns)
    return server.log, len(RESULTS) * len(CROSSING_SERVER)


CONVERSATIONS = (long_conversation, crossing_slow_client, crossing_slow_server)
