"""Exchanges of which one end is destroyed, stopped or interrupted, at every stage."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import (
    COPY_CHUNK_WORDS,
    Status,
)
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine
from tests.kernel.messages import Service


def content(words: int, first: int = 1000) -> list[int]:
    return list(range(first, first + words))


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
    options: dict[str, Any] = {"parts": handler, "interrupt_handler": "handler"}
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
