"""
Something happens to an end, or to what an exchange goes through, at every moment of every kind of exchange.

The product of deeds and moments: at each, the invariants hold, both who are left come to a documented end, and the
service goes on for others.
"""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode, ObjectType, Prot
from fluke_async.abi.registers import PROGRESS_WORDS
from fluke_async.kernel.objects.portset import Portset
from tests.kernel.invariants import check
from tests.kernel.machine import MEMORY, MEMORY_SIZE
from tests.kernel.messages import preempted_between_chunks
from tests.kernel.torn import CHUNKS, KINDS, Case, Deed, Exchange, finish, moments, play

NO_OBJECT, LOAD, STORE = ExceptionCode.NO_OBJECT, ExceptionCode.LOAD_FAULT, ExceptionCode.STORE_FAULT


def destroy(what: str) -> Deed:
    return lambda exchange: exchange.machine.core.destroy(getattr(exchange, what))


def destroy_space(role: str) -> Deed:
    return lambda exchange: exchange.machine.core.destroy(exchange.spaces[role])


def move(what: str) -> Deed:
    def deed(exchange: Exchange) -> None:
        machine, target, slot = exchange.machine, getattr(exchange, what), exchange.machine.slot()
        exchange.act(f"{target.type.name.lower()}_move", **{target.type.name.lower(): target, "new_address": slot})
        machine.addresses[target] = slot

    return deed


def stop(role: str) -> Deed:
    return lambda exchange: exchange.act("thread_get_state", thread=getattr(exchange, role))


def interrupt(role: str) -> Deed:
    return lambda exchange: exchange.act("thread_interrupt", thread=getattr(exchange, role))


def detach(exchange: Exchange) -> None:
    exchange.act("port_set_state", port=exchange.port, portset_ref=exchange.machine.reference())


def attach_elsewhere(exchange: Exchange) -> None:
    other = exchange.machine.new(Portset)
    exchange.act("port_set_state", port=exchange.port, portset_ref=exchange.machine.reference(other))


def forget_link(role: str, link: str) -> Deed:
    """A thread's state is loaded without a link that it had."""

    def deed(exchange: Exchange) -> None:
        thread = getattr(exchange, role)
        if thread.exception is None:
            exchange.act("thread_get_state", thread=thread)
            exchange.act("thread_set_state", thread=thread, **{f"{link}_ref": exchange.machine.reference()})

    return deed


def third_client(exchange: Exchange) -> None:
    """The server's state is loaded with somebody as its client who does not know of it."""
    third = exchange.machine.reference(exchange.third)
    exchange.act("thread_get_state", thread=exchange.server)
    exchange.act("thread_set_state", thread=exchange.server, client_ref=third)


def third_server(exchange: Exchange) -> None:
    third = exchange.machine.reference(exchange.third)
    exchange.act("thread_get_state", thread=exchange.client)
    exchange.act("thread_set_state", thread=exchange.client, server_ref=third)


def blind(role: str) -> Deed:
    """An end's memory goes."""

    def deed(exchange: Exchange) -> None:
        (mapping,) = exchange.spaces[role]._mappings
        exchange.machine.load(mapping, {"start_va": MEMORY, "size": MEMORY_SIZE, "prot": int(Prot.NONE)})

    return deed


CASES: dict[str, Case] = {
    "the client is destroyed": Case(destroy("client")),
    "the server is destroyed": Case(destroy("server")),
    "the port is destroyed": Case(destroy("port")),
    "the port set is destroyed": Case(destroy("portset"), server=(NO_OBJECT,)),
    "the reference is destroyed": Case(destroy("reference"), client=(NO_OBJECT,)),
    "the client's space is destroyed": Case(destroy_space("client"), client=(LOAD, STORE), dormant="client"),
    "the server's space is destroyed": Case(destroy_space("server"), server=(LOAD, STORE), dormant="server"),
    "the client is moved": Case(move("client")),
    "the server is moved": Case(move("server")),
    "the port is moved": Case(move("port")),
    "the port set is moved": Case(move("portset"), server=(NO_OBJECT,)),
    "the reference is moved": Case(move("reference"), client=(NO_OBJECT,)),
    "the client is stopped": Case(stop("client")),
    "the server is stopped": Case(stop("server")),
    "the client is interrupted": Case(interrupt("client")),
    "the server is interrupted": Case(interrupt("server")),
    "the port leaves its set": Case(detach),
    "the port enters another set": Case(attach_elsewhere),
    "the client waits for nothing": Case(forget_link("client", "waiting_for")),
    "the server waits for nothing": Case(forget_link("server", "waiting_for")),
    "the client forgets its server": Case(forget_link("client", "server"), dormant="client"),
    "the server forgets its client": Case(forget_link("server", "client"), dormant="server"),
    "the server is given another client": Case(third_client, dormant="third"),
    "the client is given another server": Case(third_server, dormant="third"),
    "the client's memory goes": Case(blind("client"), client=(LOAD, STORE), dormant="client"),
    "the server's memory goes": Case(blind("server"), server=(LOAD, STORE), dormant="server"),
}


@preempted_between_chunks
@pytest.mark.parametrize("late", ["client", "server"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CASES)
def test_both_ends_come_to_an_end_and_the_service_goes_on(
    model: str, preemption: str, kind: str, late: str, name: str
) -> None:
    case = CASES[name]
    for moment in moments(model, preemption, kind, late):
        exchange = Exchange(model, preemption, kind, late)
        play(exchange.machine, moment)
        if exchange.machine.done(exchange.client) and name.startswith("the client"):
            continue
        exchange.is_touched = True
        case.deed(exchange)
        check(exchange.machine.core)
        finish(exchange, case, f"{name} after {moment} steps")


@preempted_between_chunks
@pytest.mark.parametrize("late", ["client", "server"])
@pytest.mark.parametrize("kind", ["idempotent", "reliable"])
def test_there_are_moments_between_all_chunks_and_in_every_wait(
    model: str, preemption: str, kind: str, late: str
) -> None:
    waits, arrived = set(), set()
    for moment in moments(model, preemption, kind, late):
        exchange = Exchange(model, preemption, kind, late)
        play(exchange.machine, moment)
        for role, thread in (("client", exchange.client), ("server", exchange.server)):
            arrived.add((role, thread.registers[PROGRESS_WORDS]))
            if thread.waiting_for is not None:
                waits.add((role, thread.waiting_for.type))
    chunk = exchange.machine.core.chunk_words
    chunks = range(chunk, exchange.words + 1, chunk)
    assert len(chunks) == CHUNKS
    assert arrived >= {("server", words) for words in chunks}
    assert arrived >= {("client", words) for words in (chunks if kind == "reliable" else chunks[-1:])}
    first = ("server", ObjectType.PORTSET) if late == "client" else ("client", ObjectType.PORT)
    assert waits >= {first, ("client", ObjectType.THREAD)}
