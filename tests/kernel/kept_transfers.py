"""
Messages with a fault on the way that somebody keeps: the keeper of a region, or of a space.

The page that goes is brought again by the region's keeper, or else by the space's: then nobody keeps the region, so
that the fault becomes the thread's mistake. After something has happened to the keeper, whoever is left is helped
until nobody waits for what does not come.
"""

from __future__ import annotations

from typing import Any

from fluke_async.abi.codes import ExceptionCode, Status
from fluke_async.abi.registers import ENTRY_POINT, PROGRESS_WORDS, SEND_WORDS
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.invariants import check
from tests.kernel.keeping import REPLY_OFFSET, STOP, Keeping
from tests.kernel.machine import Machine, Part
from tests.kernel.paging import Paging
from tests.kernel.torn import GONE, moments_of
from tests.kernel.transfers import LOST_AT, OTHER, PAGES, REPLY, ROLES, Kind, Side, Transfer

RAM_BYTES = 2 << 20
HELPERS_WORDS = 30_000  # the first word of what a helper sends
FAULTS = (ExceptionCode.LOAD_FAULT, ExceptionCode.STORE_FAULT)


class KeptTransfer:
    """A transfer of which a page of `away` goes, and comes back by the keeper of its "region" or of its "space"."""

    def __init__(
        self, model: str, preemption: str, kind: Kind, copier: str, away: str, kept: str, *, is_served: bool = True
    ) -> None:
        self.machine = machine = Machine(model, preemption, memory_bytes=RAM_BYTES)
        self.transfer = Transfer(machine, kind, copier, away, "buffer", hard=True)
        self.kind = kind
        self.ends = {role: self.transfer.thread(role) for role in ROLES}
        self.away, self.other = self.ends[away], self.ends[OTHER[away]]
        side = self.transfer.sides[away]
        self.sender, self.receiver = self.transfer.sides[kind.sender], self.transfer.sides[OTHER[kind.sender]]
        self.keeper: Paging | Keeping = side.paging
        self.kept: Region | Space = side.paging.region
        self.server = side.pager
        self.mend: list[Part] = [("burn", 50), *side.paging.protect(*range(PAGES))]
        if kept == "space":
            machine.load(self.kept, keeper=None)
            self.keeper = Keeping(machine, space=side.paging.space)
            self.kept = self.keeper.space
            self.server = self.new_server()
        if not is_served:
            machine.core.destroy(self.server)

    def new_server(self) -> Thread:
        """A thread that serves for ever where the keeper's port is; a thread that has come to its end is stopped."""
        if isinstance(self.keeper, Paging):
            return self.keeper.pager(*self.mend)
        return self.keeper.server(
            *(("load", "s3", "s2", 0), ("add", "s3", "s3", -int(ExceptionCode.BREAKPOINT)), ("bnez", "s3", "mend")),
            *(("li", "s3", STOP), ("store", "s3", "s2", REPLY_OFFSET), ("jump", "answer")),
            *("mend", *self.mend, "answer"),
            words=1,
        )

    def replace_port(self) -> None:
        """Have the keeper be another port, which nobody serves yet."""
        machine, keeper = self.machine, self.keeper
        keeper.port = machine.new(Port)
        self.replace_portset()
        machine.load(self.kept, keeper=keeper.port)

    def replace_portset(self) -> None:
        """Attach the keeper's port to another set."""
        self.keeper.portset = self.machine.new(Portset)
        self.machine.load(self.keeper.port, portset=self.keeper.portset)

    # -- moments ----------------------------------------------------------------------------------------------------

    def look(self) -> tuple[Any, ...]:
        """What the registers and the waits of all three say, from the moment on when the page has gone."""
        if self.machine.core.time < LOST_AT:
            return ()
        seen: list[Any] = []
        for thread in (*self.ends.values(), self.server):
            seen += [thread.registers[role] for role in (ENTRY_POINT, PROGRESS_WORDS, SEND_WORDS)]
            seen += [None if thread.waiting_for is None else thread.waiting_for.hash, thread.question is None]
        return tuple(seen)

    def moments(self) -> list[int]:
        """After how many steps there is something new to be seen."""
        return moments_of(self.machine, self.look)

    # -- what must come of it ---------------------------------------------------------------------------------------

    def settle(self) -> None:
        """Let all go on who can."""
        machine = self.machine
        machine.effort = 10_000  # from here on, nobody looks
        if self.server.active and self.server.stopped and self.server.exception is None:
            machine.core.start(self.server)
        machine.run()
        check(machine.core)

    def check(self) -> bool:
        """
        What has come of both ends; whether the message is whole at its other end.

        A reply that met a mistake of its client's is lost: the client makes its call again, to whoever serves it.
        """
        end, machine = self.away, self.machine
        if self.kind is REPLY and self.transfer.away == "client" and isinstance(self.kept, Space):
            while end.waiting_for is self.transfer.service.port:
                assert machine.done(self.other)
                self._help(end, "server")
        if has_arrived := machine.done(end):
            self._check_arrived()
        else:
            self._check_failed()
        return has_arrived

    def _check_arrived(self) -> None:
        if self.sender is self.transfer.sides[self.kind.sender]:
            self.transfer.check_arrived()
        else:
            assert self.receiver.words() == self.sender.content

    def _check_failed(self) -> None:
        """Who missed the page has its exception; of the message a part has moved, from its start; the other goes on."""
        machine, transfer = self.machine, self.transfer
        assert machine.failure(self.away) in FAULTS
        self._check_memory()
        machine.core.destroy(self.away)
        machine.run()
        if not machine.done(self.other):
            self._help(self.other, transfer.away)
            assert machine.done(self.other)
            assert self.receiver.words() == self.sender.content
        check(machine.core)
        status, words, _ = machine.read(transfer.sides[OTHER[transfer.away]].log, 3)
        assert status in (Status.SUCCESS, self.kind.status, *GONE)
        assert words <= self.kind.words

    def _check_memory(self) -> None:
        """The sender's words are as they were; the receiver has the first of them, by whole chunks, else its own."""
        sent, words, count = self.sender.content, self.receiver.words(), self.kind.words
        assert self.sender.words() == sent
        arrived = next((number for number in range(count) if words[number] != sent[number]), count)
        assert words == sent[:arrived] + self.receiver.content[arrived:]
        assert arrived == count or arrived % self.machine.core.chunk_words == 0

    def _help(self, end: Thread, missing: str) -> None:
        """Another takes the place of a client or server who has gone."""
        assert end.waiting_for in (self.transfer.service.port, self.transfer.service.portset)
        side = Side(self.machine, HELPERS_WORDS, self.kind.words)
        if missing == self.kind.sender:
            self.sender = side
        else:
            self.receiver = side
        helper = self.transfer.spawn(missing, side)
        self.machine.run()
        assert self.machine.done(helper)
