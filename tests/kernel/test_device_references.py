"""A device's answer can bring references: its client's come to refer to what the device names."""

from __future__ import annotations

import pytest

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import ExceptionCode, Status
from fluke_async.kernel import message
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import UNMAPPED, Machine
from tests.kernel.messages import Service
from tests.kernel.paging import Paging


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


LACKING = {
    "table": ExceptionCode.LOAD_FAULT,
    "page": ExceptionCode.LOAD_FAULT,
    "reference": ExceptionCode.NO_OBJECT,
    "type": ExceptionCode.NOT_REF,
}


def spoil(machine: Machine, client: Thread, table: int, lacking: str) -> None:
    """Let something be gone that a client had when it made its call."""
    if lacking == "table":
        client.registers[reg.RECEIVE_REFERENCES] = UNMAPPED
    elif lacking == "page":
        machine.write(table, [UNMAPPED])
    elif lacking == "reference":
        machine.write(table, [machine.buffer(4)])
    else:
        machine.write(table, [machine.addresses[machine.new(Mutex)]])


@pytest.mark.parametrize("lacking", LACKING)
@pytest.mark.parametrize("answers", ["device", "server"])
def test_who_has_no_references_any_more_gets_its_exception_whoever_answers(
    machine: Machine, answers: str, lacking: str
) -> None:
    """Once; it does not ask again and again."""
    desk, service = machine.new(Port), Service(machine)
    desk.receiver = machine.requests.append  # a server answers when this does
    place, table = machine.buffer([0]), machine.buffer([machine.addresses[machine.reference()]])
    client = machine.spawn(
        machine.call(
            "ipc_call",
            destination_ref=machine.reference(desk if answers == "device" else service.port),
            receive_buffer=place,
            receive_words=1,
            receive_ref_table=table,
            receive_ref_count=1,
        )
    )
    given = machine.buffer([machine.addresses[machine.reference(machine.new(Mutex))]])
    machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset),
        machine.call("ipc_call", destination_ref=machine.reference(desk)),
        machine.call("ipc_reply", send_ref_table=given, send_ref_count=1),
    )
    machine.run()
    (request,) = machine.requests
    spoil(machine, client, table, lacking)
    message.answer(machine.core, request, (7,), [machine.new(Mutex)] if answers == "device" else ())
    machine.run()
    assert machine.failure(client) is LACKING[lacking]
    assert machine.read(place, 1) == [0]
    assert len(machine.requests) == 1


@pytest.mark.parametrize("away", ["table", "object", "words"])
def test_who_has_a_keeper_asks_that_and_then_calls_again(machine: Machine, away: str) -> None:
    paging, desk = Paging(machine, device=True, present=True), machine.new(Port)
    desk.receiver = machine.requests.append
    pages = {"table": 0, "object": 1, "words": 2}
    mine, target = paging.new(Reference, pages["object"]), machine.new(Mutex)
    way = paging.new(Reference, 3)
    way.target = desk
    paging.fill(pages["table"], machine.addresses[mine])
    client = paging.spawn(
        machine.call(
            "ipc_call",
            destination_ref=way,
            receive_buffer=paging.address(pages["words"]),
            receive_words=1,
            receive_ref_table=paging.address(pages["table"]),
            receive_ref_count=1,
        )
    )
    machine.run()
    first = machine.requests.pop()
    paging.take(pages[away])
    message.answer(machine.core, first, (7,), [target])
    machine.run()
    assert mine.target is None
    assert client.waiting_for is paging.port
    paging.bring(pages[away])
    paging.reply()
    (again,) = machine.requests
    message.answer(machine.core, again, (8,), [target])
    machine.run()
    assert machine.done(client)
    assert mine.target is target
    assert paging.seen(pages["words"]) == [8]
    assert not first.is_open
