"""What the table says that a call can come to is what `usertests` meets: all of it, and nothing else."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.outcomes import mistakes, statuses
from tests.userland.met import Pair, met_by

SMALL_BYTES = 2 << 20  # memory that is soon used up
EXHAUSTING = ("no_memory", "out_of_memory")  # run only when they are named, since others would notice

UNMET: dict[Pair, str] = {
    (
        "thread_set_state",
        ExceptionCode.HOST_THREAD,
    ): "takes a thread of the host: tests/embedding/test_host_thread_sharing.py",
}
"""What no program can meet alone, and why."""


@pytest.fixture(
    scope="module", params=[("interrupt", "partial"), ("process", "partial"), ("process", "full")], ids="-".join
)
def met(request: pytest.FixtureRequest) -> set[Pair]:
    model, preemption = request.param
    usual = met_by("usertests", (), model, preemption)
    exhausted = met_by("usertests", EXHAUSTING, model, preemption, SMALL_BYTES)
    assert usual.exit == exhausted.exit == ("exited", 0)
    return usual.met | exhausted.met


TABLE: set[Pair] = {
    *((entry.name, status) for entry in ENTRY_POINTS for status in statuses(entry)),
    *((entry.name, code) for entry in ENTRY_POINTS for code in mistakes(entry)),
}


def test_all_that_a_call_can_come_to_is_met(met: set[Pair]) -> None:
    assert TABLE - met == set(UNMET)


def test_what_is_met_is_in_the_table(met: set[Pair]) -> None:
    assert met - TABLE == set()
