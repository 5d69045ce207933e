"""Messages that cannot be sent or received: the mistake is of the thread whose memory is bad, and of nobody else."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import (
    COPY_CHUNK_WORDS,
    PAGE_SIZE,
    WORD_SIZE,
    ExceptionCode,
    Prot,
)
from fluke_async.kernel.objects.region import Region
from tests.kernel.machine import MEMORY, UNMAPPED, Machine
from tests.kernel.messages import Service


def content(words: int, first: int = 1000) -> list[int]:
    return list(range(first, first + words))


@pytest.mark.parametrize(
    ("operands", "code"),
    [
        ({"send_buffer": 4, "send_words": 1}, ExceptionCode.BUFFER_UNALIGNED),
        ({"receive_buffer": 4, "receive_words": 1}, ExceptionCode.BUFFER_UNALIGNED),
        ({"send_buffer": UNMAPPED, "send_words": 1}, ExceptionCode.LOAD_FAULT),
        ({"receive_buffer": UNMAPPED, "receive_words": 1}, ExceptionCode.STORE_FAULT),
        ({"send_buffer": MEMORY, "send_words": 1 << 60}, ExceptionCode.INVALID_MESSAGE),
        ({"send_ref_table": MEMORY, "send_ref_count": 256}, ExceptionCode.INVALID_MESSAGE),
        ({"send_buffer_count": 256, "send_buffer_table": MEMORY}, ExceptionCode.INVALID_MESSAGE),
        ({"receive_buffer_count": 1 << 63, "receive_buffer_table": MEMORY}, ExceptionCode.INVALID_MESSAGE),
        ({"send_buffer_count": 1, "send_buffer_table": UNMAPPED}, ExceptionCode.LOAD_FAULT),
        ({"receive_buffer_count": 1, "receive_buffer_table": MEMORY + 4}, ExceptionCode.BUFFER_UNALIGNED),
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
            machine.call("ipc_request_receive", **receive, progress_words=progress),
            machine.keep("t6", buffer + 8 * WORD_SIZE),
            machine.call("ipc_reply", progress_words=progress),
        )
        client, _ = service.client([1, 2])
        machine.run()
        assert machine.done(server, client)
        assert machine.word(buffer + 8 * WORD_SIZE) <= 4
        assert machine.register(client, "t6") <= 16
