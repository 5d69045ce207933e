"""
Exchanges of four chunks that something can happen to at any moment, and what must come of both ends then.

An exchange is played up to one of its moments: whenever what the registers of an end say has changed. After a deed,
whoever was left is helped: by a port set for the port, another server, another client. Nobody may wait for anything
then that did not come, or have words that nobody sent.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

from fluke_async.abi.codes import PAGE_SIZE, PRIORITY_MAX, ExceptionCode, Status
from fluke_async.abi.registers import ENTRY_POINT, PROGRESS_WORDS, RECEIVE_WORDS, SEND_WORDS
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.invariants import check
from tests.kernel.machine import Machine, Part
from tests.kernel.paging import PAGE_WORDS

CHUNKS = 4
REQUEST, REPLY = 10_000, 20_000  # the first words of what is sent
RAM_BYTES = 2 << 20
FIRST, SECOND = 12, 10  # priorities
LOOKS = range(50, 13_000, 250)  # instants at which a program is looked at that runs
STEPS_MAX = 3000
HANDLER: tuple[Part, ...] = (("jump", "end"), "handler", ("add", "s5", "s5", 1))
InHandler = Callable[["Exchange", str], list[Part]]
KINDS = ("one-way", "idempotent", "reliable")
GONE = (
    Status.IPC_SEND_DISCONNECTED,
    Status.IPC_OVER_DISCONNECTED,
    Status.IPC_ACK_DISCONNECTED,
    Status.IPC_RECV_DISCONNECTED,
)
STATUSES = {  # what the client's call may come to
    "one-way": (Status.SUCCESS, Status.INVALID_DEST),
    "idempotent": (Status.SUCCESS, Status.IPC_CONNECT_INVALID_DEST),
    "reliable": (Status.SUCCESS, Status.IPC_CONNECT_INVALID_DEST, *GONE),
}


def play(machine: Machine, steps: int) -> None:
    """Come to a moment; what lies before it was looked at when the moments were found."""
    core = machine.core
    trace, core.trace = core.trace, None  # a slice that says nothing is not checked
    for _ in range(steps):
        machine.step()
    core.trace = trace


def moments_of(machine: Machine, look: Callable[[], object]) -> list[int]:
    """Run to the end; after how many steps there is something new to be seen by `look`."""
    found, before = [], None
    for step in range(STEPS_MAX):
        now = look()
        if now != before:
            found.append(step)
        before = now
        if machine.step() is Outcome.IDLE:
            return found
    raise AssertionError("it does not end")


class Exchange:
    """
    A request and its reply, or a one-way message; one of the two ends comes late.

    `in_handler` makes what an end, which a role names, executes when it is interrupted.
    """

    def __init__(
        self, model: str, preemption: str, kind: str, late: str, in_handler: InHandler = lambda _exchange, _role: []
    ) -> None:
        self.machine = machine = Machine(model, preemption, memory_bytes=RAM_BYTES)
        self.kind = kind
        self.words = CHUNKS * machine.core.chunk_words
        self.in_handler = in_handler
        self.is_touched = False  # something has happened to it
        self.portset, self.port = machine.new(Portset), machine.new(Port)
        machine.load(self.port, {"alias": 3}, portset=self.portset)
        self.reference = machine.reference(self.port)
        self.sent = {"send_buffer": self._filled(REQUEST), "send_words": self.words}
        self.answer = {"send_buffer": self._filled(REPLY), "send_words": self.words}
        self.spaces = {role: machine.new_space() for role in ("client", "server")}
        self.logs: dict[Thread, tuple[int, int]] = {}
        self.servers: dict[Thread, int] = {}
        self.third = machine.spawn(start=False)  # somebody who has no part in it
        self.named = {role: machine.reference() for role in ("client", "server", "third", "kept")}
        self.server = self.new_server("server", priority=SECOND if late == "server" else FIRST)
        self.client = self.new_client("client", priority=SECOND if late == "client" else FIRST)
        self.named["client"].target, self.named["server"].target = self.client, self.server
        self.named["third"].target = self.third
        for instant in LOOKS:
            machine.core.at(instant, self._look_up)

    def _look_up(self) -> None:
        self.machine.core.attention = True

    def new_client(self, space: str = "", **options: Any) -> Thread:
        machine = self.machine
        room, log = machine.buffer(self.words), machine.buffer([99, 0])
        receive = {"receive_buffer": room, "receive_words": self.words}
        to = {"destination_ref": machine.reference(self.port) if not space else self.reference}
        calls = {
            "one-way": machine.call("ipc_send", **to, send_buffer=self.sent["send_buffer"], send_words=self.words // 4),
            "idempotent": machine.call("ipc_call", **to, **self.sent, **receive),
            "reliable": machine.call("ipc_client_connect_send_over_receive", **to, **self.sent, **receive),
        }
        noted = [machine.keep("a0", log), machine.keep("t6", log + 8)]
        thread = self._spawn(space, calls[self.kind], *noted, **options)
        self.logs[thread] = (log, room)
        return thread

    def new_server(self, space: str = "", portset: Portset | None = None, **options: Any) -> Thread:
        machine = self.machine
        room = machine.buffer(self.words)
        receive = {"receive_buffer": room, "receive_words": self.words}
        serve: dict[str, list[Part]] = {
            "one-way": [machine.call("ipc_wait_receive", **receive)],
            "idempotent": [("burn", 300), machine.call("ipc_reply_wait_receive", **self.answer, **receive)],
            "reliable": [
                ("burn", 300),
                machine.call("ipc_server_ack_send", **self.answer),
                machine.call("ipc_server_disconnect"),
                machine.call("ipc_wait_receive", **receive),
            ],
        }
        setup = machine.call("ipc_setup_wait_receive", portset=portset or self.portset, **receive)
        thread = self._spawn(space, setup, "serve", *serve[self.kind], ("jump", "serve"), **options)
        self.servers[thread] = room
        return thread

    def _spawn(self, space: str, *parts: Part, **options: Any) -> Thread:
        back = self.machine.bare_call("thread_return_from_exception")
        where = self.spaces.get(space, self.machine.space)
        handled = self.in_handler(self, space) if space else []
        handler = (*HANDLER, *handled, back, "end")
        return self.machine.spawn(*parts, *handler, interrupt_handler="handler", space=where, **options)

    # -- moments ----------------------------------------------------------------------------------------------------

    def look(self) -> tuple[Any, ...]:
        """What the registers and the waits of both say."""
        seen: list[Any] = []
        for thread in (self.client, self.server):
            registers = thread.registers
            seen += [registers[role] for role in (ENTRY_POINT, PROGRESS_WORDS, SEND_WORDS, RECEIVE_WORDS)]
            seen += [None if thread.waiting_for is None else thread.waiting_for.hash, thread.in_kernel]
        return tuple(seen)

    def moments(self) -> list[int]:
        """After how many steps there is something new to be seen."""
        return moments_of(self.machine, self.look)

    def act(self, name: str, **operands: Any) -> None:
        """A call by somebody who comes before all others; nobody else runs, and it is no mistake."""
        actor = self.machine.spawn(self.machine.call(name, **operands), priority=PRIORITY_MAX)
        while actor.exception is None:
            self.machine.step()
        assert self.machine.done(actor), actor.exception

    # -- what must come of it ---------------------------------------------------------------------------------------

    @property
    def good_end(self) -> tuple[Status, ...]:
        """The status of a client that nothing has happened to; the server disconnects when it has replied."""
        return (Status.IPC_RECV_DISCONNECTED if self.kind == "reliable" else Status.SUCCESS,)

    def is_over(self, thread: Thread) -> bool:
        """Whether nothing is to come of a thread any more, or it is where it began to serve."""
        if not thread.active or thread.exception is not None or thread.space is None:
            return True
        return thread in self.servers and isinstance(thread.waiting_for, Portset)

    def settle(self) -> None:
        """Let all go on, and help them until nobody needs help."""
        machine = self.machine
        machine.effort = 100  # from here on, nobody looks
        for thread in (self.client, self.server):
            if thread.active and thread.stopped and thread.exception is None:
                machine.core.start(thread)
        machine.run()
        if self.port.active:
            served = self.portset if self.portset.active and self.portset in machine.addresses else machine.new(Portset)
            machine.load(self.port, {"alias": 3}, portset=served)
            self.new_server(portset=served)
            self.check_client(self.new_client(), self.good_end)
        check(machine.core)

    def check_client(self, client: Thread, statuses: tuple[Status, ...]) -> None:
        """A client has come to its end with one of these statuses, and with the words that belong to it."""
        machine = self.machine
        machine.run()
        assert machine.done(client), f"{client} is {client.condition} for {client.waiting_for}"
        log, room = self.logs[client]
        status, received = machine.read(log, 2)
        assert status in statuses
        if self.kind == "one-way":
            return
        assert self.read(room) == self.beginning(REPLY, received)
        if status == Status.SUCCESS or (self.kind == "reliable" and not self.is_touched):
            assert received == self.words

    def check_request(self, server: Thread) -> None:
        """What a server has of the client's words, and of all who called it later, is their beginning."""
        words = self.read(self.servers[server])
        received = next((number for number in range(self.words) if words[number] != REQUEST + number), self.words)
        assert words == self.beginning(REQUEST, received)
        assert received % self.machine.core.chunk_words == 0

    def beginning(self, first_word: int, count: int) -> list[int]:
        """What a buffer holds to which the first words of a message have come."""
        return [*range(first_word, first_word + count), *[0] * (self.words - count)]

    # -- memory, a page at a time -----------------------------------------------------------------------------------

    def _filled(self, first_word: int) -> int:
        address = self.machine.buffer(self.words)
        for first in range(0, self.words, PAGE_WORDS):
            self._page(address + 8 * first)[:] = array("Q", range(first_word + first, first_word + first + PAGE_WORDS))
        return address

    def read(self, address: int) -> list[int]:
        """All the words of a buffer."""
        return [word for first in range(0, self.words, PAGE_WORDS) for word in self._page(address + 8 * first)]

    def _page(self, address: int) -> memoryview:
        place = self.machine._physical(address)
        return self.machine.cpu.ram[place : place + PAGE_SIZE].cast("Q")


Deed = Callable[[Exchange], None]


class Case(NamedTuple):
    """
    A deed, the mistakes that it can lead either end into, and who may have to end before the other goes on.

    An end that is there and does nothing is waited for: it is stopped by a mistake, or names somebody else for a time.
    """

    deed: Deed
    client: tuple[ExceptionCode, ...] = ()
    server: tuple[ExceptionCode, ...] = ()
    dormant: str = ""


@cache
def moments(model: str, preemption: str, kind: str, late: str) -> tuple[int, ...]:
    """Where the undisturbed exchange can be disturbed; it comes to its end."""
    exchange = Exchange(model, preemption, kind, late)
    found = exchange.moments()
    exchange.check_client(exchange.client, exchange.good_end)
    assert exchange.is_over(exchange.server)
    return tuple(found)


def finish(exchange: Exchange, case: Case, where: str) -> None:
    machine, client, server = exchange.machine, exchange.client, exchange.server
    exchange.settle()
    if case.dormant and not (exchange.is_over(client) and exchange.is_over(server)):
        left = exchange.client if case.dormant == "client" else exchange.server
        machine.core.destroy(exchange.third if case.dormant == "third" else left)
        machine.run()
        if case.dormant == "third" and not exchange.is_over(client):
            machine.core.destroy(server)
        elif case.dormant == "third" and not exchange.is_over(server):
            machine.core.destroy(client)
        machine.run()
    for thread, allowed in ((client, case.client), (server, case.server)):
        state = f"{where}: {thread.condition} in {machine.core.entry_name(thread)} for {thread.waiting_for}"
        assert exchange.is_over(thread), state
        if thread.active and machine.failure(thread) is not None:
            assert machine.failure(thread) in allowed, state
    exchange.check_request(server)
    if client.active and machine.done(client):
        exchange.check_client(client, STATUSES[exchange.kind])
