"""
A call in flight that was created again is still one: what happens to its client then is felt by its server.

Only the server's end of a connection is exported. The other end follows from what the client waits for; of a server
that is still receiving, from what the server waits for.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PRIORITY_MAX
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.recreation import recreate

WORDS = 3 * COPY_CHUNK_WORDS
INSTANTS = range(400, 14_000, 500)  # from before the call until after the reply

Deed = Callable[[Machine, Thread], object]


def act(machine: Machine, name: str, client: Thread) -> None:
    """A call by a thread that comes before all others; when it is done, nobody else has run."""
    actor = machine.spawn(machine.call(name, thread=client), priority=PRIORITY_MAX)
    while not machine.done(actor):
        machine.step()


def interrupt(machine: Machine, client: Thread) -> None:
    act(machine, "thread_interrupt", client)


def interrupt_while_stopped(machine: Machine, client: Thread) -> None:
    machine.core.stop(client)
    act(machine, "thread_interrupt", client)
    machine.core.start(client)


def destroy(machine: Machine, client: Thread) -> None:
    act(machine, "thread_destroy", client)


def exchange(model: str, instant: int) -> tuple[Machine, Thread, Thread]:
    """A long call, its long service and its long reply, up to an instant; and both ends."""
    machine = Machine(model, "partial")
    service = Service(machine)
    server = service.server(room=WORDS, reply_words=WORDS, work=(("burn", 3000),), priority=12)
    client, _ = service.client(
        [1] * WORDS,
        room=WORDS,
        work=(("burn", 500),),
        priority=11,
        parts=(("jump", "end"), "handler", machine.bare_call("thread_return_from_exception"), "end"),
        interrupt_handler="handler",
    )
    machine.run_for(instant)
    return machine, server, client


def now_at(machine: Machine, address: int) -> Thread:
    """The thread that is at an address by now."""
    found = next(each for each, its_address in machine.addresses.items() if its_address == address and each.active)
    assert isinstance(found, Thread)
    return found


def seen_of_server(model: str, instant: int, deed: Deed, *, when: str) -> list[tuple[object, ...]]:
    """What becomes of a server after a deed to its client; all is created again before or after the deed, or never."""
    machine, server, client = exchange(model, instant)
    server_address, client_address = machine.addresses[server], machine.addresses[client]
    if when == "before":
        recreate(machine)
    deed(machine, now_at(machine, client_address))
    if when == "after":
        recreate(machine)
    seen: list[tuple[object, ...]] = []
    for _ in range(4):
        server = now_at(machine, server_address)
        waits_for = None if server.waiting_for is None else server.waiting_for.hash
        client_hash = None if server.client is None else server.client.hash
        seen.append((client_hash, waits_for, machine.stage(server), server.pc))
        machine.run_for(700)
    return seen


@pytest.mark.parametrize("deed", [interrupt, interrupt_while_stopped, destroy])
@pytest.mark.parametrize("instant", INSTANTS)
def test_server_notices_what_happens_to_its_client(model: str, instant: int, deed: Deed) -> None:
    undisturbed = seen_of_server(model, instant, deed, when="never")
    for when in ("before", "after"):
        assert seen_of_server(model, instant, deed, when=when) == undisturbed


def test_all_stages_of_the_exchange_are_met(model: str) -> None:
    """Before the call, while the request is copied, while it is served, and after the reply."""
    stages = set()
    for instant in INSTANTS:
        _, server, client = exchange(model, instant)
        stages.add((client.waiting_for is server, server.waiting_for is client, server.client is client))
    assert stages >= {(False, False, False), (False, True, True), (True, False, True)}


@pytest.mark.parametrize("recreated", [False, True])
def test_client_that_waits_no_more_has_no_server(model: str, recreated: bool) -> None:
    """Loaded so that it calls anew, it is served anew; its state could not tell who had served it before."""
    machine, server, client = exchange(model, 400)
    while not (client.waiting_for is server and client.callee is server):
        machine.step()
    machine.core.stop(client)
    machine.load(client, None, waiting_for=None)
    assert client.callee is None
    assert server.client is None
    if recreated:
        recreate(machine)
    assert not any(each.client for each in machine.core.objects.values() if isinstance(each, Thread))
