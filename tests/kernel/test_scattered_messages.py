"""Messages gathered from several buffers and scattered into several: the same words as between two."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, WORD_SIZE, ExceptionCode
from fluke_async.kernel import message
from fluke_async.kernel.buffers import match
from fluke_async.kernel.objects.port import Port
from tests.kernel.machine import UNMAPPED, Machine
from tests.kernel.messages import Service

CHUNK = COPY_CHUNK_WORDS
SHAPES = (  # lengths of the buffers of a side; the first one is that in registers
    (0, 0, 5),
    (5, 0, 0, 1, 1),
    (1,) * 40,
    (3, CHUNK, 2),
    (CHUNK, CHUNK),
    (CHUNK - 1, 1, CHUNK, 7),
    (2 * CHUNK + 9,),
    (),
)


class Buffers:
    """Buffers of given lengths in memory of their own, each at another distance from a page's start."""

    def __init__(self, machine: Machine, lengths: Sequence[int], words: Sequence[int] = ()) -> None:
        self.machine = machine
        self.places = [
            (machine.buffer(words + PAGE_SIZE // WORD_SIZE) + 8 * (number * 37 % 500), words)
            for number, words in enumerate(lengths)
        ]
        for (address, count), begin in zip(self.places, self.begins, strict=True):
            machine.write(address, list(words[begin : begin + count]))
        flat = [word for address, count in self.places[1:] for word in (count, address)]
        self.table = machine.buffer(flat or 1)

    @property
    def begins(self) -> list[int]:
        """How many words lie before each buffer."""
        return [sum(words for _, words in self.places[:number]) for number in range(len(self.places))]

    def operands(self, role: str) -> dict[str, int]:
        """How a call names them."""
        address, words = self.places[0] if self.places else (0, 0)
        more = max(0, len(self.places) - 1)
        return {
            f"{role}_buffer": address,
            f"{role}_words": words,
            f"{role}_buffer_table": self.table,
            f"{role}_buffer_count": more,
        }

    @property
    def content(self) -> list[int]:
        """All their words in a row."""
        return [word for address, words in self.places for word in self.machine.read(address, words)]

    def left_after(self, done: int) -> int:
        """How many words of room are left where the call says that receiving would go on."""
        return sum(words for _, words in self.places) - done


@pytest.mark.parametrize("server_first", [False, True])
@pytest.mark.parametrize("room", SHAPES, ids=str)
@pytest.mark.parametrize("sent", SHAPES, ids=str)
def test_words_arrive_in_order_and_what_does_not_fit_is_cut_off(
    machine: Machine, sent: tuple[int, ...], room: tuple[int, ...], server_first: bool
) -> None:
    """A request of one shape into room of another, and an answer the other way round."""
    service = Service(machine)
    request = list(range(1000, 1000 + sum(sent)))
    outgoing, asked = Buffers(machine, sent, request), Buffers(machine, room)
    answer = list(range(50_000, 50_000 + sum(room)))
    answering, answered = Buffers(machine, room, answer), Buffers(machine, sent)
    kept = machine.buffer(12)
    server_parts = (
        *machine.call("ipc_setup_wait_receive", portset=service.portset, **asked.operands("receive")),
        *(machine.keep(name, kept + 8 * index) for index, name in enumerate(("a4", "t5", "t6", "t4"))),
        *machine.call("ipc_reply", **answering.operands("send")),
    )
    client_parts = (
        *machine.call(
            "ipc_call",
            destination_ref=service.reference,
            **outgoing.operands("send"),
            **answered.operands("receive"),
        ),
        *(machine.keep(name, kept + 8 * index) for index, name in enumerate(("a4", "t5", "t6", "t4"), 4)),
    )
    for parts in (server_parts, client_parts) if server_first else (client_parts, server_parts):
        machine.spawn(*parts)
        machine.run()
    moved = min(sum(sent), sum(room))
    assert asked.content[:moved] == request[:moved]
    assert answered.content[:moved] == answer[:moved]
    assert not any(asked.content[moved:] + answered.content[moved:])
    for (words, count, received, table), side in zip(
        (machine.read(kept, 4), machine.read(kept + 32, 4)), (asked, answered), strict=True
    ):
        assert received == moved
        rest = side.places[len(side.places) - count :] if count else []
        assert words + sum(length for _, length in rest) == side.left_after(moved)
        assert table == side.table + 16 * (max(0, len(side.places) - 1) - count)


@pytest.mark.parametrize("server_first", [False, True])
def test_one_way_message_is_gathered_and_scattered(machine: Machine, server_first: bool) -> None:
    service = Service(machine)
    outgoing, taken = Buffers(machine, (2, 3, 600, 900), range(1, 1506)), Buffers(machine, (1, 700, 700))
    send = machine.call("ipc_send", destination_ref=service.reference, **outgoing.operands("send"))
    receive = machine.call("ipc_setup_wait_receive", portset=service.portset, **taken.operands("receive"))
    for parts in (receive, send) if server_first else (send, receive):
        machine.spawn(parts)
        machine.run()
    assert taken.content[:CHUNK] == list(range(1, CHUNK + 1))  # one chunk and no more
    assert not any(taken.content[CHUNK:])


@pytest.mark.parametrize(
    ("entry", "code"),
    [
        ((1 << 63, 8), ExceptionCode.INVALID_MESSAGE),
        ((1, 12), ExceptionCode.BUFFER_UNALIGNED),
        ((1, UNMAPPED), ExceptionCode.LOAD_FAULT),
        ((2, 2**64 - 8), ExceptionCode.LOAD_FAULT),
    ],
)
def test_a_table_that_lies_is_its_senders_mistake(
    machine: Machine, entry: tuple[int, int], code: ExceptionCode
) -> None:
    service = Service(machine)
    server = service.server()
    machine.run()
    result = machine.invoke(
        "ipc_call",
        destination_ref=service.reference,
        send_buffer_table=machine.buffer(entry),
        send_buffer_count=1,
    )
    assert result.exception is code
    assert machine.stage(server) == "ipc_wait_receive"


def test_a_device_gets_and_gives_scattered_words(machine: Machine) -> None:
    port = machine.new(Port)
    port.receiver = machine.requests.append  # never called: the machine takes note itself
    outgoing, taken = Buffers(machine, (1, 0, 2), (7, 8, 9)), Buffers(machine, (0, 1, 1))
    machine.spawn(
        machine.call(
            "ipc_call",
            destination_ref=machine.reference(port),
            **outgoing.operands("send"),
            **taken.operands("receive"),
        )
    )
    machine.run()
    (request,) = machine.requests
    assert request.words == (7, 8, 9)
    message.answer(machine.core, request, (30, 40, 50))
    machine.run()
    assert taken.content == [30, 40]


def test_pieces_are_matched_without_gaps() -> None:
    generator = random.Random(4)
    for _ in range(200):
        sides = []
        for base in (0, 1 << 20):
            lengths = [generator.randrange(1, 9) for _ in range(generator.randrange(6))]
            sides.append([(base + 1000 * number, words) for number, words in enumerate(lengths)])
        flat = [[address + 8 * word for address, words in side for word in range(words)] for side in sides]
        moves = match(*sides)
        for index, side in enumerate(flat):
            moved = [move[index] + 8 * word for move in moves for word in range(move[2])]
            assert moved == side[: len(moved)]
        assert sum(words for _, _, words in moves) == min(len(side) for side in flat)
