"""Reliable connections: what is sent arrives, whole and in order, whoever comes first."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fluke_async.abi.codes import ExceptionCode
from tests.kernel.conversation_scenarios import (
    CLIENT,
    CROSSING_CLIENT,
    CROSSING_SERVER,
    SERVER,
    End,
    Turn,
    converse,
)
from tests.kernel.machine import UNMAPPED, Machine
from tests.kernel.messages import Service

PAUSES = pytest.mark.parametrize("pauses", [(1, 1), (20_000, 1), (1, 20_000), (300, 700)], ids=str)


def check(end: End, turns: Sequence[Turn]) -> None:
    """Every call of an end has come to what it must."""
    for index, turn in enumerate(turns):
        status, words = end.results(index)
        assert (index, turn.call, status) == (index, turn.call, turn.status)
        if turn.room:
            assert words[: len(turn.received)] == list(turn.received), turn.call
            assert not any(words[len(turn.received) :])
            assert end.words_received(index) == len(turn.received)


@pytest.mark.parametrize("scattered", [False, True])
@PAUSES
def test_every_call_of_a_conversation_gives_what_was_said(
    machine: Machine, pauses: tuple[int, int], scattered: bool
) -> None:
    client, server = converse(machine, client_pause=pauses[0], server_pause=pauses[1], scattered=scattered)
    machine.run()
    assert machine.done(client.thread)
    assert machine.stage(server.thread) == "ipc_wait_receive"
    check(client, CLIENT)
    check(server, SERVER[:-1])
    assert client.thread.server is None
    assert server.thread.client is None


@PAUSES
def test_rooms_that_are_full_and_words_that_nobody_takes(machine: Machine, pauses: tuple[int, int]) -> None:
    turns = (CROSSING_CLIENT, CROSSING_SERVER)
    client, server = converse(machine, client_pause=pauses[0], server_pause=pauses[1], turns=turns)
    machine.run()
    assert machine.done(client.thread, server.thread)
    check(client, CROSSING_CLIENT)
    check(server, CROSSING_SERVER)


def test_mistake_in_a_new_connection_leaves_the_old_one(machine: Machine) -> None:
    service, buffer = Service(machine), machine.buffer([5, 6])
    send = {"send_buffer": buffer, "send_words": 1}
    server = machine.spawn(
        machine.call(
            "ipc_setup_wait_receive", portset=service.portset, receive_buffer=machine.buffer(4), receive_words=4
        )
    )
    client = machine.spawn(
        machine.call("ipc_client_connect_send", destination_ref=service.reference, **send),
        machine.call("ipc_client_connect_send", destination_ref=UNMAPPED, **send),
    )
    machine.run()
    assert machine.failure(client) is ExceptionCode.LOAD_FAULT
    assert client.server is server
    assert server.client is client
    assert machine.stage(server) == "ipc_request_receive"


def test_server_that_disconnects_while_it_serves_an_idempotent_call_still_serves_it(machine: Machine) -> None:
    service = Service(machine)
    server = service.server(work=(machine.call("ipc_server_disconnect"),))
    client, received = service.client([5])
    machine.run()
    assert machine.done(client)
    assert machine.word(received) == 6
    assert server.waiting_for is service.portset


def test_a_table_of_empty_buffers_is_nothing_to_be_sent(machine: Machine) -> None:
    """As with a message of no words: the receiver goes on waiting for some."""
    service, into = Service(machine), {"receive_buffer": machine.buffer(4), "receive_words": 4}
    empty = {"send_buffer_table": machine.buffer([0, 0]), "send_buffer_count": 1}
    server = machine.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset, **into))
    client = machine.spawn(machine.call("ipc_client_connect_send", destination_ref=service.reference, **empty))
    machine.run()
    assert machine.done(client)
    assert client.server is server
    assert machine.stage(server) == "ipc_request_receive"
