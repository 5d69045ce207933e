"""A wait for a message goes on at the entry for its kind, on its stack, whoever of the two comes first."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest

from fluke_async.abi.codes import MessageKind, Status
from fluke_async.kernel.objects.portset import Portset
from tests.kernel.keeping import ALIAS as KEEPERS_ALIAS
from tests.kernel.keeping import QUESTION_WORDS, Keeping
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service
from tests.kernel.scheduled import ALIAS as SCHEDULERS_ALIAS
from tests.kernel.scheduled import Scheduled

STACK = 0x7FF0
SERVICES_ALIAS = 7
ENTRIES = ("one way", "idempotent", "reliable")


class Message(NamedTuple):
    """A port set, somebody who begins to send something there, and what the server must be told of it."""

    portset: Portset
    send: Callable[[], object]
    alias: int
    entry: str
    kind: MessageKind
    words: int
    status: Status = Status.SUCCESS


def one_way(machine: Machine) -> Message:
    service = Service(machine, SERVICES_ALIAS)
    call = machine.call("ipc_send", destination_ref=service.reference, send_buffer=machine.buffer([1, 2]), send_words=2)
    return Message(
        service.portset, lambda: machine.spawn(call), SERVICES_ALIAS, "one way", MessageKind.ONE_WAY, words=2
    )


def idempotent(machine: Machine) -> Message:
    service = Service(machine, SERVICES_ALIAS)
    return Message(
        service.portset, lambda: service.client([4, 5, 6]), SERVICES_ALIAS, "idempotent", MessageKind.IDEMPOTENT, 3
    )


def reliable(machine: Machine, count: int, *then: Part, status: Status = Status.SUCCESS, words: int) -> Message:
    service = Service(machine, SERVICES_ALIAS)
    buffer = machine.buffer([3] * count)
    call = machine.call(
        "ipc_client_connect_send", destination_ref=service.reference, send_buffer=buffer, send_words=count
    )

    def send() -> None:
        machine.spawn(call, *then)

    return Message(service.portset, send, SERVICES_ALIAS, "reliable", MessageKind.RELIABLE, words, status)


def reliable_that_is_whole(machine: Machine) -> Message:
    return reliable(machine, 3, machine.call("ipc_client_over_receive"), words=3)


def reliable_that_is_longer(machine: Machine) -> Message:
    return reliable(machine, QUESTION_WORDS + 2, status=Status.IPC_RECV_MORE_DATA, words=QUESTION_WORDS)


def reliable_that_ends(machine: Machine) -> Message:
    end = machine.call("ipc_client_disconnect")
    return reliable(machine, 3, end, status=Status.IPC_RECV_DISCONNECTED, words=3)


def question(machine: Machine) -> Message:
    keeping = Keeping(machine)
    kind = MessageKind.EXCEPTION
    return Message(
        keeping.portset, lambda: keeping.spawn(("illegal",)), KEEPERS_ALIAS, "idempotent", kind, QUESTION_WORDS
    )


def request_for_time(machine: Machine) -> Message:
    scheduled = Scheduled(machine)
    return Message(scheduled.portset, scheduled.thread, SCHEDULERS_ALIAS, "idempotent", MessageKind.SCHEDULE, 2)


MESSAGES = (
    *(one_way, idempotent, reliable_that_is_whole, reliable_that_is_longer, reliable_that_ends),
    *(question, request_for_time),
)


@pytest.mark.parametrize("server_first", [False, True])
@pytest.mark.parametrize("has_entries", [False, True])
@pytest.mark.parametrize("make", MESSAGES, ids=lambda make: make.__name__)
def test_server_is_told_what_has_come_and_goes_on_where_it_wants_to(
    machine: Machine, make: Callable[[Machine], Message], has_entries: bool, server_first: bool
) -> None:
    message = make(machine)
    room = {"receive_buffer": machine.buffer([0] * QUESTION_WORDS), "receive_words": QUESTION_WORDS}
    labels = [
        part for number, entry in enumerate(ENTRIES, 1) for part in (entry, ("li", "s5", number), ("jump", "end"))
    ]
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=message.portset, **room),
        ("li", "s5", 9),
        ("jump", "end"),
        *labels,
        "end",
        start=False,
    )
    if has_entries:
        at = machine.programs[server.pc].labels
        server.server_registration = (0, STACK, *(server.pc + 4 * at[entry] for entry in ENTRIES))
    if not server_first:
        message.send()
        machine.run()
    machine.core.start(server)
    machine.run()
    if server_first:
        message.send()
        machine.run()
    assert machine.done(server)
    told = [machine.register(server, name) for name in ("a0", "a1", "a2", "t6", "a4")]
    assert told == [message.status, message.alias, message.kind, message.words, QUESTION_WORDS - message.words]
    assert machine.register(server, "s5") == (1 + ENTRIES.index(message.entry) if has_entries else 9)
    assert machine.register(server, "sp") == (STACK if has_entries else 0)
