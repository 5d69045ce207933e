"""How many engines a processor has is nobody's business: whole runs are the same with one and with many."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.cpu import unicorn_engines
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.programs import program


def trace_of(name: str, model: str, preemption: str) -> tuple[list[tuple[Any, ...]], object, bytes, int]:
    """All that happens in a run, what it comes to, and how many engines it has used."""
    run = ClosedRun(program(name), model, preemption)
    events: list[tuple[Any, ...]] = []
    run.core.trace = events.append
    run.run()
    count = len(run.cpu._engines)
    run.close()
    return events, run.exit, bytes(run.output.data), count


@pytest.mark.parametrize("name", ["nested", "memtest", "foreign", "pingpong", "pipeline", "rpc_server"])
def test_a_run_is_the_same_with_one_engine_and_with_many(
    monkeypatch: pytest.MonkeyPatch, name: str, model: str, preemption: str
) -> None:
    compare(monkeypatch, name, model, preemption)


def test_so_are_all_calls_and_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    compare(monkeypatch, "usertests", "process", "full")


def compare(monkeypatch: pytest.MonkeyPatch, name: str, model: str, preemption: str) -> None:
    """Run a program with one engine, two and many."""
    monkeypatch.setattr(unicorn_engines, "ENGINES_MAX", 1)
    *alone, one = trace_of(name, model, preemption)
    for most in (2, 8):
        monkeypatch.setattr(unicorn_engines, "ENGINES_MAX", most)
        monkeypatch.setattr(unicorn_engines, "FLUSHES_PER_ENGINE", 0)
        *beside, many = trace_of(name, model, preemption)
        assert beside == alone
        assert (one, 2 <= many <= most) == (1, True)
