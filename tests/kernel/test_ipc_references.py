"""References in messages: as many are passed as both sides have, and a bad one is its owner's mistake."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import (
    ExceptionCode,
)
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine
from tests.kernel.messages import Service


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
