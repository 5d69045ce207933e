"""Ports and port sets: destinations that are not there, move, or go away."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import (
    ExceptionCode,
    Status,
)
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from tests.kernel.machine import Machine
from tests.kernel.messages import Service


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
    for name in ("ipc_wait_receive", "ipc_request_receive", "ipc_reply_wait_receive"):
        assert machine.invoke(name).exception is ExceptionCode.NO_PORTSET
    port = machine.new(Port)
    assert machine.invoke("ipc_setup_wait_receive", portset=port).exception is (ExceptionCode.NOT_PORTSET)
