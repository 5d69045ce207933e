"""References in messages that refer to nothing, to what was destroyed, or that are the same slot twice."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode, Status
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import UNMAPPED, Machine
from tests.kernel.messages import Service

KINDS = {"one-way": "ipc_send", "idempotent": "ipc_call", "reliable": "ipc_client_connect_send"}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_order = pytest.mark.parametrize("sender_first", [True, False], ids=["sender first", "receiver first"])


def pass_on(
    machine: Machine, kind: str, given: list[int], taken: list[int], *, sender_first: bool
) -> tuple[Thread, Thread]:
    """A message of the references in the slots `given`, into the slots `taken`."""
    service = Service(machine)
    tables = [machine.buffer(slots or [0]) for slots in (given, taken)]
    send = machine.call(
        KINDS[kind], destination_ref=service.reference, send_ref_table=tables[0], send_ref_count=len(given)
    )
    receive = machine.call(
        "ipc_setup_wait_receive",
        portset=service.portset,
        receive_ref_table=tables[1],
        receive_ref_count=len(taken),
    )
    programs = [(*send, *machine.call("ipc_client_disconnect")), (*receive, *machine.call("ipc_reply"))]
    threads = []
    for parts in programs if sender_first else programs[::-1]:
        threads.append(machine.spawn(*parts))
        machine.run()
    sender, receiver = threads if sender_first else threads[::-1]
    return sender, receiver


@each_kind
@each_order
def test_reference_to_nothing_passes_as_one(machine: Machine, kind: str, sender_first: bool) -> None:
    slot = machine.reference(machine.new(Mutex))
    null = machine.addresses[machine.reference()]
    sender, receiver = pass_on(machine, kind, [null], [machine.addresses[slot]], sender_first=sender_first)
    assert machine.done(sender, receiver)
    assert slot.target is None


@each_kind
@pytest.mark.parametrize("type_", [Mutex, Cond, Port, Portset, Region, Space, Thread])
def test_reference_to_what_was_destroyed_passes_and_is_worth_nothing(
    machine: Machine, kind: str, type_: type[KernelObject]
) -> None:
    target = machine.new(type_)
    slot, given = machine.reference(), machine.reference(target)
    machine.core.destroy(target)
    addresses = [machine.addresses[each] for each in (given, slot)]
    sender, receiver = pass_on(machine, kind, addresses[:1], addresses[1:], sender_first=True)
    assert machine.done(sender, receiver)
    assert slot.target is None or not slot.target.active
    for name, result in (("ref_check", 0), ("ref_type", 0)):
        found = machine.invoke(name, ref=slot)
        assert (found.exception, found.status) == (None, result)
    assert machine.invoke("ipc_send", destination_ref=slot).status == Status.INVALID_DEST


@each_kind
@each_order
def test_slot_named_twice_by_the_receiver_has_the_last(machine: Machine, kind: str, sender_first: bool) -> None:
    marks = [machine.new(Mutex) for _ in range(2)]
    slot = machine.reference()
    given = [machine.addresses[machine.reference(mark)] for mark in marks]
    sender, receiver = pass_on(machine, kind, given, [machine.addresses[slot]] * 2, sender_first=sender_first)
    assert machine.done(sender, receiver)
    assert slot.target is marks[1]


@each_kind
@each_order
def test_slot_named_twice_by_the_sender_passes_twice(machine: Machine, kind: str, sender_first: bool) -> None:
    mark, slots = machine.new(Mutex), [machine.reference() for _ in range(2)]
    given = [machine.addresses[machine.reference(mark)]] * 2
    taken = [machine.addresses[slot] for slot in slots]
    sender, receiver = pass_on(machine, kind, given, taken, sender_first=sender_first)
    assert machine.done(sender, receiver)
    assert [slot.target for slot in slots] == [mark, mark]


@each_kind
@each_order
def test_slots_of_both_ends_that_are_the_same_pass_one_after_the_other(
    machine: Machine, kind: str, sender_first: bool
) -> None:
    """In shared memory a receiver's slot can be the sender's: (a, b) into (b, c) leaves a in both."""
    marks = [machine.new(Mutex) for _ in range(2)]
    slots = [machine.reference(mark) for mark in (*marks, None)]
    addresses = [machine.addresses[slot] for slot in slots]
    sender, receiver = pass_on(machine, kind, addresses[:2], addresses[1:], sender_first=sender_first)
    assert machine.done(sender, receiver)
    assert [slot.target for slot in slots] == [marks[0]] * 3


@each_kind
@each_order
@pytest.mark.parametrize("bad", ["nothing", "nowhere", "odd", "null", "mutex", "thread"])
@pytest.mark.parametrize("side", ["sender", "receiver"])
def test_second_slot_that_is_none_lets_nothing_pass(
    machine: Machine, kind: str, bad: str, side: str, sender_first: bool
) -> None:
    """All or none: the first stays what it was, and the mistake is of the one whose table it is."""
    mark, slot = machine.new(Mutex), machine.reference()
    good = [machine.addresses[machine.reference(mark)] for _ in range(2)]
    room = [machine.addresses[slot], machine.addresses[machine.reference()]]
    place, code = {
        "nothing": (machine.slot(), ExceptionCode.NO_OBJECT),
        "nowhere": (UNMAPPED, ExceptionCode.LOAD_FAULT),
        "odd": (machine.slot() + 8, ExceptionCode.NOT_ALIGNED),
        "null": (0, ExceptionCode.LOAD_FAULT),
        "mutex": (machine.addresses[machine.new(Mutex)], ExceptionCode.NOT_REF),
        "thread": (machine.addresses[machine.new(Thread)], ExceptionCode.NOT_REF),
    }[bad]
    (good if side == "sender" else room)[1] = place
    sender, receiver = pass_on(machine, kind, good, room, sender_first=sender_first)
    guilty = sender if side == "sender" else receiver
    result = machine.result(guilty)
    assert (result.exception, result.subcode) == (code, place)
    assert machine.failure(receiver if side == "sender" else sender) is None
    assert slot.target is None


@pytest.mark.parametrize("name", sorted(KINDS.values()))
@pytest.mark.parametrize("gone", ["null", "destroyed", "other"])
def test_destination_that_is_no_port_is_told_by_the_status(machine: Machine, name: str, gone: str) -> None:
    target = {"null": None, "destroyed": machine.new(Port), "other": machine.new(Mutex)}[gone]
    reference = machine.reference(target)
    if gone == "destroyed":
        assert target is not None
        machine.core.destroy(target)
    result = machine.invoke(name, destination_ref=reference)
    invalid = Status.INVALID_DEST if name == "ipc_send" else Status.IPC_CONNECT_INVALID_DEST
    assert (result.exception, result.status) == (None, invalid)


@each_kind
def test_reference_to_the_own_message_slots_can_be_sent_on(machine: Machine, kind: str) -> None:
    """A receiver's reference becomes one to the port that it serves, and it can call that."""
    port = machine.new(Port)
    slot, given = machine.reference(), machine.reference(port)
    addresses = [machine.addresses[each] for each in (given, slot)]
    sender, receiver = pass_on(machine, kind, addresses[:1], addresses[1:], sender_first=True)
    assert machine.done(sender, receiver)
    assert isinstance(slot, Reference)
    caller = machine.spawn(machine.call("ipc_send", destination_ref=slot))
    machine.run()
    assert caller.waiting_for is port
