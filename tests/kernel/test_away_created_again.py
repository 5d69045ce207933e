"""
A client that is away from its call: its server waits for it, and it waits for a keeper.

Two ties hang on one thread, of which its state names one. What happens to it is the same, to it and to its server,
whether all was created again before or not.
"""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PRIORITY_MAX
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.paging import VIEW, Paging
from tests.kernel.recreation import recreate

WORDS = 3 * COPY_CHUNK_WORDS
PAGES = 6
SEEN = (Event.FINISH, Event.COMPLETE, Event.ASK, Event.RESOLVED, Event.CHUNK, Event.EXCEPTION)


class Away:
    """
    A client whose server has found a page missing, of the request or of the room for the reply.

    `taken` is whether a keeper has the question already; another keeper is there, and has not begun yet.
    """

    def __init__(self, model: str, *, phase: str, taken: bool) -> None:
        machine = self.machine = Machine(model, "partial")
        self.paging, service = Paging(machine, PAGES, present=True), Service(machine)
        bring = self.paging.protect(*range(PAGES))
        keeper = self.paging.pager(("burn", 2000), *bring, start=taken)
        spare = self.paging.pager(*bring, start=False)
        server = service.server(room=WORDS, reply_words=WORDS, work=(("burn", 2000),), priority=12)
        buffers = {"send_buffer": VIEW, "send_words": WORDS, "receive_buffer": VIEW, "receive_words": WORDS}
        client = self.paging.spawn(
            machine.call("ipc_call", destination_ref=service.reference, **buffers),
            *[("jump", "end"), "handler", machine.bare_call("thread_return_from_exception"), "end"],
            interrupt_handler="handler",
            priority=14,
        )
        while not (client.waiting_for is server if phase == "reply" else machine.happened(Event.CHUNK)):
            machine.step()
        self.paging.take(*range(PAGES))
        self.places = {"client": client, "server": server, "keeper": keeper, "spare": spare, "port": self.paging.port}
        self.addresses = {name: each.address for name, each in self.places.items()}
        while client.fault is None or client.waiting_for is not (keeper if taken else self.paging.port):
            machine.step()
        assert server.waiting_for is client

    def now(self, name: str) -> Any:
        """Who takes part, created again or not."""
        found: KernelObject = self.machine.core.objects[self.addresses[name]]
        return found

    def act(self, name: str, **operands: Any) -> None:
        """A call by a thread that comes before all others, and nothing more."""
        actor = self.machine.spawn(self.machine.call(name, **operands), priority=PRIORITY_MAX)
        while not self.machine.done(actor):
            self.machine.step()

    def do(self, deed: str) -> None:
        """Something that concerns the client, or whom it waits for."""
        machine, client = self.machine, self.now("client")
        if deed == "keeper dies":
            machine.core.destroy(self.now("keeper"))
        elif deed == "port dies":
            machine.core.destroy(self.now("port"))
        elif deed == "client dies":
            machine.core.destroy(client)
        elif deed == "interrupt":
            self.act("thread_interrupt", thread=client)
        elif deed in ("null wait", "loaded"):
            if not client.stopped:
                machine.core.stop(client)
            links = {"waiting_for": None if deed == "null wait" else client.waiting_for}
            client.import_state(machine.core, None, dict(client.export_bits()) | {"flags": 1}, links)
        elif deed == "server is stopped":
            machine.core.stop(self.now("server"))

    def go_on(self) -> list[Any]:
        """Let all go on, and tell what they did."""
        before = len(self.machine.events)
        for name in ("keeper", "spare", "server", "client"):
            found = self.machine.core.objects.get(self.addresses[name])
            if isinstance(found, Thread) and found.stopped:
                self.machine.core.start(found)
        self.machine.run()
        server = self.now("server")
        assert server.client is None
        seen: list[Any] = [event for event in self.machine.events[before:] if event[1] in SEEN]
        return [*seen, self.machine.core.statistics.words_copied]


DEEDS = (
    *("keeper dies", "port dies", "client dies", "interrupt", "null wait", "loaded", "server is stopped", "nothing"),
)


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])
@pytest.mark.parametrize("taken", [False, True], ids=["in line", "taken"])
@pytest.mark.parametrize("phase", ["request", "reply"])
@pytest.mark.parametrize("deed", DEEDS)
def test_what_happens_to_a_client_that_is_away_is_the_same_when_all_is_created_again(
    model: str, deed: str, phase: str, taken: bool, stopped: bool, when: str
) -> None:
    runs = []
    for again in ("", when):
        away = Away(model, phase=phase, taken=taken)
        if stopped:
            away.machine.core.stop(away.now("client"))
        if again == "before":
            recreate(away.machine)
        away.do(deed)
        if again == "after":
            recreate(away.machine)
        runs.append(away.go_on())
    assert runs[0] == runs[1]
    assert len(runs[0]) > 1 or deed == "client dies"  # then there may be nothing left to do
