"""Threads that `set_state` has parked where their registers do not belong: they get nothing, and nobody is lost."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE, PRIORITY_MAX, Prot
from fluke_async.abi.conversation import Role
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel import message
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import REVOKED_RANGES_MAX
from fluke_async.kernel.tables import Tables
from tests.kernel.ends import link
from tests.kernel.machine import Machine

ROOM_WORDS = 4
TANGLE = 60


def caller(machine: Machine, port: Port, *, start: bool = True) -> Thread:
    buffers = {"send_buffer": machine.buffer(1), "receive_buffer": machine.buffer(1)}
    words = {"send_words": 1, "receive_words": 1}
    reference = machine.reference(port)
    return machine.spawn(machine.call("ipc_call", destination_ref=reference, **buffers, **words), start=start)


def receiver(machine: Machine, portset: Portset, *, start: bool = True) -> Thread:
    room = {"receive_buffer": machine.buffer(ROOM_WORDS), "receive_words": ROOM_WORDS}
    reply = {"send_buffer": machine.buffer(1), "send_words": 1}
    return machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=portset, **room), machine.call("ipc_reply", **reply), start=start
    )


def park(machine: Machine, thread: Thread, target: KernelObject | None) -> None:
    """Stop a thread and have it wait for something else, by the calls of another thread."""
    reference = machine.reference(target) if target is not None else machine.reference()
    by = machine.spawn(
        machine.call("thread_get_state", thread=thread),
        machine.call("thread_set_state", thread=thread, waiting_for_ref=reference),
        priority=PRIORITY_MAX,
    )
    machine.run()
    assert machine.done(by)


def test_caller_finds_the_second_server_when_the_first_is_destroyed_at_once(machine: Machine) -> None:
    portset, port = machine.new(Portset), machine.new(Port)
    first, second = receiver(machine, portset), receiver(machine, portset)
    machine.run()
    client = caller(machine, port)
    machine.run()
    machine.spawn(
        machine.call("port_set_state", port=port, portset_ref=machine.reference(portset)),
        machine.call("thread_destroy", thread=first),
        priority=PRIORITY_MAX,
    )
    machine.run()
    assert machine.done(client, second)


def test_device_is_asked_again_after_the_wait_was_broken_off(machine: Machine) -> None:
    port = machine.new(Port)
    port.receiver = machine.requests.append
    client = caller(machine, port)
    machine.run()
    first = machine.requests.pop()
    park(machine, client, None)
    assert not first.is_open
    park_again = machine.reference(port)
    machine.invoke("thread_set_state", thread=client, waiting_for_ref=park_again)
    machine.core.start(client)
    machine.run()
    (second,) = machine.requests
    message.answer(machine.core, first, (1,))
    assert not machine.done(client)
    message.answer(machine.core, second, (2,))
    machine.run()
    assert machine.done(client)


def test_device_answers_nobody_whose_registers_lock_a_mutex(machine: Machine) -> None:
    port, mutex = machine.new(Port), machine.new(Mutex)
    port.receiver = machine.requests.append
    owner = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    park(machine, waiter, port)
    machine.core.start(waiter)
    machine.run()
    assert machine.requests == []
    assert mutex.owner is owner
    assert waiter.waiting_for is mutex


def test_server_takes_nobody_whose_registers_call_another_port(machine: Machine) -> None:
    portset, served, other = machine.new(Portset), machine.new(Port), machine.new(Port)
    machine.load(served, None, portset=portset)
    server = receiver(machine, portset, start=False)
    client = caller(machine, other)
    machine.run()
    park(machine, client, served)
    machine.core.start(client)
    machine.core.start(server)
    machine.run()
    assert client.waiting_for is other
    assert server.waiting_for is portset


def test_server_that_was_only_given_a_client_is_captured_by_its_call(machine: Machine) -> None:
    portset, port = machine.new(Portset), machine.new(Port)
    machine.load(port, None, portset=portset)
    server = receiver(machine, portset)
    machine.run()
    client = caller(machine, port, start=False)
    machine.spawn(
        machine.call("thread_get_state", thread=server),
        machine.call("thread_set_state", thread=server, client_ref=machine.reference(client)),
        priority=PRIORITY_MAX,
    )
    machine.run()
    machine.core.start(server)
    machine.core.start(client)
    machine.run()
    assert machine.done(client, server)


def test_a_tangle_of_mappings_is_undone_by_emptying_all_tables(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A space whose pages are all mapped from one region of itself: each change would lead to every other."""
    core: Core = machine.core
    space, region = machine.new(Space), machine.new(Region)
    bits = {"hash": 0, "start_va": PAGE_SIZE, "size": TANGLE * PAGE_SIZE, "prot": int(Prot.ALL)}
    machine.load(region, bits, space=space)
    for number in range(TANGLE):
        place = {"region_off": 0, "start_va": (1 + number) * PAGE_SIZE, "size": PAGE_SIZE, "prot": int(Prot.ALL)}
        machine.load(machine.new(Mapping), {"hash": 0, **place}, region=region, space=space)
    emptied: list[Tables] = []
    forgotten: list[Space] = []
    monkeypatch.setattr(Tables, "empty", lambda *tables: emptied.extend(tables))
    monkeypatch.setattr(Tables, "forget", lambda *_: forgotten.append(space))
    region.import_state(core, None, bits, {})
    assert emptied == [core.tables]
    assert len(forgotten) <= REVOKED_RANGES_MAX


CALLS_IN_A_RING = ("mutex_lock", "ipc_send", "ipc_wait_receive", "ipc_client_connect_send", "thread_schedule")


@pytest.mark.parametrize("connected", [False, True], ids=["strangers", "connected"])
@pytest.mark.parametrize("name", CALLS_IN_A_RING)
def test_two_that_wait_for_each_other_in_calls_that_wait_for_nobody_such_make_them(
    machine: Machine, name: str, connected: bool
) -> None:
    """Who starts first does what its registers say, the other when that one ends."""
    portset, port = machine.new(Portset), machine.new(Port)
    machine.load(port, None, portset=portset)
    entry, threads = BY_NAME[name], []
    for _ in range(2):
        named: dict[str, KernelObject] = {
            "destination_ref": machine.reference(port),
            "mutex": machine.new(Mutex),
            "thread": machine.spawn(start=False),
        }
        mine = [operand for operand in entry.arguments if operand.name in named]
        call = machine.call(name, **{operand.name: named[operand.name] for operand in mine})
        thread = machine.spawn(call, start=False)
        thread.server_registration = (machine.addresses[portset], 0, 0, 0, 0)
        thread.registers[ENTRY_POINT] = entry.number
        for operand in mine:
            thread.registers[operand.register] = machine.value(named[operand.name])
        threads.append(thread)
    for thread, other in (threads, threads[::-1]):
        machine.load(thread, None, waiting_for=other)

    def goes_on(thread: Thread) -> bool:
        if name in ("mutex_lock", "thread_schedule"):
            return machine.done(thread)
        return thread.waiting_for is (portset if name == "ipc_wait_receive" else port)

    if connected:
        link(threads[0], Role.CLIENT, threads[1], is_sender=True)
    first, second = threads
    for thread in threads:
        machine.core.start(thread)
    machine.run()
    assert goes_on(first)
    if not goes_on(second):
        assert second.waiting_for is first
        machine.core.destroy(first)
        machine.run()
        assert goes_on(second)
