"""How much a message may be of at most, and that a chunk of which a part is missing does not move at all."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import (
    COPY_CHUNK_WORDS,
    MAX_MESSAGE_BUFFERS,
    MAX_MESSAGE_REFERENCES,
    ExceptionCode,
)
from fluke_async.kernel import message
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import MESSAGE_WORDS_MAX
from tests.kernel.machine import UNMAPPED, Machine
from tests.kernel.messages import Service

each_order = pytest.mark.parametrize("server_first", [False, True])


def exchange(machine: Machine, sent: dict[str, Any], room: dict[str, Any], *, server_first: bool) -> list[Thread]:
    """A client that calls a server which answers nothing; the server, and the client."""
    service = Service(machine)
    receive = machine.call("ipc_setup_wait_receive", portset=service.portset, **room)
    server = machine.spawn(receive, ("add", "s3", "t6", 0), machine.call("ipc_reply"), start=False)
    client = machine.spawn(machine.call("ipc_call", destination_ref=service.reference, **sent), start=False)
    for thread in (server, client) if server_first else (client, server):
        machine.core.start(thread)
        machine.run()
    return [server, client]


@each_order
def test_as_many_references_as_a_message_may_have_are_passed(machine: Machine, server_first: bool) -> None:
    target, count = machine.new(Mutex), MAX_MESSAGE_REFERENCES
    given, slot = machine.addresses[machine.reference(target)], machine.reference()
    sent = {"send_ref_table": machine.buffer([given] * count), "send_ref_count": count}
    room = {"receive_ref_table": machine.buffer([machine.addresses[slot]] * count), "receive_ref_count": count}
    server, client = exchange(machine, sent, room, server_first=server_first)
    assert machine.done(server, client)
    assert slot.target is target
    assert machine.register(server, "t1") == 0


@each_order
def test_as_many_buffers_as_a_message_may_have_are_gathered_and_scattered(machine: Machine, server_first: bool) -> None:
    count = MAX_MESSAGE_BUFFERS
    words = list(range(1, count + 2))
    outgoing, incoming = machine.buffer(words), machine.buffer([0] * (count + 2))
    sides = []
    for role, place in (("send", outgoing), ("receive", incoming)):
        table = machine.buffer([word for number in range(1, count + 1) for word in (1, place + 8 * number)])
        sides.append(
            {
                f"{role}_buffer": place,
                f"{role}_words": 1,
                f"{role}_buffer_table": table,
                f"{role}_buffer_count": count,
            }
        )
    server, client = exchange(machine, *sides, server_first=server_first)
    assert machine.done(server, client)
    assert machine.read(incoming, count + 2) == [*words, 0]
    assert machine.register(server, "s3") == count + 1


@each_order
@pytest.mark.parametrize("role", ["send", "receive"])
def test_a_buffer_may_be_said_to_be_as_long_as_all_memory(machine: Machine, role: str, server_first: bool) -> None:
    """What is there of it is used, as far as the other side goes."""
    words, place = [1, 2, 3], machine.buffer([0] * COPY_CHUNK_WORDS)
    machine.write(place, words if role == "send" else [0] * 3)
    said = {f"{role}_buffer": place, f"{role}_words": MESSAGE_WORDS_MAX}
    if role == "send":
        sent, room = said, {"receive_buffer": machine.buffer(3), "receive_words": 3}
    else:
        sent, room = {"send_buffer": machine.buffer(words), "send_words": 3}, said
    server, client = exchange(machine, sent, room, server_first=server_first)
    assert machine.done(server, client)
    assert machine.read(room["receive_buffer"], 3) == words
    assert machine.register(server, "s3") == 3


@pytest.mark.parametrize(
    ("operands", "code"),
    [
        ({"send_ref_count": MAX_MESSAGE_REFERENCES + 1}, ExceptionCode.INVALID_MESSAGE),
        ({"send_buffer_count": MAX_MESSAGE_BUFFERS + 1}, ExceptionCode.INVALID_MESSAGE),
        ({"send_words": MESSAGE_WORDS_MAX + 1}, ExceptionCode.INVALID_MESSAGE),
        ({"receive_ref_count": MAX_MESSAGE_REFERENCES + 1}, ExceptionCode.INVALID_MESSAGE),
        ({"receive_buffer_count": MAX_MESSAGE_BUFFERS + 1}, ExceptionCode.INVALID_MESSAGE),
        ({"receive_words": MESSAGE_WORDS_MAX + 1}, ExceptionCode.INVALID_MESSAGE),
    ],
    ids=str,
)
def test_one_more_than_there_may_be_is_a_mistake_that_names_it(
    machine: Machine, operands: dict[str, int], code: ExceptionCode
) -> None:
    service = Service(machine)
    ((_, count),) = operands.items()
    room = machine.buffer([0] * COPY_CHUNK_WORDS)
    places = {
        f"{role}_{what}": room for role in ("send", "receive") for what in ("buffer", "ref_table", "buffer_table")
    }
    result = machine.invoke("ipc_call", destination_ref=service.reference, **places, **operands)
    assert (result.exception, result.subcode) == (code, count)


@each_order
@pytest.mark.parametrize("bad", ["send", "receive"])
@pytest.mark.parametrize("kind", ["call", "connection"])
def test_nothing_of_a_chunk_arrives_where_a_later_part_of_it_cannot(
    machine: Machine, kind: str, bad: str, server_first: bool
) -> None:
    """Whose memory is missing is to blame, and the other end's memory and progress are what they were."""
    service = Service(machine)
    good = {role: machine.buffer([5, 6, 7, 8] if role == "send" else [0] * 4) for role in ("send", "receive")}
    sides = {}
    for role, place in good.items():
        second = UNMAPPED if role == bad else place + 16
        sides[role] = {
            f"{role}_buffer": place,
            f"{role}_words": 2,
            f"{role}_buffer_table": machine.buffer([2, second]),
            f"{role}_buffer_count": 1,
        }
    receive = machine.call("ipc_setup_wait_receive", portset=service.portset, **sides["receive"])
    name = "ipc_call" if kind == "call" else "ipc_client_connect_send"
    server = machine.spawn(receive, start=False)
    client = machine.spawn(machine.call(name, destination_ref=service.reference, **sides["send"]), start=False)
    for thread in (server, client) if server_first else (client, server):
        machine.core.start(thread)
        machine.run()
    guilty, other = (client, server) if bad == "send" else (server, client)
    assert machine.failure(guilty) is (ExceptionCode.LOAD_FAULT if bad == "send" else ExceptionCode.STORE_FAULT)
    assert machine.read(good["receive"], 4) == [0] * 4
    assert machine.register(server, "t6") == 0
    if kind == "call":
        assert machine.failure(other) is None
        assert other.waiting_for is (service.portset if other is server else service.port)


def test_who_cannot_take_a_devices_answer_gets_its_own_exception(machine: Machine) -> None:
    """And has got nothing of the answer."""
    port = machine.new(Port)
    port.receiver = machine.requests.append
    place = machine.buffer([0] * 4)
    table = machine.buffer([2, place + 16])
    client = machine.spawn(
        machine.call(
            "ipc_call",
            destination_ref=machine.reference(port),
            receive_buffer=place,
            receive_words=2,
            receive_buffer_table=table,
            receive_buffer_count=1,
        )
    )
    machine.run()
    machine.write(table, [2, UNMAPPED])
    (request,) = machine.requests
    message.answer(machine.core, request, (1, 2, 3, 4))
    assert machine.read(place, 4) == [0] * 4
    machine.run()
    assert machine.failure(client) is ExceptionCode.STORE_FAULT
    assert len(machine.requests) == 1
    assert not request.is_open


@pytest.mark.parametrize("words", range(7))
def test_a_buffer_that_is_full_is_left_for_the_next_one(machine: Machine, words: int) -> None:
    """Whoever goes on does so where there is room, or something left; in the last one there may be none."""
    lengths = (2, 0, 3)
    places = [machine.buffer([0] * 4) for _ in lengths]
    table = machine.buffer(
        [word for place, length in zip(places[1:], lengths[1:], strict=True) for word in (length, place)]
    )
    room = {
        "receive_buffer": places[0],
        "receive_words": lengths[0],
        "receive_buffer_table": table,
        "receive_buffer_count": 2,
    }
    server, client = exchange(
        machine, {"send_buffer": machine.buffer([9] * 8), "send_words": words}, room, server_first=True
    )
    assert machine.done(server, client)
    begun, done = (0, words) if words < 2 else (2, min(words, 5) - 2)
    said = [machine.register(server, name) for name in ("a3", "a4", "t4", "t5")]
    assert said == [places[begun] + 8 * done, lengths[begun] - done, table + 16 * begun, 2 - begun]
