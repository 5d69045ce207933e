"""A server that a state lets wait for a message while it has a client: whoever takes it frees that client."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import Status
from fluke_async.abi.conversation import Role
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.ends import link
from tests.kernel.keeping import Keeping
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.states import NO_MISTAKE, state_of

WAIT_RECEIVE = BY_NAME["ipc_wait_receive"].number


class Forged:
    """A server that waits at its port set, as its state says, and the client that it has nevertheless."""

    def __init__(self, machine: Machine, *, reliable: bool) -> None:
        self.machine, self.service = machine, Service(machine)
        room = {"receive_buffer": machine.buffer(4), "receive_words": 4}
        self.server = machine.spawn(machine.call("ipc_setup_wait_receive", portset=self.service.portset, **room))
        machine.run()
        if reliable:
            self.client = machine.spawn(machine.call("ipc_client_receive", **room), start=False)
            link(self.client, Role.CLIENT, self.server, is_sender=False)
            machine.core.start(self.client)
        else:
            self.client, _ = self.service.client([5])
        machine.run()
        assert self.client.waiting_for is self.server
        state = state_of(machine, self.server)
        words = list(state["x"])
        words[ENTRY_POINT] = WAIT_RECEIVE
        state |= {"x": tuple(words), "pc": self.server.pc - 4, **NO_MISTAKE}
        machine.load(self.server, state, waiting_for=self.service.portset)
        machine.run()
        assert self.server.waiting_for is self.service.portset
        assert self.server.client is self.client
        assert self.client.waiting_for is self.server


def call(forged: Forged) -> Thread:
    return forged.service.client([6])[0]


def connection(forged: Forged) -> Thread:
    machine = forged.machine
    message = {"send_buffer": machine.buffer(5), "send_words": 5}  # more than there is room for
    reference = forged.service.reference
    return machine.spawn(machine.call("ipc_client_connect_send", destination_ref=reference, **message))


def question(forged: Forged) -> Thread:
    machine, service = forged.machine, forged.service
    keeping = Keeping(machine)
    machine.load(keeping.space, keeper=service.port)
    return keeping.spawn(("illegal",))


@pytest.mark.parametrize("arrival", [call, connection, question], ids=lambda arrival: arrival.__name__)
@pytest.mark.parametrize("reliable", [False, True], ids=["call", "connection"])
def test_a_client_is_free_when_somebody_else_takes_its_server(
    machine: Machine, arrival: Callable[[Forged], Thread], reliable: bool
) -> None:
    forged = Forged(machine, reliable=reliable)
    newcomer = arrival(forged)
    machine.run()
    assert machine.done(forged.server)
    assert forged.server.client is newcomer
    if reliable:
        assert machine.done(forged.client)
        assert machine.register(forged.client, "a0") == Status.IPC_RECV_DISCONNECTED
        assert forged.client.server is None
    else:
        assert forged.client.waiting_for is forged.service.port, "its call looks for another server"
        forged.service.server()
        machine.run()
        assert machine.done(forged.client)


@pytest.mark.parametrize("when", ["before it connects", "while it waits for a server"])
def test_a_server_is_free_when_its_client_connects_to_another(machine: Machine, when: str) -> None:
    """Where a client has come to wait for a port first, its state has given it the server since."""
    service = Service(machine)
    room = {"receive_buffer": machine.buffer(4), "receive_words": 4}
    message = {"send_buffer": machine.buffer(5), "send_words": 5}
    old = machine.spawn(machine.call("ipc_server_receive", **room), start=False)
    client = machine.spawn(
        machine.call("ipc_client_connect_send", destination_ref=service.reference, **message), start=False
    )
    if when == "before it connects":
        link(client, Role.CLIENT, old, is_sender=True)
    for thread in (client, old):
        machine.core.start(thread)
        if when != "before it connects":
            link(client, Role.CLIENT, old, is_sender=True)
        machine.run()
    assert client.waiting_for is service.port
    told_before = machine.done(old)
    assert told_before == (when == "before it connects")
    new = machine.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset, **room))
    machine.run()
    assert machine.done(old, new)
    assert machine.register(old, "a0") == Status.IPC_RECV_DISCONNECTED
    assert old.client is None
    assert (client.server, new.client) == (new, client)


@pytest.mark.parametrize("waits", [False, True], ids=["runs", "waits"])
def test_a_client_is_served_by_another_where_the_server_that_a_state_gave_it_does_something_else(
    machine: Machine, waits: bool
) -> None:
    """To name a client gives nothing, though the server is of the same port set."""
    service, mutex = Service(machine), machine.new(Mutex)
    machine.load(mutex, {"locked": 1})
    room = {"receive_buffer": machine.buffer(4), "receive_words": 4}
    does = machine.call("mutex_lock", mutex=mutex) if waits else [("li", "a7", 0), ("burn", 100_000)]
    busy = machine.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset, **room), does, priority=5)
    machine.run()
    machine.spawn(machine.call("ipc_send", destination_ref=service.reference))
    machine.run_for(3000)
    assert machine.stage(busy) == "mutex_lock" if waits else machine.register(busy, "a7") == 0
    client, _ = service.client([3], start=False)
    machine.core.stop(busy)
    busy.link_client(client)
    machine.core.start(busy)
    machine.core.start(client)
    machine.run_for(500)
    assert client.waiting_for is service.port
    other = service.server()
    machine.run_for(3000)
    assert machine.done(client)
    assert other.waiting_for is service.portset
