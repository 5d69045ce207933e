"""A device's answer can bring references: its client's come to refer to what the device names."""

from __future__ import annotations

import pytest

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import Status
from fluke_async.kernel import message
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import UNMAPPED, Machine


def asks(machine: Machine, mine: list[Reference]) -> tuple[Thread, int, int]:
    """A thread that asks a device for a word and references, where the word is to be, and the table of these."""
    port = machine.new(Port)
    port.receiver = machine.requests.append
    place, table = machine.buffer([0]), machine.buffer([machine.addresses[each] for each in mine])
    client = machine.spawn(
        machine.call(
            "ipc_call",
            destination_ref=machine.reference(port),
            receive_buffer=place,
            receive_words=1,
            receive_ref_table=table,
            receive_ref_count=len(mine),
        )
    )
    machine.run()
    return client, place, table


@pytest.mark.parametrize("given", range(4))
def test_as_many_references_are_filled_as_both_have(machine: Machine, given: int) -> None:
    mine = [machine.reference() for _ in range(2)]
    client, place, table = asks(machine, mine)
    targets: list[KernelObject] = [machine.new(Mutex) for _ in range(given)]
    message.answer(machine.core, machine.requests[0], (7,), targets)
    filled = min(given, 2)
    assert [each.target for each in mine] == [*targets[:filled], *[None] * (2 - filled)]
    assert client.registers[reg.RECEIVE_REFERENCES] == table + 8 * filled
    assert client.registers[reg.RECEIVE_REFERENCE_COUNT] == 2 - filled
    assert machine.read(place, 1) == [7]
    assert machine.result(client).status == Status.SUCCESS


def test_who_has_no_table_any_more_asks_again_and_no_word_has_come(machine: Machine) -> None:
    client, place, _ = asks(machine, [machine.reference()])
    client.registers[reg.RECEIVE_REFERENCES] = UNMAPPED
    message.answer(machine.core, machine.requests[0], (7,), [machine.new(Mutex)])
    assert machine.read(place, 1) == [0]
    machine.run()
    assert len(machine.requests) == 2
