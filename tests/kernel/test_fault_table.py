"""
Faults of two threads with a message between them, row by row, with somebody created again in the middle of each.

A row says what message it is, who copies, whose memory is missing and what of it, whether the page is there after all
(soft) or has to be asked for (hard), and who is exported, destroyed and created again at that moment. Nobody can tell.
"""

from __future__ import annotations

from functools import cache
from itertools import product
from typing import Any, NamedTuple

import pytest

from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine
from tests.kernel.messages import preempted_between_chunks
from tests.kernel.recreation import recreate_some
from tests.kernel.transfers import KINDS, ROLES, WHAT, Kind, Transfer

RAM_BYTES = 2 << 20
EXPORTED = ("client", "server", "both", "keeper")


class Row(NamedTuple):
    """One row of the table."""

    kind: Kind
    copier: str
    away: str
    missing: str
    is_hard: bool
    exported: str

    @property
    def impossible(self) -> str:
        """Why there is no such row, or nothing."""
        if self.copier not in self.kind.copiers:
            return "a client waits for its reply with registers that name its whole call: the server copies"
        if self.exported == "keeper" and not self.is_hard:
            return "a soft fault is nobody's business"
        return ""

    def __str__(self) -> str:
        how = "hard" if self.is_hard else "soft"
        return f"{self.kind}, {self.copier} copies, {self.away}'s {self.missing}, {how}, {self.exported}"


ALL = [Row(*row) for row in product(KINDS, ROLES, ROLES, WHAT, (False, True), EXPORTED)]
ROWS = [row for row in ALL if not row.impossible]


class Play:
    """A row played to its end; at the fault, those who are named are created again."""

    def __init__(self, row: Row, model: str, preemption: str, *, recreating: bool) -> None:
        self.row, self.recreating = row, recreating
        self.machine = machine = Machine(model, preemption, memory_bytes=RAM_BYTES)
        self.transfer = Transfer(machine, row.kind, row.copier, row.away, row.missing, hard=row.is_hard)
        self.faults = 0
        machine.core.trace = self._note
        if not row.is_hard:
            machine.core.probe = self._look
        else:
            while self.transfer.thread(row.away).fault is None:
                machine.step()
            self._meet()
        machine.run()

    def _note(self, event: tuple[Any, ...]) -> None:
        self.machine.events.append(event)
        if event[1] is Event.ASK:
            self._check_copier()

    def _check_copier(self) -> None:
        assert self.machine.core.current is self.transfer.thread(self.row.copier)

    def _look(self, point: Point, thread: Thread) -> bool:
        if point is not Point.SOFT_FAULT or not self.transfer.is_found_again():
            return False
        assert thread is self.transfer.thread(self.row.away)
        self._check_copier()
        return self._meet()

    def _meet(self) -> bool:
        """The fault: what is committed is where it should be, and everybody is tied to whom he should be."""
        transfer, row = self.transfer, self.row
        self.faults += 1
        assert transfer.progress == transfer.expected_progress
        away = transfer.thread(row.away)
        if row.is_hard:
            pager = transfer.sides[row.away].pager
            assert away.waiting_for is pager
        if self.recreating:
            names = {"both": ROLES, "keeper": ()}.get(row.exported, (row.exported,))
            some = [transfer.thread(name) for name in names]
            if row.exported == "keeper":
                some.append(transfer.sides[row.away].pager)
            recreate_some(self.machine, some)
            assert not any(each.active for each in some)
        return self.recreating

    @property
    def outcome(self) -> tuple[Any, ...]:
        """All that can be told from outside."""
        events = [event for event in self.machine.events if event[1] in (Event.FINISH, Event.COMPLETE, Event.CHUNK)]
        return self.transfer.results(), events, self.machine.core.time


@cache
def undisturbed(row: Row, model: str, preemption: str) -> tuple[Any, ...]:
    """What becomes of a row when nobody is created again."""
    play = Play(row, model, preemption, recreating=False)
    play.transfer.check_arrived()
    assert play.faults == 1
    assert play.machine.core.statistics.hard_faults == row.is_hard
    return play.outcome


@preempted_between_chunks
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_nobody_can_tell_that_somebody_was_created_again_at_the_fault(row: Row, model: str, preemption: str) -> None:
    play = Play(row, model, preemption, recreating=True)
    play.transfer.check_arrived()
    assert play.outcome == undisturbed(row._replace(exported="both"), model, preemption)


def test_every_kind_of_message_and_copier_has_its_rows() -> None:
    """What is left out has a reason, and nothing else is."""
    assert {(row.kind, row.copier) for row in ROWS} == {(kind, role) for kind in KINDS for role in kind.copiers}
    assert len(ROWS) == 9 * len(ROLES) * len(WHAT) * (len(EXPORTED) + len(EXPORTED) - 1)
