"""A conversation that makes every call on reliable connections, with either end behind the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fluke_async.abi.codes import COPY_CHUNK_WORDS, Status
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

LONG = 2 * COPY_CHUNK_WORDS + 5  # words that need three chunks
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
I, J, K, L = numbers(800, 7), numbers(900, 2), numbers(950, 5), numbers(970, 6)

CLIENT = (
    Turn("client_connect_send", A),
    Turn("client_send", B),
    Turn("client_over_receive", room=3 * LONG, received=C + D),
    Turn("client_ack_send", E),
    Turn("client_send_over_receive", F, room=9, received=G),
    Turn("client_ack_send_over_receive", H, room=4, status=Status.IPC_RECV_MORE_DATA, received=I[:4]),
    Turn("client_receive", room=LONG, received=I[4:]),
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
    Turn("server_ack_send", I[:5]),
    Turn("server_send", I[5:]),
    Turn("server_over_receive", room=6, status=Status.IPC_RECV_DISCONNECTED, received=J),
    Turn("wait_receive", room=9, received=K),
    Turn("server_ack_send_wait_receive", L, room=9, received=K),
    Turn("server_ack_send", L),
    Turn("server_send_wait_receive", K, room=9),  # and waits for somebody for ever
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


def converse(machine: Machine, *, client_pause: int, server_pause: int, scattered: bool = False) -> tuple[End, End]:
    """The two ends, ready to talk."""
    service = Service(machine)
    client = End(machine, service, CLIENT, pause=client_pause, scattered=scattered)
    return client, End(machine, service, SERVER, pause=server_pause, scattered=scattered)


def slow_client(machine: Machine) -> tuple[int, int]:
    """Every call of the server waits for its client."""
    client, _ = converse(machine, client_pause=20_000, server_pause=1)
    return client.log, len(RESULTS) * (len(CLIENT) + 1)


def slow_server(machine: Machine) -> tuple[int, int]:
    """Every call of the client waits for its server; all buffers are scattered."""
    _, server = converse(machine, client_pause=1, server_pause=20_000, scattered=True)
    return server.log, len(RESULTS) * len(SERVER)


CONVERSATIONS = (slow_client, slow_server)
