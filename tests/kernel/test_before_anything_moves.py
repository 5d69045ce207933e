"""What a call of messages checks before it does anything, and that a server that waits has nothing under way."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, ExceptionCode
from fluke_async.abi.entry_points import BY_NAME, ENTRY_POINTS
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.params import MESSAGE_WORDS_MAX
from tests.kernel.machine import UNMAPPED, Machine, Value
from tests.kernel.messages import Service, preempted_between_chunks

OF_NOBODY = ("ipc_reply", "ipc_reply_wait_receive", "ipc_request_receive")  # without a client they have no message
SIDES = [
    (entry.name, role)
    for entry in ENTRY_POINTS
    for role in ("send", "receive")
    if f"{role}_buffer" in {operand.name for operand in entry.arguments} and entry.name not in OF_NOBODY
]
LONG = 3 * COPY_CHUNK_WORDS


def operands(machine: Machine, service: Service, name: str, **others: Value) -> dict[str, Value]:
    """What a call needs besides; `others` come first."""
    known: dict[str, Value] = {
        "portset": service.portset,
        "destination_ref": service.reference,
        "send_buffer": machine.buffer([1, 2]),
        "send_words": 2,
        "receive_buffer": machine.buffer([0, 0]),
        "receive_words": 2,
        **others,
    }
    return {operand.name: known[operand.name] for operand in BY_NAME[name].arguments if operand.name in known}


def test_both_sides_of_every_kind_of_call_are_looked_at() -> None:
    assert len({name for name, _ in SIDES}) > 15
    assert len([name for name, role in SIDES if role == "receive"]) > 10


@pytest.mark.parametrize(("name", "role"), SIDES, ids=" ".join)
@pytest.mark.parametrize("what", ["buffer", "table", "references", "missing", "missing from a table"])
@pytest.mark.parametrize("served", [True, False], ids=["served", "nobody serves"])
def test_each_side_that_a_call_comes_to_is_checked_before_its_first_step(
    machine: Machine, name: str, role: str, what: str, served: bool
) -> None:
    service = Service(machine)
    server = service.server(start=served)
    machine.run()
    bad = machine.buffer(2) + 4
    missing = ExceptionCode.LOAD_FAULT if role == "send" else ExceptionCode.STORE_FAULT
    others, code, address = {
        "buffer": ({f"{role}_buffer": bad}, ExceptionCode.BUFFER_UNALIGNED, bad),
        "table": ({f"{role}_buffer_table": bad, f"{role}_buffer_count": 1}, ExceptionCode.BUFFER_UNALIGNED, bad),
        "references": ({f"{role}_ref_table": bad, f"{role}_ref_count": 1}, ExceptionCode.BUFFER_UNALIGNED, bad),
        "missing": ({f"{role}_buffer": UNMAPPED, f"{role}_words": 1}, missing, UNMAPPED),
        "missing from a table": (
            {f"{role}_buffer_table": machine.buffer([1, UNMAPPED]), f"{role}_buffer_count": 1},
            missing,
            UNMAPPED,
        ),
    }[what]
    thread = machine.spawn(machine.call(name, **operands(machine, service, name, **others)))
    if name == "ipc_wait_receive":
        thread.server_registration = (machine.addresses[service.portset], 0, 0, 0, 0)
    machine.run()
    result = machine.result(thread)
    assert (result.exception, result.subcode) == (code, address)
    if name != "ipc_setup_wait_receive":  # which becomes a wait to receive first
        assert machine.stage(thread) == name
    assert (thread.server, thread.client, server.client) == (None, None, None)
    if served:
        assert server.waiting_for is service.portset
        assert machine.stage(server) == "ipc_wait_receive"


def late_mistakes(machine: Machine, role: str, place: int) -> dict[str, tuple[dict[str, int], ExceptionCode, int]]:
    """What can be loaded into registers whose call has begun: how, what comes of it, and what it names."""
    missing = ExceptionCode.LOAD_FAULT if role == "send" else ExceptionCode.STORE_FAULT
    lie = MESSAGE_WORDS_MAX + 1
    in_table = {f"{role}_words": 1, f"{role}_buffer_count": 1}
    return {
        "unaligned": ({f"{role}_buffer": place + 4}, ExceptionCode.BUFFER_UNALIGNED, place + 4),
        "too long": ({f"{role}_words": lie}, ExceptionCode.INVALID_MESSAGE, lie),
        "missing": ({f"{role}_buffer": UNMAPPED}, missing, UNMAPPED),
        "unaligned in a table": (
            {**in_table, f"{role}_buffer_table": machine.buffer([1, place + 12])},
            ExceptionCode.BUFFER_UNALIGNED,
            place + 12,
        ),
        "missing from a table": (
            {**in_table, f"{role}_buffer_table": machine.buffer([1, UNMAPPED])},
            missing,
            UNMAPPED,
        ),
    }


@pytest.mark.parametrize("what", ["unaligned", "too long", "missing", "unaligned in a table", "missing from a table"])
@pytest.mark.parametrize("name", ["ipc_call", "ipc_send", "ipc_client_connect_send"])
@pytest.mark.parametrize("role", ["send", "receive"])
def test_who_waits_is_believed_in_nothing_when_the_other_comes(
    machine: Machine, role: str, name: str, what: str
) -> None:
    """Its registers may have been loaded since: no word arrives, it is to blame, and the other one goes on waiting."""
    service, place = Service(machine), machine.buffer([5, 6])
    into = place if role == "receive" else machine.buffer([0, 0])
    call = operands(machine, service, name)
    sent: dict[str, Value] = {key: value for key, value in call.items() if key.startswith("send")}
    if role == "send":
        sent |= {"send_buffer": place, "send_words": 2}
    client = machine.spawn(machine.call(name, destination_ref=service.reference, **sent), start=False)
    room = {"receive_buffer": into, "receive_words": 2}
    server = machine.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset, **room), start=False)
    first, second = (client, server) if role == "send" else (server, client)
    machine.core.start(first)
    machine.run()
    assert first.waiting_for is not None
    before = machine.read(into, 2)
    changes, code, named = late_mistakes(machine, role, place)[what]
    known = {operand.name: operand.register for entry in ENTRY_POINTS for operand in entry.arguments}
    for operand, word in changes.items():
        first.registers[known[operand]] = word
    machine.core.start(second)
    machine.run()
    result = machine.result(first)
    assert (result.exception, result.subcode) == (code, named)
    assert machine.read(into, 2) == before
    assert machine.failure(second) is None
    if name != "ipc_client_connect_send":  # whose connection has begun, and ends there
        assert second.waiting_for is (service.portset if second is server else service.port)


@pytest.mark.parametrize("bad", ["nothing", "another object", "no slot"])
def test_a_server_that_names_no_port_set_stays_registered_where_it_was(machine: Machine, bad: str) -> None:
    service = Service(machine)
    places: dict[str, Value] = {
        "nothing": machine.slot(),
        "another object": machine.new(Mutex),
        "no slot": UNMAPPED,
    }
    code = {
        "nothing": ExceptionCode.NO_OBJECT,
        "another object": ExceptionCode.NOT_PORTSET,
        "no slot": ExceptionCode.LOAD_FAULT,
    }[bad]
    thread = machine.spawn(machine.call("ipc_setup_wait_receive", portset=places[bad]))
    before = (machine.addresses[service.portset], 1, 2, 3, 4)
    thread.server_registration = before
    machine.run()
    assert machine.failure(thread) is code
    assert machine.stage(thread) == "ipc_setup_wait_receive"
    assert thread.server_registration == before


def test_a_server_that_has_answered_and_waits_has_nothing_under_way(machine: Machine) -> None:
    """Its registers say so: nothing of a message has moved, and it serves nobody."""
    service = Service(machine)
    server = service.server(reply_words=3)
    client, _ = service.client([1, 2])
    machine.run()
    assert machine.done(client)
    assert server.waiting_for is service.portset
    assert machine.register(server, "t6") == 0
    assert server.client is None


@preempted_between_chunks
@pytest.mark.parametrize("server_first", [False, True])
def test_a_server_whose_client_has_gone_in_the_middle_of_its_request_has_nothing_under_way(
    model: str, preemption: str, server_first: bool
) -> None:
    machine = Machine(model, preemption)
    service = Service(machine)
    server = service.server(room=LONG, start=server_first)
    machine.run()
    client, _ = service.client([1] * LONG)
    if not server_first:
        machine.run()
        machine.core.start(server)
    while server.client is not client or not machine.register(server, "t6"):
        machine.step()
    assert machine.stage(server) == "ipc_request_receive"
    machine.core.destroy(client)
    machine.run()
    assert server.waiting_for is service.portset
    assert machine.stage(server) == "ipc_wait_receive"
    assert machine.register(server, "t6") == 0
