"""
Memory that comes and goes: a region with a keeper over a window of a space, and threads that serve as its keeper.

A `Paging` has some pages of the machine's memory, which tests see at all times at `memory`. They are shown in a window
of a space of their own, by a mapping for each page; over the window lies a region with a keeper, which another space
sees at VIEW. A page is present while its mapping grants access. Pages may lie over those of another `Paging`.

    paging = Paging(machine)
    keeper = paging.keeper()
    reader = paging.reader(1)
    machine.run()
    assert keeper.questions[0].offset == PAGE_SIZE
    paging.bring(1)
    keeper.answer()
    assert machine.done(reader)
"""

from __future__ import annotations

from typing import Any, NamedTuple, TypeVar

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, WORD_SIZE, Prot
from fluke_async.abi.layouts import FAULT_MESSAGE, MAPPING_STATE
from fluke_async.cpu.scripted_cpu import Line
from fluke_async.kernel import message
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part

VIEW, WINDOW = 0x2000_0000, 0x3000_0000
PAGE_WORDS = PAGE_SIZE // WORD_SIZE
READ, WRITE, EXECUTE, ALL = int(Prot.READ), int(Prot.WRITE), int(Prot.EXECUTE), int(Prot.ALL)
ENTRY_WORDS = 8  # of a keeper's log: the question, the port's alias, the message's kind, the words received
QUESTIONS_MAX = 32
ALIAS = 77
RESOLVED, FAILED = 0, 1

T = TypeVar("T", bound=KernelObject)


class Question(NamedTuple):
    """What a keeper has received."""

    code: int
    access: int
    region_hash: int
    offset: int
    thread_hash: int
    alias: int = 0
    kind: int = 0
    words: int = 0


class Paging:
    """Pages that are away until somebody brings them; `space` sees them at VIEW."""

    def __init__(
        self,
        machine: Machine,
        pages: int = 4,
        *,
        over: Paging | None = None,
        space: Space | None = None,
        view: int = VIEW,
        present: bool = False,
        device: bool = False,
    ) -> None:
        self.machine = machine
        self.pages = pages
        self.view = view
        self.memory: int = machine.buffer(pages * PAGE_WORDS) if over is None else over.memory
        self.below: Region = machine.region if over is None else over.region
        self.below_offset = self.memory if over is None else 0
        self.window = machine.new(Space)
        self.region: Region = machine.new(Region)
        self.mappings = [machine.new(Mapping) for _ in range(pages)]
        self.portset, self.port = machine.new(Portset), machine.new(Port)
        machine.load(self.port, {"alias": ALIAS}, portset=None if device else self.portset)
        if device:
            self.port.receiver = machine.requests.append
        size = pages * PAGE_SIZE
        bits = {"start_va": WINDOW, "size": size, "prot": ALL}
        machine.load(self.region, bits, space=self.window, keeper=self.port)
        self.space = machine.new_space() if space is None else space
        self.view_mapping = machine.new(Mapping)
        place = {"start_va": view, "size": size, "prot": ALL}
        machine.load(self.view_mapping, place, region=self.region, space=self.space)
        for page in range(pages):
            self.bring(page, ALL if present else 0)

    # -- from outside ------------------------------------------------------------------------------------------------

    def bits(self, page: int, prot: int = ALL) -> dict[str, int]:
        """The state of the mapping that shows a page."""
        place = {"region_off": self.below_offset + page * PAGE_SIZE, "start_va": WINDOW + page * PAGE_SIZE}
        return {**place, "size": PAGE_SIZE, "prot": prot}

    def bring(self, page: int, prot: int = ALL) -> None:
        """Show a page in the window, or hide it."""
        self.machine.load(self.mappings[page], self.bits(page, prot), region=self.below, space=self.window)

    def bring_all(self, prot: int = ALL) -> None:
        for page in range(self.pages):
            self.bring(page, prot)

    def take(self, *pages: int) -> None:
        """Let pages be away."""
        for page in pages:
            self.bring(page, 0)

    def address(self, page: int, word: int = 0) -> int:
        """Where the space sees a word of a page."""
        return self.view + page * PAGE_SIZE + word * WORD_SIZE

    def seen(self, page: int, word: int = 0, words: int = 1) -> list[int]:
        """What a page holds, whether it is present or not."""
        return self.machine.read(self.memory + page * PAGE_SIZE + word * WORD_SIZE, words)

    def fill(self, page: int, *words: int) -> None:
        """Write a page from its start, whether it is present or not."""
        self.machine.write(self.memory + page * PAGE_SIZE, words)

    def new(self, kind: type[T], page: int = 0, slot: int = 1) -> T:
        """An object in a page, present or not, as the space names it; who sees `memory` names it there."""
        place = self.machine._physical(self.memory + page * PAGE_SIZE) + slot * SLOT_SIZE
        created = self.machine.core.create(kind, place)
        assert isinstance(created, kind)
        self.machine.addresses[created] = self.address(page) + slot * SLOT_SIZE
        return created

    def question(self, thread: Thread, page: int, access: int = READ, byte: int = 0) -> Question:
        """What a keeper is to receive when a thread wants a byte of a page."""
        code = {READ: 13, WRITE: 15, EXECUTE: 12}[access]
        return Question(code, access, self.region.hash, page * PAGE_SIZE + byte, thread.hash, ALIAS, 3, 5)

    # -- what a device was asked, where the keeper is one --------------------------------------------------------

    @property
    def requests(self) -> list[DeviceRequest]:
        """What the device has been asked and has not answered."""
        return [each for each in self.machine.requests if each.port is self.port]

    def reply(self, *words: int) -> None:
        """Let the device answer the first of its open questions, and run."""
        request = self.requests[0]
        self.machine.requests.remove(request)
        message.answer(self.machine.core, request, words)
        self.machine.run()

    # -- steps of programs -------------------------------------------------------------------------------------------

    def protect(self, *pages: int, prot: int = ALL) -> list[Part]:
        """A program sets what the pages' mappings grant."""
        return [self.machine.call("mapping_protect", mapping=self.mappings[page], prot=prot) for page in pages]

    def load_mapping(self, page: int, prot: int = ALL) -> list[Line]:
        """A program loads the mapping of a page, as one would that makes it for the first time."""
        machine = self.machine
        state = machine.buffer(memoryview(MAPPING_STATE.pack(self.bits(page, prot))).cast("Q").tolist())
        links = {"region_ref": machine.reference(self.below), "space_ref": machine.reference(self.window)}
        return machine.call("mapping_set_state", mapping=self.mappings[page], state=state, **links)

    def protect_region(self, prot: int) -> list[Line]:
        """A program sets what the region gives."""
        return self.machine.call("region_protect", region=self.region, prot=prot)

    # -- threads -----------------------------------------------------------------------------------------------------

    def reader(self, page: int, word: int = 0, **options: Any) -> Thread:
        """A thread that loads a word into s2."""
        return self.spawn(("load", "s2", "zero", self.address(page, word)), **options)

    def writer(self, page: int, number: int, word: int = 0, **options: Any) -> Thread:
        """A thread that stores a number."""
        return self.spawn(("li", "s2", number), ("store", "s2", "zero", self.address(page, word)), **options)

    def spawn(self, *parts: Part, **options: Any) -> Thread:
        """A thread in the space that sees the pages."""
        return self.machine.spawn(*parts, space=self.space, **options)

    def pager(self, *work: Part, **options: Any) -> Thread:
        """A thread that serves for ever: it does `work`, by default it brings all pages, and answers without a word."""
        machine = self.machine
        receive = {"receive_buffer": machine.buffer(ENTRY_WORDS), "receive_words": ENTRY_WORDS}
        return machine.spawn(
            machine.call("ipc_setup_wait_receive", portset=self.portset, **receive),
            "serve",
            ("add", "s11", "s11", 1),
            *(work or self.protect(*range(self.pages))),
            machine.call("ipc_reply_wait_receive", **receive),
            ("jump", "serve"),
            **options,
        )

    def keeper(self, **options: Any) -> Keeper:
        """A thread that serves, and asks the test for its answers."""
        return Keeper(self, **options)


class Keeper:
    """
    A thread that notes each question, and then waits until the test has it answer.

    `room` is how many words of a question it takes; `combined` whether one call replies and receives the next.
    """

    def __init__(self, paging: Paging, *, room: int = 5, combined: bool = True, **options: Any) -> None:
        machine = self.machine = paging.machine
        self._cursor, self._log = machine.buffer(1), machine.buffer([0] * ENTRY_WORDS * QUESTIONS_MAX)
        self._reply = machine.buffer([0] * 4)
        machine.write(self._cursor, [self._log])
        self._desk = machine.new(Port)
        self._desk.receiver = machine.requests.append
        ask: dict[str, Any] = {
            "destination_ref": machine.reference(self._desk),
            "receive_buffer": self._reply,
            "receive_words": 4,
        }
        receive_here, reply_this = ("add", "a3", "s3", 0), ("add", "a2", "s4", 0)
        answer = (
            [with_registers(self._call("ipc_reply_wait_receive", room), reply_this, receive_here)]
            if combined
            else [
                with_registers(machine.call("ipc_reply", send_buffer=self._reply), reply_this),
                with_registers(self._call("ipc_wait_receive", room), receive_here),
            ]
        )
        self.thread = machine.spawn(
            ("li", "s3", self._log),
            with_registers(
                machine.call("ipc_setup_wait_receive", portset=paging.portset, receive_words=room), receive_here
            ),
            "serve",
            *(("store", name, "s3", 40 + 8 * number) for number, name in enumerate(("a1", "a2", "t6"))),
            ("add", "s3", "s3", ENTRY_WORDS * WORD_SIZE),
            machine.keep("s3", self._cursor),
            machine.call("ipc_call", **ask),
            ("add", "s4", "t6", 0),
            *answer,
            ("jump", "serve"),
            **options,
        )

    def _call(self, name: str, room: int) -> list[Line]:
        sends = {"send_buffer": self._reply} if name.startswith("ipc_reply") else {}
        return self.machine.call(name, receive_words=room, **sends)

    @property
    def questions(self) -> list[Question]:
        """All that it has received, in order."""
        count = (self.machine.word(self._cursor) - self._log) // (ENTRY_WORDS * WORD_SIZE)
        words = self.machine.read(self._log, count * ENTRY_WORDS)
        return [Question(*words[first : first + ENTRY_WORDS]) for first in range(0, len(words), ENTRY_WORDS)]

    @property
    def is_asked(self) -> bool:
        """Whether it has a question that the test has not let it answer."""
        return any(request.port is self._desk for request in self.machine.requests)

    def let_answer(self, *words: int) -> None:
        """Let it answer the question that it has; nobody runs before the test says so."""
        (request,) = [request for request in self.machine.requests if request.port is self._desk]
        self.machine.requests.remove(request)
        message.answer(self.machine.core, request, words)

    def answer(self, *words: int) -> None:
        """Let it answer, and run until all is idle."""
        self.let_answer(*words)
        self.machine.run()


def with_registers(call: list[Line], *steps: Line) -> list[Line]:
    """A call with steps between its last argument and its ecall."""
    return [*call[:-1], *steps, call[-1]]


assert [each.name for each in FAULT_MESSAGE.fields] == list(Question._fields[:5])
