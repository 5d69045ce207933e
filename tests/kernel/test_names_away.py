"""The page in which a waiter's object lies, or a reference to it, is away when its turn comes: it fetches it first."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import MutexFlags, Status
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.paging import FAILED, READ, WRITE, Keeper, Paging

SLOT = 16


def seen_from_outside(paging: Paging, page: int = 0) -> int:
    """The address of a page's first object where all spaces see it."""
    return paging.memory + page * 4096 + SLOT


def locked(machine: Machine, flags: int = 0) -> tuple[Paging, Keeper, Mutex, Any]:
    """A mutex in a page with a keeper, which somebody has locked and left; and the steps that lock it from inside."""
    paging = Paging(machine, present=True)
    keeper, mutex = paging.keeper(), paging.new(Mutex)
    machine.load(mutex, {"flags": flags})
    machine.spawn(machine.call("mutex_lock", mutex=seen_from_outside(paging)))
    machine.run()
    assert mutex.locked
    return paging, keeper, mutex, machine.call("mutex_lock", mutex=mutex)


def release(machine: Machine, paging: Paging) -> None:
    result = machine.invoke(
        "mutex_set_state", mutex=seen_from_outside(paging), owner_ref=machine.reference()
    )  # the same as an unlock, by somebody who is not the owner
    assert result.exception is None


@pytest.mark.parametrize("flags", [0, MutexFlags.INHERIT_PRI])
def test_mutex_goes_to_the_next_whose_page_is_there(machine: Machine, flags: int) -> None:
    """Who was first asks for its page, and is served when it is back."""
    paging, keeper, mutex, lock = locked(machine, flags)
    first = paging.spawn(lock, priority=18)
    second = machine.spawn(
        machine.call("mutex_lock", mutex=seen_from_outside(paging)),
        machine.call("ipc_send", destination_ref=machine.reference(machine.new(Port))),
    )
    machine.run()
    assert list(mutex.queue().in_order()) == [first, second]
    paging.take(0)
    release(machine, paging)
    assert mutex.owner is second
    assert keeper.questions == [paging.question(first, 0, READ, SLOT)]
    paging.bring(0)
    keeper.answer()
    assert first.waiting_for is mutex
    assert second.effective_priority == (18 if flags else 16)
    release(machine, paging)
    assert mutex.owner is first
    assert machine.done(first)


def test_mutex_is_free_while_its_only_waiter_is_away(machine: Machine) -> None:
    paging, keeper, mutex, lock = locked(machine)
    waiter = paging.spawn(lock)
    machine.run()
    paging.take(0)
    release(machine, paging)
    assert (mutex.owner, mutex.locked) == (None, False)
    paging.bring(0)
    keeper.answer()
    assert machine.done(waiter)
    assert mutex.owner is waiter


def test_mutex_of_a_waiter_that_fails_to_fetch_it_stays_free(machine: Machine) -> None:
    paging, keeper, mutex, lock = locked(machine)
    waiter = paging.spawn(lock)
    machine.run()
    paging.take(0)
    release(machine, paging)
    keeper.answer(FAILED)
    assert not machine.done(waiter)
    assert waiter.exception is not None
    assert machine.invoke("mutex_trylock", mutex=seen_from_outside(paging)).status == Status.SUCCESS
    assert mutex.locked


@pytest.mark.parametrize("signal", ["cond_signal", "cond_broadcast"])
def test_signalled_waiter_fetches_its_mutex(machine: Machine, signal: str) -> None:
    paging = Paging(machine, present=True)
    keeper, mutex, cond = paging.keeper(), paging.new(Mutex), paging.new(Cond, 1)
    wait = machine.call("cond_wait", cond=cond, mutex=mutex)
    waiters = [paging.spawn(machine.call("mutex_lock", mutex=mutex), wait, *unlocked(machine, mutex)) for _ in range(2)]
    machine.run()
    assert all(waiter.waiting_for is cond for waiter in waiters)
    paging.take(0, 1)
    for _ in waiters:
        machine.invoke(signal, cond=seen_from_outside(paging, 1))
    assert keeper.questions == [paging.question(waiters[0], 0, READ, SLOT)]
    paging.bring(0)
    keeper.answer()
    assert machine.done(*waiters)
    assert len(keeper.questions) == 1  # the condition's page is needed no more
    assert not mutex.locked


def unlocked(machine: Machine, mutex: Mutex) -> list[Any]:
    return [machine.call("mutex_unlock", mutex=mutex)]


@pytest.mark.parametrize("name", ["ipc_call", "ipc_send"])
def test_client_whose_reference_is_away_fetches_it(machine: Machine, name: str) -> None:
    """The server goes on to the next, and serves the client when it is back."""
    paging, service = Paging(machine, present=True), Service(machine)
    keeper, reference = paging.keeper(), paging.new(Reference)
    reference.target = service.port
    client = paging.spawn(machine.call(name, destination_ref=reference))
    machine.run()
    other, received = service.client([1])
    machine.run()
    assert [client.waiting_for, other.waiting_for] == [service.port] * 2
    paging.take(0)
    server = service.server()
    machine.run()
    assert keeper.questions == [paging.question(client, 0, READ, SLOT)]
    assert machine.done(other)
    assert machine.word(received) == 2
    assert server.waiting_for is service.portset
    paging.bring(0)
    keeper.answer()
    assert machine.done(client)
    assert machine.register(client, "a0") == Status.SUCCESS


def test_reference_that_is_another_by_then_counts(machine: Machine) -> None:
    """A client that fetches its reference calls the port that it names when it is there."""
    paging, service, other = Paging(machine, present=True), Service(machine), Service(machine)
    keeper, reference = paging.keeper(), paging.new(Reference)
    reference.target = service.port
    client = paging.spawn(machine.call("ipc_call", destination_ref=reference))
    machine.run()
    paging.take(0)
    service.server()
    machine.run()
    assert keeper.thread.client is client
    reference.target = other.port
    paging.bring(0)
    keeper.answer()
    assert client.waiting_for is other.port
    other.server()
    machine.run()
    assert machine.done(client)


def server_in(paging: Paging) -> tuple[Thread, Portset, Port]:
    """A server whose port set lies in a page, with a port of the set outside."""
    machine = paging.machine
    portset, port = paging.new(Portset), machine.new(Port)
    machine.load(port, {"alias": 3}, portset=portset)
    receive = {"receive_buffer": paging.address(1), "receive_words": 5}
    server = paging.spawn(
        machine.call("ipc_setup_wait_receive", portset=portset, **receive),
        ("add", "s11", "s11", 1),
        machine.call("ipc_reply_wait_receive", send_buffer=paging.address(1), send_words=1, **receive),
    )
    machine.run()
    assert server.waiting_for is portset
    return server, portset, port


@pytest.mark.parametrize("name", ["ipc_call", "ipc_send"])
def test_server_whose_port_set_is_away_fetches_it(machine: Machine, name: str) -> None:
    paging = Paging(machine, present=True)
    keeper = paging.keeper()
    server, portset, port = server_in(paging)
    paging.take(0)
    sent, received = machine.buffer([41]), machine.buffer(1)
    receive = {"receive_buffer": received, "receive_words": 1} if name == "ipc_call" else {}
    operands: dict[str, Any] = {
        "destination_ref": machine.reference(port),
        "send_buffer": sent,
        "send_words": 1,
        **receive,
    }
    client = machine.spawn(machine.call(name, **operands))
    machine.run()
    assert client.waiting_for is port
    assert keeper.questions == [paging.question(server, 0, READ, SLOT)]
    paging.bring(0)
    keeper.answer()
    assert machine.done(client)
    assert server.waiting_for is portset
    assert paging.seen(1) == [41]


@pytest.mark.parametrize("page", [0, 1], ids=["port set", "buffer"])
def test_keeper_whose_port_set_or_buffer_is_away_fetches_it_before_it_serves(machine: Machine, page: int) -> None:
    paging, inner = Paging(machine, present=True), Paging(machine)
    keeper = paging.keeper()
    server, portset, port = server_in(paging)
    machine.load(inner.region, None, keeper=port)
    paging.take(page)
    reader = inner.reader(2)
    machine.run()
    access = (READ, SLOT) if page == 0 else (WRITE, 0)
    assert keeper.questions == [paging.question(server, page, *access)]
    assert reader.waiting_for is (port if page == 0 else server)
    paging.bring(page)
    keeper.answer()
    assert paging.seen(1, words=5) == list(inner.question(reader, 2)[:5])
    assert machine.register(server, "s11") == 1
    assert machine.failure(reader) is not None  # the server answers with the code, which is no success
    assert server.waiting_for is portset


def test_unlock_of_a_mutex_that_is_away_happens_once_it_is_there(machine: Machine) -> None:
    paging = Paging(machine, present=True)
    keeper, mutex = paging.keeper(), paging.new(Mutex)
    lock, release_it = (machine.call(f"mutex_{what}", mutex=mutex) for what in ("lock", "unlock"))
    owner = paging.spawn(lock, paging.protect(0, prot=0), release_it)
    machine.run()
    waiter = machine.spawn(machine.call("mutex_lock", mutex=seen_from_outside(paging)))
    machine.run()
    assert (mutex.owner, waiter.waiting_for) == (owner, mutex)
    paging.bring(0)
    keeper.answer()
    assert machine.done(owner, waiter)
    assert mutex.owner is waiter
