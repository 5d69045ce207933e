"""
Ends of a message, and others, name clients and servers at every moment of it, by the calls that are for that.

A thread speaks for itself alone. So an end that puts its connection away does it where it is interrupted, in the
middle of its call; and what others say of an end is nothing until the end says the same. One end that names nobody, or
somebody else, is dormant: the other waits until it is named again, or the end is gone.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluke_async.abi.codes import PRIORITY_MAX, ExceptionCode, Status, ThreadFlags
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.invariants import check
from tests.kernel.machine import Machine, Part, Value
from tests.kernel.messages import preempted_between_chunks
from tests.kernel.torn import GONE, KINDS, Case, Exchange, InHandler, finish, moments, play

CLIENT_SENDER, SERVER_SENDER = int(ThreadFlags.CLIENT_SENDER), int(ThreadFlags.SERVER_SENDER)
IDEMPOTENT = int(ThreadFlags.IDEMPOTENT)
LINKS = {"client": "server", "server": "client"}  # what the end of a role names
WRONG_TURN = (ExceptionCode.NOT_SENDER, ExceptionCode.NOT_RECEIVER)
each_exchange = pytest.mark.parametrize(("kind", "late"), [(kind, late) for kind in KINDS for late in LINKS])


# -- an end, in the middle of its own call ----------------------------------------------------------------------------


def set_link(machine: Machine, role: str, **operands: Value) -> list[Part]:
    """The thread that is spawned next, an end of a role, names its peer."""
    return list(machine.call(f"thread_set_{LINKS[role]}", thread=machine.next_slot, **operands))


def put_away(exchange: Exchange, role: str) -> list[Part]:
    return set_link(exchange.machine, role)


def put_away_and_take_up(exchange: Exchange, role: str) -> list[Part]:
    """By what the call to get it says."""
    machine, kept = exchange.machine, exchange.named["kept"]
    name = LINKS[role]
    get = machine.call(f"thread_get_{name}", thread=machine.next_slot, **{f"{name}_ref": kept})
    again = set_link(machine, role, **{f"{name}_ref": kept})
    return [*get, ("add", "s6", "a2", 0), *put_away(exchange, role), *again[:-1], ("add", "a2", "s6", 0), again[-1]]


def name_third(flags: int) -> InHandler:
    def in_handler(exchange: Exchange, role: str) -> list[Part]:
        return set_link(exchange.machine, role, **{f"{LINKS[role]}_ref": exchange.named["third"]}, flags=flags)

    return in_handler


DORMANT: dict[str, tuple[str, InHandler]] = {
    "the client puts its server away": ("client", put_away),
    "the client names another, to send": ("client", name_third(CLIENT_SENDER)),
    "the client names another, to receive": ("client", name_third(0)),
    "the server puts its client away": ("server", put_away),
    "the server names another, to send": ("server", name_third(SERVER_SENDER)),
    "the server names another, to receive": ("server", name_third(0)),
    "the server names another, to answer": ("server", name_third(IDEMPOTENT)),
}


def interrupted(
    model: str, preemption: str, kind: str, late: str, role: str, in_handler: InHandler
) -> Iterator[Exchange]:
    """The exchange at each moment at which the end of a role is interrupted, and does something there."""
    for moment in moments(model, preemption, kind, late):
        exchange = Exchange(
            model, preemption, kind, late, lambda each, its: in_handler(each, its) if its == role else []
        )
        play(exchange.machine, moment)
        end: Thread = getattr(exchange, role)
        if not exchange.machine.done(end):
            exchange.act("thread_interrupt", thread=end)
            check(exchange.machine.core)
            yield exchange


@preempted_between_chunks
@each_exchange
@pytest.mark.parametrize("name", DORMANT)
def test_end_that_names_nobody_or_another_is_dormant(
    model: str, preemption: str, kind: str, late: str, name: str
) -> None:
    """The other waits until it is gone, and both come to their ends then."""
    role, in_handler = DORMANT[name]
    case = Case(lambda _: None, client=WRONG_TURN, server=WRONG_TURN, dormant=role)
    for exchange in interrupted(model, preemption, kind, late, role, in_handler):
        exchange.is_touched = True
        finish(exchange, case, name)


@preempted_between_chunks
@each_exchange
@pytest.mark.parametrize("role", LINKS)
def test_end_that_puts_its_connection_away_and_takes_it_up_again_goes_on(
    model: str, preemption: str, kind: str, late: str, role: str
) -> None:
    for exchange in interrupted(model, preemption, kind, late, role, put_away_and_take_up):
        finish(exchange, Case(lambda _: None), f"the {role} takes up what it has put away")
        exchange.check_client(exchange.client, exchange.good_end)


# -- others -----------------------------------------------------------------------------------------------------------

CALLS = ("thread_get_client", "thread_set_client", "thread_get_server", "thread_set_server")
USES: dict[str, tuple[str, int, str]] = {  # whose end another claims, with which flags, and what it calls then
    "as its server, to answer": ("client", IDEMPOTENT, "ipc_reply"),
    "as its server, to receive its request": ("client", IDEMPOTENT, "ipc_request_receive"),
    "as its server, to send": ("client", SERVER_SENDER, "ipc_server_send"),
    "as its server, to receive": ("client", 0, "ipc_server_receive"),
    "as its client, to send": ("server", CLIENT_SENDER, "ipc_client_send"),
    "as its client, to receive": ("server", 0, "ipc_client_receive"),
}
OF_NOBODY = (Status.SUCCESS, *GONE)  # a reply to nobody is no mistake


@preempted_between_chunks
@each_exchange
@pytest.mark.parametrize("role", LINKS)
def test_nobody_speaks_for_an_end(model: str, preemption: str, kind: str, late: str, role: str) -> None:
    for moment in moments(model, preemption, kind, late):
        exchange = Exchange(model, preemption, kind, late)
        play(exchange.machine, moment)
        foremost(exchange)  # a step that was under way is over then
        before = said(exchange)
        for name in CALLS:
            other = foremost(exchange, exchange.machine.call(name, thread=getattr(exchange, role)))
            assert exchange.machine.failure(other) is ExceptionCode.NOT_CURRENT_THREAD
        assert said(exchange) == before
        finish(exchange, Case(lambda _: None), "nothing")
        exchange.check_client(exchange.client, exchange.good_end)


@preempted_between_chunks
@each_exchange
@pytest.mark.parametrize("name", USES)
def test_what_another_says_of_an_end_gives_it_nothing(
    model: str, preemption: str, kind: str, late: str, name: str
) -> None:
    whose, flags, use = USES[name]
    for moment in moments(model, preemption, kind, late):
        exchange = Exchange(model, preemption, kind, late)
        play(exchange.machine, moment)
        machine, room = exchange.machine, exchange.machine.buffer([0] * 8)
        operands = (
            {"receive_buffer": room, "receive_words": 8}
            if use.endswith("receive")
            else {"send_buffer": machine.buffer([555] * 8), "send_words": 8}
        )
        link: dict[str, Value] = {f"{whose}_ref": exchange.named[whose], "flags": flags}
        name_it = machine.call(f"thread_set_{whose}", thread=machine.next_slot, **link)
        other = foremost(exchange, name_it, machine.call(use, **operands))
        check(machine.core)
        finish(exchange, Case(lambda _: None), name)
        exchange.check_client(exchange.client, exchange.good_end)
        machine.core.destroy(getattr(exchange, whose))
        machine.run()
        assert machine.read(room, 8) == [0] * 8
        if machine.failure(other) is not ExceptionCode.NO_PORTSET:  # it has become a wait for the next request
            assert machine.done(other)
            assert machine.register(other, "a0") in OF_NOBODY


def foremost(exchange: Exchange, *parts: Part) -> Thread:
    """A thread that comes before all others, until it is over or waits."""
    thread = exchange.machine.spawn(*parts, priority=PRIORITY_MAX)
    while thread.exception is None and thread.waiting_for is None:
        exchange.machine.step()
    return thread


def said(exchange: Exchange) -> list[Thread | None]:
    """Whom both ends name."""
    return [peer for each in (exchange.client, exchange.server) for peer in (each.client, each.server)]
