"""
Two threads with a message between them, each in memory that comes and goes with a keeper of its own.

A page of either can be taken away before it is copied: of the words, of the table of references, or the page that the
references themselves lie in. The sides are set up alike; what a message carries is seen at both ends.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, SLOT_SIZE, WORD_SIZE, ExceptionCode, Status
from fluke_async.kernel import message
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service
from tests.kernel.paging import PAGE_WORDS, VIEW, Paging

LONG, SHORT = 2 * COPY_CHUNK_WORDS + 5, COPY_CHUNK_WORDS  # words of a call's message, and of a one-way one
TABLE_PAGE, OBJECT_PAGE, PAGES = 5, 6, 7
REFERENCES = 2
OTHERS = {"client": "server", "server": "client"}


class Side:
    """One end of a message: its memory, the keeper of that, and its references, which lie in it too."""

    def __init__(self, machine: Machine, first_word: int) -> None:
        self.machine = machine
        self.paging = Paging(machine, PAGES, present=True)
        self.keeper = self.paging.keeper()
        self.content = [first_word + number for number in range(LONG)]
        for first in range(0, LONG, PAGE_WORDS):
            self._page(first)[: min(PAGE_WORDS, LONG - first)] = array("Q", self.content[first : first + PAGE_WORDS])
        self.references: list[Reference] = []
        for number in range(REFERENCES):
            place = machine._physical(self.paging.memory + OBJECT_PAGE * PAGE_SIZE) + number * SLOT_SIZE
            reference = machine.core.create(Reference, place)
            assert isinstance(reference, Reference)
            self.references.append(reference)
            self.paging.fill(TABLE_PAGE, *(self.paging.address(OBJECT_PAGE) + SLOT_SIZE * n for n in range(REFERENCES)))

    def sends(self, words: int) -> dict[str, int]:
        table = {"send_ref_table": self.paging.address(TABLE_PAGE), "send_ref_count": REFERENCES}
        return {"send_buffer": VIEW, "send_words": words, **table}

    def receives(self, words: int) -> dict[str, int]:
        table = {"receive_ref_table": self.paging.address(TABLE_PAGE), "receive_ref_count": REFERENCES}
        return {"receive_buffer": VIEW, "receive_words": words, **table}

    def seen(self, words: int) -> list[int]:
        content = [word for first in range(0, words, PAGE_WORDS) for word in self._page(first)]
        return content[:words]

    def _page(self, word: int) -> memoryview:
        """The page that begins with a word of the memory; its words one by one would take long."""
        place = self.machine._physical(self.paging.memory + word * WORD_SIZE)
        return self.machine.cpu.ram[place : place + PAGE_SIZE].cast("Q")


@dataclass
class Crossing:
    """
    A message of some kind: "request", "reply" or "one-way"; a page of one side, `away`, is to be missing on the way.

    `copier` is who comes last and copies; `what` is on the page: "words", "table" or "object".
    """

    machine: Machine
    kind: str
    copier: str
    away: str
    what: str
    sides: dict[str, Side] = field(default_factory=dict)
    threads: dict[str, Thread] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.service = Service(self.machine)
        self.desk = self.machine.new(Port)
        self.desk.receiver = self.machine.requests.append
        self.marks = [self.machine.new(Port) for _ in range(REFERENCES)]
        self.sides = {"client": Side(self.machine, 10_000), "server": Side(self.machine, 20_000)}
        self.sender = "server" if self.kind == "reply" else "client"
        self.words = SHORT if self.kind == "one-way" else LONG
        for reference, mark in zip(self.sides[self.sender].references, self.marks, strict=True):
            reference.target = mark

    # -- the two threads --------------------------------------------------------------------------------------------

    def start(self, role: str) -> None:
        """Let one of the two begin."""
        side = self.sides[role]
        parts = self._client(side) if role == "client" else self._server(side)
        end: list[Part] = [("jump", "end"), "handler", self.machine.bare_call("thread_return_from_exception"), "end"]
        self.threads[role] = side.paging.spawn(*parts, *end, interrupt_handler="handler")

    def _client(self, side: Side) -> list[Part]:
        name = "ipc_send" if self.kind == "one-way" else "ipc_call"
        carries = side.receives(LONG) if self.kind == "reply" else side.sends(self.words)
        return [self.machine.call(name, destination_ref=self.service.reference, **carries)]

    def _server(self, side: Side) -> list[Part]:
        """It serves for ever, and waits for the test before it replies; its own side of no reply is elsewhere."""
        machine = self.machine
        receive = {} if self.kind == "reply" else side.receives(LONG)
        send = side.sends(LONG) if self.kind == "reply" else {}
        pause = machine.call("ipc_call", destination_ref=machine.reference(self.desk))
        return [
            machine.call("ipc_setup_wait_receive", portset=self.service.portset, **receive),
            "serve",
            *([pause] if self.kind == "reply" else []),
            machine.call("ipc_reply_wait_receive", **send, **receive),
            ("jump", "serve"),
        ]

    def reach(self, *, hard: bool) -> None:
        """Run until the copy has found that the page is missing; a soft fault is over then, with all that follows."""
        first = OTHERS[self.copier]
        if self.kind == "reply":
            first = "client"
            self.start("server")
        self.start(first)
        self.machine.run()
        self.lose(hard=hard)
        if self.kind == "reply":
            self.let_reply()
        else:
            self.start(self.copier)
            self.machine.run()

    def let_reply(self) -> None:
        """Let servers go on that wait for the test."""
        while pauses := [request for request in self.machine.requests if request.port is self.desk]:
            for request in pauses:
                self.machine.requests.remove(request)
                message.answer(self.machine.core, request, ())
            self.machine.run()

    # -- the page ---------------------------------------------------------------------------------------------------

    @property
    def page(self) -> int:
        """The page that is missing: of the words, the last of their last whole chunk."""
        return {"table": TABLE_PAGE, "object": OBJECT_PAGE}.get(self.what, self.words // PAGE_WORDS - 1)

    def lose(self, *, hard: bool) -> None:
        paging = self.sides[self.away].paging
        if hard:
            paging.take(self.page)
        else:
            self.machine.core.tables.drop(paging.space)

    def find(self, *words: int) -> None:
        """Bring the page and let its keeper answer."""
        side = self.sides[self.away]
        side.paging.bring(self.page)
        side.keeper.answer(*words)
        self.let_reply()

    # -- what must hold ---------------------------------------------------------------------------------------------

    @property
    def exception(self) -> ExceptionCode:
        """What the page's thread gets if the keeper fails."""
        writes = self.what == "words" and self.away != self.sender
        return ExceptionCode.STORE_FAULT if writes else ExceptionCode.LOAD_FAULT

    @property
    def waits_meanwhile(self) -> Any:
        """What the other waits for while the page is fetched."""
        if self.kind == "one-way":
            return self.service.portset if self.away == "client" else self.service.port
        return self.threads[self.away]

    def check_arrived(self) -> None:
        """The message is whole at its other end, and both know."""
        machine, receiver = self.machine, self.sides[OTHERS[self.sender]]
        client, server = self.threads["client"], self.threads["server"]
        assert machine.done(client)
        assert machine.register(client, "a0") == Status.SUCCESS
        assert receiver.seen(self.words) == self.sides[self.sender].content[: self.words]
        assert [reference.target for reference in receiver.references] == self.marks
        assert server.waiting_for is self.service.portset
        assert server.client is None
        assert client.callee is None
        if self.kind == "reply":
            assert machine.register(client, "t6") == LONG
            assert machine.register(client, "t1") == 0

    def serve_another(self) -> None:
        """A client in good memory is served by the server that is left."""
        other, received = self.service.client([5], room=LONG)
        self.machine.run()
        self.let_reply()
        assert self.machine.done(other)
        assert self.machine.register(other, "a0") == Status.SUCCESS
        server = self.threads["server"]
        assert server.waiting_for is self.service.portset
        assert server.client is None
        if self.kind == "reply":
            assert self.machine.read(received, LONG) == self.sides["server"].content
        else:
            assert self.sides["server"].seen(1) == [5]

    def serve_by_another(self) -> None:
        """The client that is left is served by a server in good memory."""
        client = self.threads["client"]
        room = self.machine.next_buffer
        other = self.service.server(room=LONG, reply_words=1)
        self.machine.run()
        assert self.machine.done(client)
        assert self.machine.register(client, "a0") == Status.SUCCESS
        assert other.waiting_for is self.service.portset
        if self.kind == "reply":
            assert self.machine.register(client, "t6") == 1
        else:
            sent = self.sides["client"].content[: self.words]
            assert self.machine.read(room, self.words) == [sent[0] + 1, *sent[1:]]
