"""What is left in the registers, and of a place in line, when a step of a conversation is done."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from fluke_async.abi.codes import Status
from fluke_async.abi.conversation import Role
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.ends import link
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

each_order = pytest.mark.parametrize("late", ["client", "server"])


def meet(machine: Machine, client: Sequence[Part], server: Sequence[Part], late: str) -> tuple[Thread, Thread]:
    """A client that sends and its server; one comes to its call when the other waits."""
    threads = {"client": machine.spawn(*client, start=False), "server": machine.spawn(*server, start=False)}
    link(threads["client"], Role.CLIENT, threads["server"], is_sender=True)
    for name in sorted(threads, key=lambda name: name == late):
        machine.core.start(threads[name])
        machine.run()
    return threads["client"], threads["server"]


def in_table(machine: Machine, *words: int) -> dict[str, int]:
    """Operands of a message whose only words are in the one buffer of a table."""
    return {"send_buffer_table": machine.buffer([len(words), machine.buffer(words)]), "send_buffer_count": 1}


@each_order
def test_what_nobody_takes_any_more_is_no_longer_to_be_sent(machine: Machine, late: str) -> None:
    message = {
        "send_buffer": machine.buffer([1, 2, 3]),
        "send_words": 3,
        "send_ref_table": machine.buffer([machine.addresses[machine.reference()]]),
        "send_ref_count": 1,
        **in_table(machine, 4, 5),
    }
    client, server = meet(
        machine, machine.call("ipc_client_send", **message), machine.call("ipc_server_ack_send"), late
    )
    assert machine.done(client)
    assert machine.register(client, "a0") == Status.SUCCESS
    assert [machine.register(client, name) for name in ("a2", "t0", "t3")] == [0, 0, 0]
    assert server.waiting_for is client  # until it says over


@each_order
@pytest.mark.parametrize("words", [(8,), (8, 9)], ids=len)
def test_words_in_a_table_alone_are_sent(machine: Machine, late: str, words: tuple[int, ...]) -> None:
    room = machine.buffer([0] * 4)
    send = machine.call("ipc_client_send", **in_table(machine, *words))
    receive = machine.call("ipc_server_receive", receive_buffer=room, receive_words=len(words))
    client, server = meet(machine, [send, ("burn", 9)], [receive, machine.call("ipc_server_receive")], late)
    assert machine.done(client)
    assert machine.read(room, 4) == [*words, *[0] * (4 - len(words))]
    assert server.waiting_for is client


@each_order
@pytest.mark.parametrize("words", [0, 3])
@pytest.mark.parametrize("room", [1, 2])
def test_references_are_sent_after_the_words_until_all_have_room(
    machine: Machine, late: str, words: int, room: int
) -> None:
    targets = [machine.new(Mutex) for _ in range(3)]
    slots = [machine.reference() for _ in targets]
    sent = machine.buffer([machine.addresses[machine.reference(target)] for target in targets])
    table = machine.buffer([machine.addresses[slot] for slot in slots])
    send = machine.call(
        "ipc_client_send",
        send_buffer=machine.buffer([5] * 4),
        send_words=words,
        send_ref_table=sent,
        send_ref_count=len(targets),
    )
    into = machine.buffer([0] * 8)
    first = machine.call(
        "ipc_server_receive", receive_buffer=into, receive_words=8, receive_ref_table=table, receive_ref_count=room
    )
    rest = [("add", "s4", "a0", 0), ("li", "t1", len(targets) - room), machine.bare_call("ipc_server_receive")]
    client, server = meet(machine, send, [first, *rest], late)
    assert machine.done(client)
    assert [slot.target for slot in slots] == targets
    assert machine.read(into, words + 1) == [5] * words + [0]
    assert machine.register(server, "s4") == Status.IPC_RECV_MORE_REFS
    assert [machine.register(client, name) for name in ("a5", "t0")] == [sent + 8 * len(targets), 0]
    assert [machine.register(server, name) for name in ("a6", "t1")] == [table + 8 * len(targets), 0]


def test_a_server_whose_last_words_are_taken_comes_last_among_those_that_wait(machine: Machine) -> None:
    """The order in which it waited for its client to take them is that of a step that is done."""
    service = Service(machine)
    room = {"receive_buffer": machine.buffer(4), "receive_words": 4}
    words = {"send_buffer": machine.buffer([7]), "send_words": 1}
    client = machine.spawn(machine.call("ipc_client_receive", **room), start=False)
    first = machine.spawn(machine.call("ipc_server_send_wait_receive", **words, **room), start=False)
    first.server_registration = (machine.addresses[service.portset], 0, 0, 0, 0)
    link(client, Role.CLIENT, first, is_sender=False)
    machine.core.start(first)
    machine.run()
    assert client.first_waiter() is first
    early = first.wait_order
    second = service.server()
    machine.run()
    assert second.waiting_for is service.portset
    machine.core.start(client)
    machine.run()
    assert machine.stage(first) == "ipc_wait_receive"
    assert first.waiting_for is service.portset
    assert early < second.wait_order < first.wait_order
    assert service.portset.first_waiter() is second
