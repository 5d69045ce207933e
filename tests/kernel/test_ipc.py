"""Messages: who gets what, and in which order."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import (
    COPY_CHUNK_WORDS,
    WORD_SIZE,
    MessageKind,
    Status,
)
from fluke_async.kernel.message import answer
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

BIG = [1, 2, COPY_CHUNK_WORDS - 1, COPY_CHUNK_WORDS, COPY_CHUNK_WORDS + 1, 5000]


def content(words: int, first: int = 1000) -> list[int]:
    return list(range(first, first + words))


# -- idempotent calls ------------------------------------------------------------------------------


@pytest.mark.parametrize("combined", [True, False])
@pytest.mark.parametrize("server_first", [True, False])
def test_call_is_answered(machine: Machine, server_first: bool, combined: bool) -> None:
    service = Service(machine)
    if server_first:
        server = service.server(combined=combined)
        machine.run()
    client, received = service.client([41, 5], room=4)
    if not server_first:
        machine.run()
        server = service.server(combined=combined)
    machine.run()
    assert machine.done(client)
    assert machine.register(client, "a0") == Status.SUCCESS
    assert machine.read(received, 2) == [42, 0]
    assert machine.register(client, "t6") == 1  # words received
    assert machine.register(client, "a4") == 3  # room left
    assert machine.register(client, "a3") == received + WORD_SIZE
    assert machine.stage(server) == "ipc_wait_receive"
    assert server.waiting_for is service.portset
    assert server.client is None


@pytest.mark.parametrize("server_first", [True, False])
def test_receiver_is_told_alias_kind_and_length(machine: Machine, server_first: bool) -> None:
    service = Service(machine, alias=0xA11A5)
    kept = machine.buffer(8)
    work = tuple(
        machine.keep(register, kept + WORD_SIZE * index)
        for index, register in enumerate(("a0", "a1", "a2", "t6", "a4"))
    )
    if server_first:
        service.server(work=work)
        machine.run()
    service.client([1, 2, 3])
    if not server_first:
        machine.run()
        service.server(work=work)
    machine.run()
    assert machine.read(kept, 5) == [Status.SUCCESS, 0xA11A5, MessageKind.IDEMPOTENT, 3, 13]


@pytest.mark.parametrize("server_first", [True, False])
@pytest.mark.parametrize("words", BIG)
def test_long_messages_arrive_whole_in_both_directions(machine: Machine, words: int, server_first: bool) -> None:
    service = Service(machine)
    if server_first:
        service.server(room=words, reply_words=words)
        machine.run()
    client, received = service.client(content(words), room=words)
    if not server_first:
        machine.run()
        service.server(room=words, reply_words=words)
    machine.run()
    assert machine.done(client)
    assert machine.read(received, words) == [1001, *content(words)[1:]]
    assert machine.register(client, "t6") == words
    assert machine.register(client, "a4") == 0


@pytest.mark.parametrize("server_first", [True, False])
@pytest.mark.parametrize("words", [3, COPY_CHUNK_WORDS + 3])
def test_what_does_not_fit_is_cut_off(machine: Machine, words: int, server_first: bool) -> None:
    """In both directions, and nothing is written beyond the room."""
    service = Service(machine)
    if server_first:
        server = service.server(room=words - 2, reply_words=words)
        machine.run()
    client, received = service.client(content(words), room=words - 1)
    machine.write(received + (words - 1) * WORD_SIZE, [0xDEAD])
    if not server_first:
        machine.run()
        server = service.server(room=words - 2, reply_words=words)
    machine.run()
    assert machine.done(client)
    assert machine.register(client, "t6") == words - 1
    assert machine.register(client, "a4") == 0
    assert machine.read(received, words)[: words - 2] == [1001, *content(words - 3, 1001)]
    assert machine.read(received, words)[words - 2 :] == [0, 0xDEAD]  # the server got words - 2 of them
    assert server.waiting_for is service.portset


def test_empty_request_and_empty_reply(machine: Machine) -> None:
    service = Service(machine)
    service.server(reply_words=0)
    client, _ = service.client([], room=0)
    machine.run()
    assert machine.done(client)
    assert machine.register(client, "t6") == 0


def test_clients_are_served_by_priority_then_in_the_order_of_waiting(machine: Machine) -> None:
    service = Service(machine)
    log = machine.buffer(16)
    clients = []
    for index, priority in enumerate((10, 20, 10, 25, 20)):
        clients.append(service.client([index], priority=priority)[0])
        machine.run()
    service.server(
        work=(
            ("load", "s3", "zero", log),
            ("add", "s3", "s3", WORD_SIZE),
            ("store", "s3", "zero", log),
            ("add", "s3", "s3", log),
            ("store", "s2", "s3", 0),
        ),
        priority=30,
    )
    machine.run()
    assert machine.done(*clients)
    assert machine.read(log + WORD_SIZE, 5) == [4, 2, 5, 1, 3]  # each one greater than was sent


def test_servers_are_chosen_by_priority_then_in_the_order_of_waiting(machine: Machine) -> None:
    service = Service(machine)
    servers = []
    for priority in (10, 20, 20):
        servers.append(service.server(priority=priority, work=(("burn", 5000),)))
        machine.run()
    for _ in range(3):
        service.client([1], priority=30)
    machine.run()
    captured = [event[2] for event in machine.happened(Event.ADVANCE)]
    assert captured == [servers[1].hash, servers[2].hash, servers[0].hash]


def test_several_servers_serve_at_once(machine: Machine) -> None:
    """Each of two clients is answered only after both requests were received."""
    service = Service(machine)
    gate = machine.new(Mutex)
    holder = machine.spawn(
        machine.call("mutex_lock", mutex=gate),
        ("burn", 100_000),
        machine.call("mutex_unlock", mutex=gate),
        priority=20,
    )
    servers = [
        service.server(
            work=(
                machine.call("mutex_lock", mutex=gate),
                machine.call("mutex_unlock", mutex=gate),
            )
        )
        for _ in range(2)
    ]
    clients = [service.client([1])[0] for _ in range(2)]
    machine.run()
    assert machine.done(holder, *clients)
    assert all(server.waiting_for is service.portset for server in servers)


def test_server_that_receives_again_without_a_reply_gets_the_request_again(machine: Machine) -> None:
    """At least once: a client does not wait for a server that has forgotten it."""
    service = Service(machine)
    buffer = machine.buffer(2)
    receive = {"receive_buffer": buffer, "receive_words": 2}
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset, **receive),
        machine.call("ipc_wait_receive", **receive),
        machine.call("ipc_reply", send_buffer=buffer, send_words=2),
    )
    client, received = service.client([8, 9])
    machine.run()
    assert machine.done(server, client)
    assert machine.read(received, 2) == [8, 9]


def test_empty_request_to_a_device(machine: Machine) -> None:
    port = machine.new(Port)
    port.receiver = machine.requests.append  # never called: the machine takes note itself
    client = machine.spawn(machine.call("ipc_call", destination_ref=machine.reference(port)))
    machine.run()
    assert [request.words for request in machine.requests] == [()]
    answer(machine.core, machine.requests[0], (1, 2))
    machine.run()
    assert machine.done(client)
    assert machine.register(client, "t6") == 0


# -- one-way messages ------------------------------------------------------------------------------


@pytest.mark.parametrize("server_first", [True, False])
def test_one_way_message_arrives_and_needs_no_reply(machine: Machine, server_first: bool) -> None:
    service = Service(machine, alias=9)
    buffer = machine.buffer(4)
    receive = machine.call("ipc_setup_wait_receive", portset=service.portset, receive_buffer=buffer, receive_words=4)
    if server_first:
        server = machine.spawn(receive)
        machine.run()
    client = machine.spawn(
        machine.call(
            "ipc_send",
            destination_ref=service.reference,
            send_buffer=machine.buffer([3, 1, 4]),
            send_words=3,
        )
    )
    machine.run()
    if not server_first:
        assert client.waiting_for is service.port
        server = machine.spawn(receive)
        machine.run()
    assert machine.done(client, server)
    assert machine.register(client, "a0") == Status.SUCCESS
    assert machine.read(buffer, 4) == [3, 1, 4, 0]
    names = ("a0", "a1", "a2", "t6")
    assert [machine.register(server, name) for name in names] == [0, 9, MessageKind.ONE_WAY, 3]
    assert server.client is None


def test_reply_with_no_request_outstanding_does_nothing(machine: Machine) -> None:
    assert machine.invoke("ipc_reply").status == Status.SUCCESS
    service = Service(machine)
    buffer = machine.buffer(4)
    server = machine.spawn(
        machine.call(
            "ipc_setup_wait_receive",
            portset=service.portset,
            receive_buffer=buffer,
            receive_words=4,
        ),
        machine.call("ipc_reply", send_buffer=buffer, send_words=1),
    )
    client = machine.spawn(machine.call("ipc_send", destination_ref=service.reference))
    machine.run()
    assert machine.done(client, server)
    assert machine.register(server, "a0") == Status.SUCCESS


def test_one_way_message_to_a_device_is_a_request_that_nobody_waits_for(machine: Machine) -> None:
    port = machine.new(Port)
    port.receiver = machine.requests.append  # never called: the machine takes note itself
    send = {"send_buffer": machine.buffer([3, 1, 4]), "send_words": 3}
    client = machine.spawn(machine.call("ipc_send", destination_ref=machine.reference(port), **send))
    machine.run()
    assert machine.done(client)
    (request,) = machine.requests
    assert (request.words, request.port, request.thread) == ((3, 1, 4), port, client)
    assert not request.is_open
    before = client.export_bits()
    answer(machine.core, request, (1, 2))
    assert client.export_bits() == before
