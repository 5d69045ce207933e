"""
Ends of connections that do not count are, when everything has been created again, as they were.

Two threads can wait for each other and have nothing to do: both say that they receive, or one makes a call that the
other has given up. And a thread can name a client that does not name it, and that is destroyed.
"""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import MessageKind
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.recreation import recreate

created_again = pytest.mark.parametrize("again", [False, True])


def who_waits(machine: Machine) -> set[tuple[int, int, int]]:
    """The threads that wait, for what, and since when."""
    threads = [each for each in machine.core.objects.values() if isinstance(each, Thread)]
    return {(each.hash, each.waiting_for.hash, each.wait_order) for each in threads if each.waiting_for is not None}


def names(machine: Machine, link: str, reference: Reference) -> list[Part]:
    """The thread that is spawned next names a peer, from which it receives on a reliable connection."""
    return list(machine.call(f"thread_set_{link}", thread=machine.next_slot, **{f"{link}_ref": reference}))


def receive(machine: Machine, role: str) -> list[Part]:
    return list(machine.call(f"ipc_{role}_receive", receive_buffer=machine.buffer(1), receive_words=1))


def test_two_that_both_receive_go_on_waiting_for_each_other(machine: Machine) -> None:
    to_client, to_server = machine.reference(), machine.reference()
    room = [receive(machine, "client"), receive(machine, "server")]
    to_client.target = client = machine.spawn(*names(machine, "server", to_server), room[0], start=False)
    to_server.target = server = machine.spawn(*names(machine, "client", to_client), room[1])
    machine.core.start(client)
    machine.run()
    assert (client.waiting_for, server.waiting_for) == (server, client)
    waiting = who_waits(machine)
    recreate(machine)
    assert who_waits(machine) == waiting
    assert machine.core.ready.head() is None


def test_call_that_its_server_has_given_up_goes_on_waiting_for_it(machine: Machine) -> None:
    portset, port, to_client = machine.new(Portset), machine.new(Port), machine.reference()
    machine.load(port, {"alias": 0}, portset=portset)
    room = machine.buffer(1)
    take = machine.call("ipc_setup_wait_receive", portset=portset, receive_buffer=room, receive_words=1)
    end = receive(machine, "server")
    server = machine.spawn(take, *names(machine, "client", to_client), end)
    to_port = machine.reference(port)
    to_client.target = client = machine.spawn(machine.call("ipc_call", destination_ref=to_port))
    machine.run()
    assert (client.waiting_for, server.waiting_for, client.callee) == (server, client, None)
    waiting = who_waits(machine)
    recreate(machine)
    assert who_waits(machine) == waiting
    assert machine.core.ready.head() is None


@created_again
def test_client_that_was_named_and_destroyed_is_nobody_s_client(machine: Machine, again: bool) -> None:
    """The one-sided name has gone with it: the thread, which serves nobody, waits for the next message."""
    to_client = machine.reference()
    to_client.target = client = machine.spawn(("burn", 1), start=False)
    portset = machine.new(Portset)
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=portset),
        "handler",
        *names(machine, "client", to_client),
        ("li", "a2", int(MessageKind.IDEMPOTENT)),
        machine.bare_call("ipc_request_receive"),
        interrupt_handler="handler",
    )
    machine.run()
    machine.invoke("thread_interrupt", thread=server)
    assert server.waiting_for is client
    if again:
        recreate(machine)
    client, server = (machine.core.objects[each.address] for each in (client, server))  # type: ignore[assignment]
    machine.core.destroy(client)
    if again:
        recreate(machine)
        server = machine.core.objects[server.address]  # type: ignore[assignment]
    machine.run()
    assert (machine.stage(server), server.client, server.reliable) == ("ipc_wait_receive", None, False)
    assert isinstance(server.waiting_for, Portset)
