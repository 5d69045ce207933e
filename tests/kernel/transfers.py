"""
Every kind of message between two threads whose memory comes and goes, and what of it can be missing where.

A transfer plays by itself: who is to copy comes last, a page of one side goes just before, that side's pager brings it
again, and both ends note how their calls have ended. What the message carries is in two buffers, of which a table names
the second, and in two references, of which another table names the slots.
"""

from __future__ import annotations

from array import array
from typing import Any, NamedTuple

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, PRIORITY_DEFAULT, SLOT_SIZE, Status
from fluke_async.abi.registers import PROGRESS_WORDS, SEND_WORDS
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.translation import WRITE, resolve
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service
from tests.kernel.paging import PAGE_WORDS, VIEW, Paging

ROLES = ("client", "server")
OTHER = {"client": "server", "server": "client"}
LONG = 2 * COPY_CHUNK_WORDS + 5
FIRST_WORDS = 100  # in the buffer that the registers name
TABLE_PAGE, OBJECT_PAGE, BUFFERS_PAGE, PAGES = 5, 6, 7, 8
REFERENCES = 2
LATE = 8000  # instructions: longer than whatever the first of the two does before it waits
LOST_AT = LATE // 2
RESULTS = ("a0", "t6", "t1")  # status, words received, references that were left
WHAT = ("buffer", "buffer table", "reference table", "reference slot")


class Kind(NamedTuple):
    """A kind of message: who sends it, its words, who may copy it, and how its receiver's call ends."""

    name: str
    sender: str
    words: int = LONG
    copiers: tuple[str, ...] = ROLES
    status: Status = Status.SUCCESS
    is_reliable: bool = False

    def __str__(self) -> str:
        return self.name


ONE_WAY = Kind("one-way", "client", COPY_CHUNK_WORDS)
REQUEST = Kind("request", "client")
REPLY = Kind("reply", "server", copiers=("server",))
TO_SERVER = Kind("reliable to the server", "client", status=Status.IPC_RECV_DISCONNECTED, is_reliable=True)
TO_CLIENT = Kind("reliable to the client", "server", status=Status.IPC_RECV_DISCONNECTED, is_reliable=True)
KINDS = (ONE_WAY, REQUEST, REPLY, TO_SERVER, TO_CLIENT)


class Side:
    """One end's memory, its pager, and what is in it."""

    def __init__(self, machine: Machine, first_word: int, words: int) -> None:
        self.machine = machine
        self.paging = Paging(machine, PAGES, present=True)
        self.pager = self.paging.pager(("burn", 50), *self.paging.protect(*range(PAGES)))
        self.content = list(range(first_word, first_word + words))
        for first in range(0, words, PAGE_WORDS):
            part = array("Q", self.content[first : first + PAGE_WORDS])
            self._page(first)[: len(part)] = part
        self.slots = [self.paging.address(OBJECT_PAGE) + SLOT_SIZE * number for number in range(REFERENCES)]
        self.references = [self._reference(number) for number in range(REFERENCES)]
        self.paging.fill(TABLE_PAGE, *self.slots)
        self.paging.fill(BUFFERS_PAGE, words - FIRST_WORDS, VIEW + 8 * FIRST_WORDS)
        self.log = machine.buffer([77] * len(RESULTS))

    def _reference(self, number: int) -> int:
        created = self.machine.core.create(Reference, self._object_place(number))
        assert created is not None
        return created.address

    def _object_place(self, number: int) -> int:
        return self.machine._physical(self.paging.memory + OBJECT_PAGE * PAGE_SIZE) + number * SLOT_SIZE

    def operands(self, verb: str) -> dict[str, int]:
        """What a call that sends or receives all of it names."""
        return {
            f"{verb}_buffer": VIEW,
            f"{verb}_words": FIRST_WORDS,
            f"{verb}_buffer_table": self.paging.address(BUFFERS_PAGE),
            f"{verb}_buffer_count": 1,
            f"{verb}_ref_table": self.paging.address(TABLE_PAGE),
            f"{verb}_ref_count": REFERENCES,
        }

    def words(self) -> list[int]:
        """The words that are there now."""
        pages = range(0, len(self.content), PAGE_WORDS)
        return [word for first in pages for word in self._page(first)][: len(self.content)]

    def _page(self, word: int) -> memoryview:
        """The page that begins with a word of the memory."""
        place = self.machine._physical(self.paging.memory + 8 * word)
        return self.machine.cpu.ram[place : place + PAGE_SIZE].cast("Q")

    def target(self, number: int) -> Any:
        """The address of what a reference refers to."""
        reference = self.machine.core.objects[self.references[number]]
        assert isinstance(reference, Reference)
        return None if reference.target is None else reference.target.address


class Transfer:
    """A message of a kind, copied by `copier`; what `missing` says of the memory of `away` goes just before."""

    def __init__(self, machine: Machine, kind: Kind, copier: str, away: str, missing: str, *, hard: bool) -> None:
        self.machine, self.kind, self.copier, self.away, self.missing = machine, kind, copier, away, missing
        self.is_forgotten = False
        self.service = Service(machine)
        self.sides = {role: Side(machine, 10_000 * number, kind.words) for number, role in enumerate(ROLES, 1)}
        self.marks = [machine.new(Port).address for _ in range(REFERENCES)]
        for number, mark in enumerate(self.marks):
            reference = machine.core.objects[self.sides[kind.sender].references[number]]
            assert isinstance(reference, Reference)
            reference.target = machine.core.objects[mark]
        self.threads = {role: self.spawn(role, self.sides[role]).address for role in ROLES}
        machine.core.at(LOST_AT, lambda: self._lose(hard=hard))

    # -- the two programs -------------------------------------------------------------------------------------------

    def spawn(self, role: str, side: Side) -> Thread:
        """One end, in a side's memory."""
        parts = self._client(side) if role == "client" else self._server(side)
        noted = [self.machine.keep(name, side.log + 8 * number) for number, name in enumerate(RESULTS)]
        end = "ipc_reply" if self.kind is REQUEST and role == "server" else f"ipc_{role}_disconnect"
        priority = PRIORITY_DEFAULT - (role == self.copier)  # who copies comes when the other waits already
        return side.paging.spawn(*parts, *noted, self.machine.call(end), priority=priority)

    def _client(self, side: Side) -> list[Part]:
        machine, to = self.machine, {"destination_ref": self.service.reference}
        late: list[Part] = [("burn", LATE)] if self.copier == "client" else []
        if self.kind is ONE_WAY:
            return [*late, machine.call("ipc_send", **to, **side.operands("send"))]
        if self.kind is REQUEST:
            return [*late, machine.call("ipc_call", **to, **side.operands("send"))]
        if self.kind is REPLY:
            return [machine.call("ipc_call", **to, **side.operands("receive"))]
        if self.kind is TO_SERVER:
            return [*late, machine.call("ipc_client_connect_send", **to, **side.operands("send"))]
        if not late:
            return [machine.call("ipc_client_connect_send_over_receive", **to, **side.operands("receive"))]
        knock = {"send_buffer": side.log, "send_words": 1}  # there is no room for it, so the server goes on at once
        return [
            machine.call("ipc_client_connect_send", **to, **knock),
            *late,
            machine.call("ipc_client_over_receive", **side.operands("receive")),
        ]

    def _server(self, side: Side) -> list[Part]:
        machine, of = self.machine, {"portset": self.service.portset}
        late: list[Part] = [("burn", LATE)] if self.copier == "server" else []
        if self.kind.sender == "client":
            return [*late, machine.call("ipc_setup_wait_receive", **of, **side.operands("receive"))]
        name = "ipc_reply" if self.kind is REPLY else "ipc_server_ack_send"
        return [machine.call("ipc_setup_wait_receive", **of), *late, machine.call(name, **side.operands("send"))]

    # -- the page ---------------------------------------------------------------------------------------------------

    @property
    def page(self) -> int:
        """The page that goes: of the words, the last of the last whole chunk."""
        pages = {"buffer table": BUFFERS_PAGE, "reference table": TABLE_PAGE, "reference slot": OBJECT_PAGE}
        return pages.get(self.missing, self.kind.words // PAGE_WORDS - 1)

    def _lose(self, *, hard: bool) -> None:
        core, paging = self.machine.core, self.sides[self.away].paging
        if hard:
            paging.take(self.page)
            return
        for page in range(PAGES):
            resolve(core, self.thread(self.away), paging.address(page), WRITE)
        page = paging.address(self.page) // PAGE_SIZE
        core.tables.forget(paging.space, page, page + 1)
        self.is_forgotten = True

    def is_found_again(self) -> bool:
        """Whether the page that was forgotten has just been entered again."""
        paging = self.sides[self.away].paging
        found = self.is_forgotten and paging.address(self.page) // PAGE_SIZE in paging.space.pages
        self.is_forgotten = self.is_forgotten and not found
        return found

    # -- looking ----------------------------------------------------------------------------------------------------

    def thread(self, role: str) -> Thread:
        """The thread of a role, created again or not."""
        found = self.machine.core.objects[self.threads[role]]
        assert isinstance(found, Thread)
        return found

    @property
    def progress(self) -> int:
        """How many words have moved, by the registers where the progress of this kind stands."""
        if self.kind is ONE_WAY:
            return 0
        server = self.thread("server")
        if self.kind in (REQUEST, REPLY):
            return server.registers[PROGRESS_WORDS]
        sender, receiver = self.thread(self.kind.sender), self.thread(OTHER[self.kind.sender])
        received = receiver.registers[PROGRESS_WORDS]
        moved_on = sender.registers[SEND_WORDS] != FIRST_WORDS
        assert moved_on == bool(received)
        return received

    @property
    def expected_progress(self) -> int:
        """How many words are committed when the page is missed; references go when all words have gone."""
        if self.kind is ONE_WAY or self.missing == "buffer table":
            return 0
        if self.missing != "buffer":
            return self.kind.words
        before, chunk = self.page * PAGE_WORDS, self.machine.core.chunk_words
        looked_at = COPY_CHUNK_WORDS if self.looks_ahead else chunk
        return (before - looked_at) // chunk * chunk + chunk

    @property
    def looks_ahead(self) -> bool:
        """Whether the page is the copier's own, and its registers name what remains, which is looked at as they go."""
        in_request = self.kind is REQUEST or (self.kind is TO_SERVER and self.copier == "server")
        return self.away == self.copier and not in_request

    def results(self) -> list[Any]:
        """What has come of it: the notes of both, and what has arrived."""
        receiver = self.sides[OTHER[self.kind.sender]]
        notes = [self.machine.read(side.log, len(RESULTS)) for side in self.sides.values()]
        return [*notes, receiver.words(), [receiver.target(number) for number in range(REFERENCES)]]

    def check_arrived(self) -> None:
        """The message is whole at its other end, and both know."""
        machine, receiver = self.machine, OTHER[self.kind.sender]
        assert machine.done(*(self.thread(role) for role in ROLES))
        _, _, words, targets = self.results()
        assert words == self.sides[self.kind.sender].content
        assert targets == self.marks
        assert machine.read(self.sides[receiver].log, 3) == [self.kind.status, self.kind.words, 0]
        assert machine.word(self.sides[self.kind.sender].log) == Status.SUCCESS
