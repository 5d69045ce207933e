"""
A message crosses pages that are missing: whoever copies, it is the page's own thread that gets it, and nobody is lost.

Each row is a kind of message, who copies it, whose page is missing, and what is on that page.
"""

from __future__ import annotations

from itertools import product

import pytest

from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.crossing import OTHERS, Crossing
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.paging import FAILED

CALLS = list(product(("request", "one-way"), ("client", "server"), ("client", "server")))
REPLIES = list(product(("reply",), ("server",), ("client", "server")))
ROWS = [(*row, what) for row in CALLS + REPLIES for what in ("words", "table", "object")]
each_row = pytest.mark.parametrize(
    ("kind", "copier", "away", "what"), ROWS, ids=[f"{k}, {c} copies, {a}'s {w}" for k, c, a, w in ROWS]
)


def reached(machine: Machine, kind: str, copier: str, away: str, what: str) -> Crossing:
    """A message on whose way a page is missing: its thread has asked, and the other waits as the table says."""
    crossing = Crossing(machine, kind, copier, away, what)
    crossing.reach(hard=True)
    side, thread = crossing.sides[away], crossing.threads[away]
    assert thread.waiting_for is side.keeper.thread
    (question,) = side.keeper.questions
    assert question.thread_hash == thread.hash
    assert question.code == crossing.exception
    assert question.offset // 4096 == crossing.page
    assert crossing.sides[OTHERS[away]].keeper.questions == []
    assert crossing.threads[OTHERS[away]].waiting_for is crossing.waits_meanwhile
    return crossing


@each_row
def test_soft_fault_is_not_noticed(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    crossing = Crossing(machine, kind, copier, away, what)
    crossing.reach(hard=False)
    crossing.check_arrived()
    assert machine.core.statistics.hard_faults == 0
    assert all(side.keeper.questions == [] for side in crossing.sides.values())


@each_row
def test_thread_comes_back_with_its_page(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    crossing = reached(machine, kind, copier, away, what)
    crossing.find()
    crossing.check_arrived()
    assert len(crossing.sides[away].keeper.questions) == 1


@each_row
def test_page_that_goes_again_is_fetched_again(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    """The keeper is quick to say that it is there, and wrong."""
    crossing = reached(machine, kind, copier, away, what)
    crossing.sides[away].keeper.answer()
    assert len(crossing.sides[away].keeper.questions) == 2
    assert crossing.threads[away].waiting_for is crossing.sides[away].keeper.thread
    crossing.find()
    crossing.check_arrived()


@each_row
def test_both_pages_are_missing(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    """One after the other is fetched."""
    crossing = reached(machine, kind, copier, away, what)
    other = crossing.sides[OTHERS[away]]
    other.paging.take(crossing.page)
    crossing.find()
    assert len(other.keeper.questions) == 1
    other.paging.bring(crossing.page)
    other.keeper.answer()
    crossing.let_reply()
    crossing.check_arrived()


@each_row
def test_thread_is_destroyed_meanwhile(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    """The other finds somebody else."""
    crossing = reached(machine, kind, copier, away, what)
    machine.invoke("thread_destroy", thread=crossing.threads[away])
    if away == "client":
        crossing.serve_another()
    else:
        crossing.serve_by_another()
    crossing.sides[away].keeper.answer()
    assert crossing.sides[away].keeper.thread.waiting_for is crossing.sides[away].paging.portset
    check(machine.core)


@each_row
def test_thread_is_stopped_and_started_meanwhile(
    machine: Machine, kind: str, copier: str, away: str, what: str
) -> None:
    """While it is stopped, it gets its page, and nothing else happens to it."""
    crossing = reached(machine, kind, copier, away, what)
    machine.invoke("thread_get_state", thread=crossing.threads[away])
    crossing.find()
    assert crossing.threads[away].condition is Condition.STOPPED
    machine.core.start(crossing.threads[away])
    machine.run()
    crossing.let_reply()
    crossing.check_arrived()
    assert len(crossing.sides[away].keeper.questions) == 1


@each_row
def test_other_is_stopped_and_started_meanwhile(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    crossing = reached(machine, kind, copier, away, what)
    other = crossing.threads[OTHERS[away]]
    machine.invoke("thread_get_state", thread=other)
    crossing.find()
    machine.core.start(other)
    machine.run()
    crossing.let_reply()
    crossing.check_arrived()


@each_row
def test_thread_is_interrupted_meanwhile(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    """It takes the interrupt, asks anew, and the message arrives."""
    crossing = reached(machine, kind, copier, away, what)
    machine.invoke("thread_interrupt", thread=crossing.threads[away])
    assert machine.core.statistics.interrupts == 1
    crossing.let_reply()
    crossing.sides[away].keeper.answer(FAILED)  # nobody hears it
    assert crossing.threads[away].condition is Condition.WAITING
    crossing.find()
    crossing.check_arrived()


@each_row
def test_other_is_interrupted_meanwhile(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    crossing = reached(machine, kind, copier, away, what)
    machine.invoke("thread_interrupt", thread=crossing.threads[OTHERS[away]])
    assert machine.core.statistics.interrupts == 1
    crossing.let_reply()
    crossing.find()
    crossing.check_arrived()


@each_row
def test_keeper_fails(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    """The page's thread gets the exception; the other finds somebody else, as ever when a peer makes a mistake."""
    crossing = reached(machine, kind, copier, away, what)
    crossing.sides[away].keeper.answer(FAILED)
    thread = crossing.threads[away]
    assert machine.failure(thread) is crossing.exception
    if away == "client":
        crossing.serve_another()
        return
    if kind == "reply":  # who is being served waits for its server, until that one is gone
        assert crossing.threads["client"].waiting_for is thread
        machine.invoke("thread_destroy", thread=thread)
    crossing.serve_by_another()


@each_row
def test_keeper_dies(machine: Machine, kind: str, copier: str, away: str, what: str) -> None:
    """Another server of its port is asked, and the message arrives."""
    crossing = reached(machine, kind, copier, away, what)
    side = crossing.sides[away]
    machine.invoke("thread_destroy", thread=side.keeper.thread)
    assert crossing.threads[away].waiting_for is side.paging.port
    side.keeper = side.paging.keeper()
    machine.run()
    assert len(side.keeper.questions) == 1
    crossing.find()
    crossing.check_arrived()
