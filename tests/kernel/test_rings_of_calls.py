"""Threads that call themselves, their own servers and each other in rings, and servers that never answer."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import ExceptionCode, Status
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.recreation import recreate

each_kind = pytest.mark.parametrize("kind", ["idempotent", "reliable"])
each_size = pytest.mark.parametrize("size", [2, 3, 10])
GOOD = {"idempotent": Status.SUCCESS, "reliable": Status.IPC_RECV_DISCONNECTED}


class Party:
    """A port set with a port, and the steps of who calls it and of who serves it, one kind of message or the other."""

    def __init__(self, machine: Machine, kind: str, number: int = 0) -> None:
        self.machine, self.kind = machine, kind
        self.portset, self.port = machine.new(Portset), machine.new(Port)
        machine.load(self.port, {"alias": number}, portset=self.portset)
        self.room = machine.buffer([0])
        self.status = machine.buffer([99])
        self.content = machine.buffer([100 + number])

    def call(self) -> list[Part]:
        """Call, and note the status and the word that came."""
        machine = self.machine
        name = "ipc_call" if self.kind == "idempotent" else "ipc_client_connect_send_over_receive"
        receive = {"receive_buffer": self.room, "receive_words": 1}
        to: dict[str, int | KernelObject] = {"destination_ref": machine.reference(self.port)}
        send = {"send_buffer": self.content, "send_words": 1}
        return [machine.call(name, **to, **send, **receive), machine.keep("a0", self.status)]

    def receive(self) -> list[Part]:
        machine = self.machine
        here = {"receive_buffer": machine.buffer(1), "receive_words": 1}
        return [machine.call("ipc_setup_wait_receive", portset=self.portset, **here)]

    def reply(self) -> list[Part]:
        machine, send = self.machine, {"send_buffer": self.content, "send_words": 1}
        if self.kind == "idempotent":
            return [machine.call("ipc_reply", **send)]
        return [machine.call("ipc_server_ack_send", **send), machine.call("ipc_server_disconnect")]

    def spawn_server(self) -> Thread:
        return self.machine.spawn(*self.receive(), *self.reply())

    def is_answered(self) -> bool:
        """Whether who called has had the one reply."""
        machine = self.machine
        return (machine.word(self.status), machine.word(self.room)) == (GOOD[self.kind], machine.word(self.content))


def handled(machine: Machine, *parts: Part) -> Thread:
    """A thread that takes interrupts, and goes on."""
    back = machine.bare_call("thread_return_from_exception")
    return machine.spawn(*parts, ("jump", "end"), "handler", back, "end", interrupt_handler="handler")


@each_kind
def test_thread_that_calls_its_own_port_set_waits_for_another_server(machine: Machine, kind: str) -> None:
    party = Party(machine, kind)
    served = machine.call("ipc_send", destination_ref=machine.reference(party.port))
    machine.spawn(served, priority=5)
    thread = handled(machine, *party.receive(), *party.call())
    machine.run()
    assert thread.waiting_for is party.port
    assert (thread.client, thread.server, thread.callee) == (None, None, None)
    machine.invoke("thread_interrupt", thread=thread)
    assert thread.waiting_for is party.port
    party.spawn_server()
    machine.run()
    assert machine.done(thread)
    assert party.is_answered()


@each_kind
def test_server_that_calls_its_own_port_while_it_serves_waits_for_another(machine: Machine, kind: str) -> None:
    outer = Party(machine, kind)
    inner = Party(machine, kind, 1)
    machine.load(inner.port, {"alias": 1}, portset=outer.portset)
    server = handled(machine, *outer.receive(), *inner.call(), *outer.reply())
    client = handled(machine, *outer.call())
    machine.run()
    assert client.waiting_for is server
    assert server.waiting_for is inner.port
    machine.invoke("thread_interrupt", thread=server)
    machine.spawn(*outer.receive(), *inner.reply())
    machine.run()
    assert machine.done(client, server)
    assert outer.is_answered()
    assert inner.is_answered()


@each_kind
def test_server_that_calls_back_the_client_it_serves_waits_for_somebody_else(machine: Machine, kind: str) -> None:
    """The client is busy with its call; both are tied, and a third unties them."""
    there, back = Party(machine, kind), Party(machine, kind, 1)
    client = handled(machine, *there.call(), *back.receive(), *back.reply())
    server = handled(machine, *there.receive(), *back.call(), *there.reply())
    machine.run()
    assert (client.waiting_for, server.waiting_for) == (server, back.port)
    back.spawn_server()
    machine.run()
    assert machine.done(server)
    assert there.is_answered()
    assert back.is_answered()
    assert client.waiting_for is back.portset


@each_kind
@each_size
def test_ring_in_which_all_call_before_they_serve_comes_free_when_one_serves(
    machine: Machine, kind: str, size: int
) -> None:
    parties = [Party(machine, kind, number) for number in range(size)]
    threads = []
    for number, party in enumerate(parties):
        call, serve = parties[(number + 1) % size].call(), [*party.receive(), *party.reply()]
        parts = [*call, "handler", *serve]
        threads.append(machine.spawn(*parts, interrupt_handler="handler"))
    machine.run()
    assert [thread.waiting_for for thread in threads] == [*(each.port for each in parties[1:]), parties[0].port]
    machine.invoke("thread_interrupt", thread=threads[0])
    assert machine.done(threads[0], *threads[2:])
    assert all(party.is_answered() for party in (parties[0], *parties[2:]))
    assert threads[1].waiting_for is parties[1].portset  # nobody calls it any more


@each_kind
@each_size
def test_ring_of_nested_calls_unwinds_when_somebody_serves_the_last(machine: Machine, kind: str, size: int) -> None:
    """Each calls the next while it serves the one before; the last calls the first, which is busy with its own call."""
    parties = [Party(machine, kind, number) for number in range(size)]
    servers = [
        machine.spawn(*party.receive(), *parties[(number + 1) % size].call(), *party.reply())
        for number, party in enumerate(parties)
        if number
    ]
    machine.run()
    first = machine.spawn(*parties[1].call(), *parties[0].receive(), *parties[0].reply())
    machine.run()
    chain = [first, *servers]
    assert [thread.waiting_for for thread in chain[:-1]] == servers
    assert servers[-1].waiting_for is parties[0].port
    parties[0].spawn_server()
    machine.run()
    assert machine.done(*servers)
    assert all(party.is_answered() for party in parties)
    assert first.waiting_for is parties[0].portset


@each_kind
@each_size
@pytest.mark.parametrize("victim", [0, 1, -1])
def test_ring_of_nested_calls_is_broken_where_one_is_destroyed(
    machine: Machine, kind: str, size: int, victim: int
) -> None:
    """Who called it is told or finds another; who serves it is told, or answers nobody."""
    parties = [Party(machine, kind, number) for number in range(size)]
    chain = [
        machine.spawn(
            *(party.receive() if number else ()), *parties[(number + 1) % size].call(), *party.reply(),
            start=False,
        )
        for number, party in enumerate(parties)
    ]  # fmt: skip
    for thread in reversed(chain):
        machine.core.start(thread)
        machine.run()
    machine.invoke("thread_destroy", thread=chain[victim])
    for party in parties:
        party.spawn_server()
    machine.run()
    survivors = [thread for thread in chain if thread.active]
    assert machine.done(*survivors)
    allowed = {GOOD[kind], *(() if kind == "idempotent" else (Status.IPC_OVER_DISCONNECTED,))}
    assert {machine.word(party.status) for party in parties} <= {*allowed, 99, Status.IPC_RECV_DISCONNECTED}


# -- a server that never answers ---------------------------------------------------------------------------------------


def never(machine: Machine, kind: str) -> tuple[Party, Thread, Thread]:
    """A client that waits for a server which has its request and waits for a lock that nobody gives."""
    party, nowhere = Party(machine, kind), machine.reference(machine.new(Port))
    server = handled(machine, *party.receive(), machine.call("ipc_send", destination_ref=nowhere), *party.reply())
    client = handled(machine, *party.call())
    machine.run()
    assert client.waiting_for is server
    return party, client, server


def does_nothing(machine: Machine, client: Thread, server: Thread) -> None:
    """It goes on not answering."""


def is_interrupted(machine: Machine, client: Thread, server: Thread) -> None:
    machine.invoke("thread_interrupt", thread=server)


def is_stopped(machine: Machine, client: Thread, server: Thread) -> None:
    machine.invoke("thread_get_state", thread=server)


def is_created_again(machine: Machine, client: Thread, server: Thread) -> None:
    recreate(machine)
    machine.run()


def has_an_interrupted_client(machine: Machine, client: Thread, server: Thread) -> None:
    machine.invoke("thread_interrupt", thread=client)


@each_kind
@pytest.mark.parametrize(
    "deed", [does_nothing, is_interrupted, is_stopped, is_created_again, has_an_interrupted_client]
)
def test_server_that_never_answers_keeps_its_client_until_it_is_gone(machine: Machine, kind: str, deed: Any) -> None:
    party, client, server = never(machine, kind)
    places = client.address, server.address
    deed(machine, client, server)
    client, server = (machine.core.objects[place] for place in places)  # type: ignore[assignment]
    calls_again = deed is has_an_interrupted_client and kind == "idempotent"
    assert client.waiting_for is (machine.core.objects[party.port.address] if calls_again else server)
    machine.core.destroy(server)
    machine.run()
    party.portset = machine.core.objects[party.portset.address]  # type: ignore[assignment]
    party.spawn_server()
    machine.run()
    assert machine.done(client)
    if kind == "idempotent":
        assert party.is_answered()
    else:
        assert machine.word(party.status) == Status.IPC_OVER_DISCONNECTED


@each_kind
@pytest.mark.parametrize("is_client", [True, False])
def test_who_waits_for_a_server_can_be_destroyed_and_the_server_answers_nobody(
    machine: Machine, kind: str, is_client: bool
) -> None:
    party, client, server = never(machine, kind)
    machine.core.destroy(client if is_client else server)
    machine.run()
    if is_client:
        assert machine.stage(server) == "ipc_send"
        assert server.waiting_for is not None
    elif kind == "idempotent":
        assert client.waiting_for is party.port
    else:
        assert machine.done(client)
        assert machine.word(party.status) == Status.IPC_OVER_DISCONNECTED
    assert (server.client, client.server) == (None, None)


def test_thread_cannot_be_made_its_own_peer(machine: Machine) -> None:
    for name in ("thread_set_client", "thread_set_server"):
        itself = machine.reference()
        link = name.removeprefix("thread_set_") + "_ref"
        thread = machine.spawn(machine.call(name, thread=machine.next_slot, **{link: itself}), start=False)
        itself.target = thread
        machine.core.start(thread)
        machine.run()
        assert machine.failure(thread) is ExceptionCode.CURRENT_THREAD
