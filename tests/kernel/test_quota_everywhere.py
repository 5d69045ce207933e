"""Memory is used up, in every call, at every address that it touches first: told to its thread, nothing half done."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, ExceptionCode, Status
from fluke_async.abi.entry_point import Kind
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.kernel.handlers import OBJECTS
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.crossing import LONG
from tests.kernel.invariants import check
from tests.kernel.machine import MEMORY, MEMORY_SIZE, Machine
from tests.kernel.messages import Service
from tests.kernel.operands import PLACES, POINTERS, ReadyCall, operands_of, state_of_all
from tests.kernel.paging import Paging

FAR = MEMORY + MEMORY_SIZE - PAGE_SIZE  # a page that nobody has touched
CREATING = [name for name, entry in BY_NAME.items() if entry.arguments and entry.arguments[0].kind is Kind.NEW_OBJECT]


def exhaust(machine: Machine, left_bytes: int = 0) -> None:
    machine.core.quota.limit_bytes = machine.core.quota.used_bytes + left_bytes


def give(machine: Machine, more_bytes: int) -> None:
    machine.core.quota.limit_bytes += more_bytes


def run(machine: Machine, *threads: Thread) -> None:
    for thread in threads:
        machine.core.start(thread)
    machine.run()


def memory(machine: Machine) -> bytes:
    """All frames that there are."""
    return bytes(machine.cpu.ram[: machine.core.frames.in_use * PAGE_SIZE])


@pytest.mark.parametrize(("name", "operand"), operands_of(*POINTERS, *PLACES))
def test_page_that_there_is_no_memory_for_is_the_callers_exception(machine: Machine, name: str, operand: str) -> None:
    """Nothing that a program can see has changed; and where there is memory again, the call does what it should."""
    call = ReadyCall(machine, name)
    thread = call.spawn(**{operand: FAR})
    exhaust(machine)
    before, bytes_before = state_of_all(machine), memory(machine)
    run(machine, thread)
    result = machine.result(thread)
    assert (result.exception, result.subcode) == (ExceptionCode.OUT_OF_MEMORY, FAR)
    assert state_of_all(machine) == before
    assert len(memory(machine)) == len(bytes_before)
    if not BY_NAME[name].is_message:
        assert memory(machine) == bytes_before
    check(machine.core)


@pytest.mark.parametrize("name", CREATING)
@pytest.mark.parametrize("missing", [1, 100, 255])
def test_object_that_there_is_no_memory_for_is_not_made(machine: Machine, name: str, missing: int) -> None:
    """Although there was memory for its page, which is touched then and stays."""
    call = ReadyCall(machine, name)
    (operand,) = [each.name for each in BY_NAME[name].arguments if each.kind is Kind.NEW_OBJECT]
    kind = OBJECTS[name.partition("_create")[0]]
    thread, again = call.spawn(**{operand: FAR}), call.spawn(**{operand: FAR})
    cost = PAGE_SIZE + OBJECT_CHARGE_BYTES[kind.type]
    exhaust(machine, cost - missing)
    states, objects, frames, used = state_of_all(machine)
    run(machine, thread)
    assert machine.done(thread)
    assert machine.register(thread, "a0") == Status.NO_MEMORY
    assert state_of_all(machine) == [states, objects, frames + 1, used + PAGE_SIZE]
    give(machine, missing)
    run(machine, again)
    assert machine.register(again, "a0") == Status.SUCCESS
    assert len(machine.core.objects) == objects + 1


def test_thread_whose_state_there_is_no_room_for_is_not_stopped(machine: Machine) -> None:
    target = machine.spawn(("burn", 1000), start=False)
    reader = machine.spawn(machine.call("thread_get_state", thread=target, state=FAR), start=False, priority=20)
    machine._physical(machine.addresses[reader])
    exhaust(machine)
    run(machine, target, reader)
    assert machine.failure(reader) is ExceptionCode.OUT_OF_MEMORY
    assert machine.done(target)


@pytest.mark.parametrize("name", ["region_search", "region_changed"])
def test_scan_that_has_no_room_for_its_results_can_go_on_from_there(machine: Machine, name: str) -> None:
    """The registers say what is left, as at the beginning; the array's page is there when there is memory."""
    region = machine.new(Region)
    bits = {"start_va": machine.addresses[region] & -PAGE_SIZE, "size": PAGE_SIZE, "prot": 7}
    machine.load(region, bits, space=machine.space)
    array = "objects" if name == "region_search" else "offsets"
    call = machine.call(name, region=region, size=PAGE_SIZE, capacity=2, **{array: FAR})
    thread = machine.spawn(call, start=False)
    exhaust(machine)
    run(machine, thread)
    assert machine.failure(thread) is ExceptionCode.OUT_OF_MEMORY
    assert [machine.register(thread, f"a{number}") for number in range(1, 5)] == [0, PAGE_SIZE, FAR, 2]
    give(machine, PAGE_SIZE)
    machine.core.stop(thread)
    thread.exception = None
    run(machine, thread)
    assert machine.done(thread)
    assert machine.register(thread, "a4") < 2


# -- messages ---------------------------------------------------------------------------------------------------------


def untouched(machine: Machine, touched_pages: int) -> int:
    """The address of a long buffer of which only the first pages have frames."""
    address = machine.buffer(LONG)
    for page in range(touched_pages):
        machine.write(address + page * PAGE_SIZE, [1])
    return address


@pytest.mark.parametrize("left_pages", [0, 1])
@pytest.mark.parametrize("server_first", [True, False])
@pytest.mark.parametrize("role", ["client", "server"])
def test_long_request_stops_where_memory_does(machine: Machine, role: str, server_first: bool, left_pages: int) -> None:
    """Whose page it is gets the exception; the other is served, or serves, as soon as somebody else is there."""
    service = Service(machine)
    whole, torn = machine.buffer([1] * LONG), untouched(machine, 2)
    sent, received = (torn, whole) if role == "client" else (whole, torn)
    receive = {"receive_buffer": received, "receive_words": LONG}
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset, **receive),
        "serve",
        machine.call("ipc_reply_wait_receive", **receive),
        ("jump", "serve"),
        start=False,
    )
    send = {"send_buffer": sent, "send_words": LONG}
    client = machine.spawn(machine.call("ipc_call", destination_ref=service.reference, **send), start=False)
    machine._physical(machine.addresses[client])
    exhaust(machine, left_pages * PAGE_SIZE)
    for thread in (server, client) if server_first else (client, server):
        run(machine, thread)
    guilty, other = (client, server) if role == "client" else (server, client)
    result = machine.result(guilty)
    assert (result.exception, result.subcode) == (ExceptionCode.OUT_OF_MEMORY, torn + (2 + left_pages) * PAGE_SIZE)
    assert other.waiting_for is (service.portset if role == "client" else service.port)
    give(machine, 1 << 20)
    partner = service.client([5])[0] if role == "client" else service.server(room=LONG)
    machine.run()
    assert machine.done(partner if role == "client" else client)


@pytest.mark.parametrize("role", ["client", "server"])
def test_long_reply_stops_where_memory_does(machine: Machine, role: str) -> None:
    service = Service(machine)
    whole, torn = machine.buffer([1] * LONG), untouched(machine, 2)
    sent, received = (whole, torn) if role == "client" else (torn, whole)
    receive = {"receive_buffer": received, "receive_words": LONG}
    client = machine.spawn(machine.call("ipc_call", destination_ref=service.reference, **receive), start=False)
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset),
        machine.call("ipc_reply_wait_receive", send_buffer=sent, send_words=LONG),
        start=False,
    )
    machine._physical(machine.addresses[server])
    exhaust(machine)
    run(machine, client, server)
    guilty = client if role == "client" else server
    result = machine.result(guilty)
    assert (result.exception, result.subcode) == (ExceptionCode.OUT_OF_MEMORY, torn + 2 * PAGE_SIZE)
    if role == "client":
        assert (server.waiting_for, server.client) == (service.portset, None)
    else:
        assert client.waiting_for is server


# -- keepers ----------------------------------------------------------------------------------------------------------


def first_touch(paging: Paging) -> Thread:
    return paging.reader(1, start=False)


def first_object(paging: Paging) -> Thread:
    return paging.spawn(paging.machine.call("mutex_create", mutex=paging.address(1)), start=False)


@pytest.mark.parametrize("client_of", [first_touch, first_object])
def test_page_that_a_keeper_gives_without_memory_for_it_is_the_clients_exception(
    machine: Machine, client_of: Callable[[Paging], Thread]
) -> None:
    """The keeper has shown a page that nobody has touched; its answer is as good as ever."""
    paging = Paging(machine)
    keeper, client = paging.keeper(), client_of(paging)
    machine.run()
    machine._physical(machine.addresses[client])
    run(machine, client)
    paging.bring(1)
    exhaust(machine)
    keeper.answer()
    result = machine.result(client)
    assert (result.exception, result.subcode) == (ExceptionCode.OUT_OF_MEMORY, paging.address(1))
    assert keeper.thread.waiting_for is paging.portset
    assert len(keeper.questions) == 1


def test_keeper_is_asked_though_nothing_is_left(machine: Machine) -> None:
    """A question costs nothing."""
    paging = Paging(machine)
    keeper = paging.keeper()
    readers = [paging.reader(page % 4, start=False) for page in range(8)]
    for page in range(4):
        paging.fill(page, page)
    machine.run()
    machine._physical(machine.addresses[readers[-1]])
    exhaust(machine)
    run(machine, *readers)
    for _ in range(4):
        paging.bring(keeper.questions[-1].offset // PAGE_SIZE)
        keeper.answer()
    assert machine.done(*readers)
    assert [machine.register(reader, "s2") for reader in readers] == [0, 1, 2, 3] * 2
