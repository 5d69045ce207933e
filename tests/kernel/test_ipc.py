"""Messages: who gets what, in which order, and what is left when one end goes away."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import (
    COPY_CHUNK_WORDS,
    PAGE_SIZE,
    WORD_SIZE,
    ExceptionCode,
    MessageKind,
    Prot,
    Status,
)
from fluke_async.kernel.ipc import answer
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.machine import MEMORY, UNMAPPED, Machine
from tests.kernel.messages import Service

BIG = [1, 2, COPY_CHUNK_WORDS - 1, COPY_CHUNK_WORDS, COPY_CHUNK_WORDS + 1, 5000]


def content(words: int, first: int = 1000) -> list[int]:
    return list(range(first, first + words))


# -- idempotent calls -------------------------------------------------------------------------------------------------


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
    port.receiver = lambda request: None
    client = machine.spawn(machine.call("ipc_call", destination_ref=machine.reference(port)))
    machine.run()
    assert [request.words for request in machine.requests] == [()]
    answer(machine.core, machine.requests[0], (1, 2))
    machine.run()
    assert machine.done(client)
    assert machine.register(client, "t6") == 0


# -- references ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server_first", [True, False])
@pytest.mark.parametrize(("given", "taken"), [(2, 2), (2, 3), (3, 2), (0, 2), (2, 0)])
def test_references_are_passed_as_many_as_both_have(
    machine: Machine, given: int, taken: int, server_first: bool
) -> None:
    service = Service(machine)
    targets = [machine.new(Mutex) for _ in range(given)]
    sent = [machine.addresses[machine.reference(target)] for target in targets]
    slots = [machine.reference() for _ in range(taken)]
    table = machine.buffer(sent or [0])
    room = machine.buffer([machine.addresses[slot] for slot in slots] or [0])
    receive = machine.call(
        "ipc_setup_wait_receive",
        portset=service.portset,
        receive_ref_table=room,
        receive_ref_count=taken,
    )

    def serve() -> Thread:
        return machine.spawn(receive, ("add", "s3", "t1", 0), machine.call("ipc_reply"))

    if server_first:
        server = serve()
        machine.run()
    client = machine.spawn(
        machine.call(
            "ipc_call",
            destination_ref=service.reference,
            send_ref_table=table,
            send_ref_count=given,
        )
    )
    machine.run()
    if not server_first:
        server = serve()
        machine.run()
    moved = min(given, taken)
    assert machine.done(client, server)
    assert [slot.target for slot in slots] == targets[:moved] + [None] * (taken - moved)
    assert machine.register(server, "s3") == taken - moved


def test_references_in_a_reply(machine: Machine) -> None:
    service = Service(machine)
    target, slot = machine.new(Mutex), machine.reference()
    table = machine.buffer([machine.addresses[machine.reference(target)]])
    room = machine.buffer([machine.addresses[slot]])
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset),
        machine.call("ipc_reply", send_ref_table=table, send_ref_count=1),
    )
    client = machine.spawn(
        machine.call(
            "ipc_call",
            destination_ref=service.reference,
            receive_ref_table=room,
            receive_ref_count=1,
        )
    )
    machine.run()
    assert machine.done(client, server)
    assert slot.target is target
    assert machine.register(client, "t1") == 0


def test_bad_reference_of_the_client_is_the_clients_mistake(machine: Machine) -> None:
    """Whoever carries the message: the server waits on, and takes the next."""
    service = Service(machine)
    slot = machine.reference()
    room = machine.buffer([machine.addresses[slot]])
    for server_first in (True, False):
        bad = machine.spawn(
            machine.call(
                "ipc_call",
                destination_ref=service.reference,
                send_ref_table=machine.buffer([machine.slot()]),
                send_ref_count=1,
            ),
            priority=20,
            start=not server_first,
        )
        server = machine.spawn(
            machine.call(
                "ipc_setup_wait_receive",
                portset=service.portset,
                receive_ref_table=room,
                receive_ref_count=1,
            ),
            machine.call("ipc_reply"),
        )
        machine.run()
        if server_first:
            machine.core.start(bad)
            machine.run()
        assert machine.failure(bad) is ExceptionCode.NO_OBJECT
        good, _ = service.client([1])
        machine.run()
        assert machine.done(good, server)


# -- one-way messages -----------------------------------------------------------------------------------------------------


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


# -- ports and port sets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "status"),
    [("ipc_send", Status.INVALID_DEST), ("ipc_call", Status.IPC_CONNECT_INVALID_DEST)],
)
def test_no_port_is_an_invalid_destination(machine: Machine, name: str, status: Status) -> None:
    """A null reference, one to something else, one whose port is gone, and a port that goes while it is waited for."""
    port = machine.new(Port)
    waiting = machine.spawn(machine.call(name, destination_ref=machine.reference(port)))
    machine.run()
    assert waiting.waiting_for is port
    gone = machine.reference(port)
    assert machine.invoke("port_destroy", port=port).status == Status.SUCCESS
    assert machine.done(waiting)
    assert machine.register(waiting, "a0") == status
    for reference in (gone, machine.reference(), machine.reference(machine.new(Portset))):
        assert machine.invoke(name, destination_ref=reference).status == status


def test_callers_of_a_port_in_a_set_are_told_that_it_is_gone(machine: Machine) -> None:
    service = Service(machine)
    other = machine.new(Port)
    machine.load(other, None, portset=service.portset)
    client, _ = service.client([1])
    machine.run()
    machine.invoke("port_destroy", port=service.port)
    assert machine.done(client)
    assert machine.register(client, "a0") == Status.IPC_CONNECT_INVALID_DEST
    assert service.portset.ports == {other}


def test_port_without_a_set_makes_callers_wait(machine: Machine) -> None:
    service = Service(machine)
    machine.load(service.port, None, portset=None)
    service.server()
    client, received = service.client([1])
    machine.run()
    assert client.waiting_for is service.port
    reference = machine.reference(service.portset)
    machine.invoke("port_set_state", port=service.port, portset_ref=reference)
    assert machine.done(client)
    assert machine.word(received) == 2


def test_all_idle_servers_serve_the_callers_of_a_port_that_moves_to_their_set(
    machine: Machine,
) -> None:
    """Two callers come with the port and two servers are idle: neither has to wait for the other."""
    service = Service(machine)
    machine.load(service.port, None, portset=None)
    gate = machine.new(Mutex)
    holder = machine.spawn(machine.call("mutex_lock", mutex=gate))
    machine.run()
    work = (machine.call("mutex_lock", mutex=gate), machine.call("mutex_unlock", mutex=gate))
    servers = [service.server(work=work) for _ in range(2)]
    clients = [service.client([index])[0] for index in range(2)]
    machine.run()
    machine.load(service.port, None, portset=service.portset)
    machine.run()
    assert machine.done(holder)
    assert [server.waiting_for for server in servers] == [gate, gate]
    assert {client.waiting_for for client in clients} == set(servers)


def test_callers_move_with_their_port(machine: Machine) -> None:
    """To the servers of the new set, in order; those of the old one see them no more."""
    old, new = Service(machine), Service(machine)
    clients = [old.client([index], priority=10 + index) for index in range(3)]
    machine.run()
    machine.load(old.port, None, portset=new.portset)
    idle = old.server()
    machine.run()
    assert idle.waiting_for is old.portset
    assert len(old.portset.callers) == 0
    assert [caller.waiting_for for caller, _ in clients] == [old.port] * 3
    new.server()
    machine.run()
    assert machine.done(*(client for client, _ in clients))
    assert [machine.word(received) for _, received in clients] == [1, 2, 3]


def test_caller_of_two_ports_of_a_set_one_after_the_other(machine: Machine) -> None:
    """An interrupted caller waits for another port of the same set in its handler."""
    service = Service(machine)
    second = machine.new(Port)
    machine.load(second, None, portset=service.portset)
    client, received = service.client(
        [1],
        priority=10,
        parts=(
            ("jump", "end"),
            "handler",
            machine.call("ipc_send", destination_ref=machine.reference(second)),
            "end",
        ),
        interrupt_handler="handler",
    )
    machine.run()
    machine.invoke("thread_interrupt", thread=client)
    assert client.waiting_for is second
    service.server()
    machine.run()
    assert machine.done(client)
    assert machine.word(received) == 0


def test_destroyed_port_set_leaves_its_callers_waiting_and_its_servers_mistaken(
    machine: Machine,
) -> None:
    service = Service(machine)
    server = service.server()
    machine.run()
    assert machine.invoke("portset_destroy", portset=service.portset).status == Status.SUCCESS
    assert machine.failure(server) is ExceptionCode.NO_OBJECT
    client, received = service.client([1])
    machine.run()
    assert client.waiting_for is service.port
    assert service.port.portset is None

    other = Service(machine)
    other.server()
    machine.load(service.port, None, portset=other.portset)
    machine.run()
    assert machine.done(client)
    assert machine.word(received) == 2


def test_receiving_without_a_port_set_is_a_mistake(machine: Machine) -> None:
    for name in ("ipc_wait_receive", "ipc_server_receive", "ipc_reply_wait_receive"):
        assert machine.invoke(name).exception is ExceptionCode.NO_PORTSET
    port = machine.new(Port)
    assert machine.invoke("ipc_setup_wait_receive", portset=port).exception is (ExceptionCode.NOT_PORTSET)


# -- whose mistake -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("operands", "code"),
    [
        ({"send_buffer": 4, "send_words": 1}, ExceptionCode.BUFFER_UNALIGNED),
        ({"receive_buffer": 4, "receive_words": 1}, ExceptionCode.BUFFER_UNALIGNED),
        ({"send_buffer": UNMAPPED, "send_words": 1}, ExceptionCode.LOAD_FAULT),
        ({"receive_buffer": UNMAPPED, "receive_words": 1}, ExceptionCode.STORE_FAULT),
        ({"send_buffer": MEMORY, "send_words": 1 << 60}, ExceptionCode.INVALID_MESSAGE),
        ({"send_ref_table": MEMORY, "send_ref_count": 256}, ExceptionCode.INVALID_MESSAGE),
        ({"send_buffer_count": 1}, ExceptionCode.INVALID_MESSAGE),
        ({"receive_buffer_count": 1}, ExceptionCode.INVALID_MESSAGE),
        ({"send_buffer": 2**64 - 8, "send_words": 2}, ExceptionCode.LOAD_FAULT),
    ],
)
def test_own_side_is_checked_before_anything_else(
    machine: Machine, operands: dict[str, int], code: ExceptionCode
) -> None:
    service = Service(machine)
    server = service.server()
    machine.run()
    result = machine.invoke("ipc_call", destination_ref=service.reference, **operands)
    assert result.exception is code
    assert server.waiting_for is service.portset
    assert machine.stage(server) == "ipc_wait_receive"


def torn(machine: Machine, words: int = 2 * COPY_CHUNK_WORDS) -> int:
    """The address of a buffer of which only the first chunk is mapped, in a space of its own."""
    region = machine._parent(Region)
    size = COPY_CHUNK_WORDS * WORD_SIZE
    machine.load(
        region,
        {"start_va": MEMORY, "size": machine.buffer(words) + size - MEMORY, "prot": int(Prot.ALL)},
        space=machine.space,
    )
    address = UNMAPPED + 0x100_0000
    machine.map(machine.space, region, address, size, offset=region.size - size)
    assert size % PAGE_SIZE == 0
    return address


@pytest.mark.parametrize("server_first", [True, False])
def test_client_whose_request_cannot_be_read_is_to_blame(machine: Machine, server_first: bool) -> None:
    """Its server is free for the next client, whoever did the copying."""
    service = Service(machine)
    words = 2 * COPY_CHUNK_WORDS
    call = machine.call("ipc_call", destination_ref=service.reference, send_buffer=torn(machine), send_words=words)
    if not server_first:
        bad = machine.spawn(call)
        machine.run()
    server = service.server(room=words)
    machine.run()
    if server_first:
        bad = machine.spawn(call)
        machine.run()
    assert machine.failure(bad) is ExceptionCode.LOAD_FAULT
    assert server.client is None
    assert server.waiting_for is service.portset
    good, received = service.client([1])
    machine.run()
    assert machine.done(good)
    assert machine.word(received) == 2


@pytest.mark.parametrize("server_first", [True, False])
def test_server_whose_room_cannot_be_written_is_to_blame(machine: Machine, server_first: bool) -> None:
    """The client finds another."""
    service = Service(machine)
    words = 2 * COPY_CHUNK_WORDS
    receive = machine.call(
        "ipc_setup_wait_receive",
        portset=service.portset,
        receive_buffer=torn(machine),
        receive_words=words,
    )
    if server_first:
        bad = machine.spawn(receive)
        machine.run()
    client, received = service.client(content(words))
    machine.run()
    if not server_first:
        bad = machine.spawn(receive)
        machine.run()
    assert machine.failure(bad) is ExceptionCode.STORE_FAULT
    assert client.waiting_for is service.port
    service.server(room=words)
    machine.run()
    assert machine.done(client)
    assert machine.word(received) == 1001


def test_client_whose_room_cannot_be_written_is_to_blame(machine: Machine) -> None:
    service = Service(machine)
    words = 2 * COPY_CHUNK_WORDS
    server = service.server(reply_words=words)
    bad = machine.spawn(
        machine.call(
            "ipc_call",
            destination_ref=service.reference,
            receive_buffer=torn(machine),
            receive_words=words,
        )
    )
    machine.run()
    assert machine.failure(bad) is ExceptionCode.STORE_FAULT
    assert server.waiting_for is service.portset
    assert server.client is None


def test_server_whose_reply_cannot_be_read_is_to_blame(machine: Machine) -> None:
    service = Service(machine)
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset),
        machine.call("ipc_reply", send_buffer=torn(machine), send_words=2 * COPY_CHUNK_WORDS),
    )
    client, received = service.client([1], room=2 * COPY_CHUNK_WORDS)
    machine.run()
    assert machine.failure(server) is ExceptionCode.LOAD_FAULT
    assert client.waiting_for is server
    machine.invoke("thread_destroy", thread=server)
    service.server()
    machine.run()
    assert machine.done(client)
    assert machine.word(received) == 2


def test_progress_that_lies_hurts_nobody(machine: Machine) -> None:
    """A server that serves a client names the receiving stage itself, with an impossible progress."""
    service = Service(machine)
    buffer = machine.buffer(4)
    receive = {"receive_buffer": buffer, "receive_words": 4}
    for progress in (5, 1 << 50, 2**64 - 1):
        server = machine.spawn(
            machine.call("ipc_setup_wait_receive", portset=service.portset, **receive),
            machine.call("ipc_server_receive", **receive, progress_words=progress),
            machine.keep("t6", buffer + 8 * WORD_SIZE),
            machine.call("ipc_reply", progress_words=progress),
        )
        client, _ = service.client([1, 2])
        machine.run()
        assert machine.done(server, client)
        assert machine.word(buffer + 8 * WORD_SIZE) <= 4
        assert machine.register(client, "t6") <= 16


# -- ends that go away ----------------------------------------------------------------------------------------------------------

WORDS = 3 * COPY_CHUNK_WORDS


def long_exchange(machine: Machine, service: Service) -> tuple[Thread, Thread, int]:
    """Work, a long request, work, a long reply."""
    server = service.server(room=WORDS, reply_words=WORDS, work=(("burn", 3000),), priority=12)
    client, received = service.client(content(WORDS), room=WORDS, work=(("burn", 500),), priority=11)
    return server, client, received


INSTANTS = range(100, 24_000, 1300)


@pytest.mark.parametrize("instant", INSTANTS)
def test_client_makes_its_call_again_when_its_server_is_destroyed(machine: Machine, instant: int) -> None:
    """At least once: the next server answers in full."""
    service = Service(machine)
    server, client, received = long_exchange(machine, service)
    machine.run_for(instant)
    machine.invoke("thread_destroy", thread=server)
    service.server(room=WORDS, reply_words=WORDS)
    machine.run()
    assert machine.done(client)
    assert machine.register(client, "a0") == Status.SUCCESS
    assert machine.read(received, WORDS) == [1001, *content(WORDS)[1:]]


@pytest.mark.parametrize("instant", INSTANTS)
def test_server_serves_the_next_when_its_client_is_destroyed(machine: Machine, instant: int) -> None:
    service = Service(machine)
    server, client, _ = long_exchange(machine, service)
    machine.run_for(instant)
    if not machine.done(client):
        machine.invoke("thread_destroy", thread=client)
    other, received = service.client(content(WORDS), room=WORDS)
    machine.run()
    assert machine.done(other)
    assert machine.read(received, WORDS) == [1001, *content(WORDS)[1:]]
    assert server.waiting_for is service.portset
    assert server.client is None


@pytest.mark.parametrize("victim", ["server", "client"])
@pytest.mark.parametrize("instant", INSTANTS)
def test_exchange_goes_on_after_either_end_was_stopped(machine: Machine, victim: str, instant: int) -> None:
    service = Service(machine)
    server, client, received = long_exchange(machine, service)
    machine.run_for(instant)
    thread = {"server": server, "client": client}[victim]
    state = machine.buffer(200)
    machine.invoke("thread_get_state", thread=thread, state=state)
    assert thread.stopped
    machine.run()
    machine.core.start(thread)
    machine.run()
    assert machine.done(client)
    assert machine.read(received, WORDS) == [1001, *content(WORDS)[1:]]
    assert server.waiting_for is service.portset


@pytest.mark.parametrize("victim", ["server", "client"])
@pytest.mark.parametrize("instant", INSTANTS)
def test_exchange_goes_on_after_either_end_was_interrupted(machine: Machine, victim: str, instant: int) -> None:
    service = Service(machine)
    hits = machine.buffer(1)
    handler = (
        ("jump", "end"),
        "handler",
        ("load", "s6", "zero", hits),
        ("add", "s6", "s6", 1),
        ("store", "s6", "zero", hits),
        machine.bare_call("thread_return_from_exception"),
        "end",
    )
    options = {"parts": handler, "interrupt_handler": "handler"}
    server = service.server(
        room=WORDS, reply_words=WORDS, work=(("burn", 3000),), priority=12,
        **(options if victim == "server" else {}),
    )  # fmt: skip
    client, received = service.client(
        content(WORDS), room=WORDS, work=(("burn", 500),), priority=11,
        **(options if victim == "client" else {}),
    )  # fmt: skip
    machine.run_for(instant)
    thread = {"server": server, "client": client}[victim]
    alive = not machine.done(thread)
    machine.invoke("thread_interrupt", thread=thread)
    machine.run()
    if alive:
        assert machine.word(hits) == 1
        assert machine.done(client)
        assert machine.read(received, WORDS) == [1001, *content(WORDS)[1:]]
