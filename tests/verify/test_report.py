"""The page says what the figures are, and leaves nothing out that went wrong."""

from __future__ import annotations

from pathlib import Path

from fluke_async.cli.verify import Selection, verify
from fluke_async.verify.campaign import replay, summary
from fluke_async.verify.check import Failure, Result
from fluke_async.verify.report import page

POINT = (10, 11, "wait", 0x40, "mutex_lock", 12)


def test_what_went_wrong_stands_on_the_page() -> None:
    failure = Failure(3, POINT, "parked", "memory")
    results = [
        Result("p", "interrupt", "none", kernel_points=1_234, instruction_points=5, exact=1_234, divergences=[failure]),
        Result("p", "process", "full", kernel_points=1, exact=1, stalls=[failure]),
        Result("q", "process", "full", kernel_points=2, exact=2),
    ]
    text = page(results, summary(results), ["process-full: mutex_lock trap"], 90)
    assert "in 1.5 minutes" in text
    assert "1,237 kernel points" in text
    assert "| `p` | 2 | 1,235 | 5 | 1 | 1 |" in text
    assert "| `q` | 1 | 2 | 0 | 0 | 0 |" in text
    assert "- process-full: mutex_lock trap" in text
    assert text.count("pc 0x40), parked: memory") == 2


def test_a_failure_names_the_command_that_shows_it_again() -> None:
    result = Result("p", "process", "full")
    assert (
        replay(result, Failure(3, POINT, "parked", "")) == "fluke verify p --model process --preemption full --point 3"
    )
    instant = Failure(77, (77, 0, "instruction", 0, "none", 0), "in a chain", "")
    assert replay(result, instant).endswith("--instant 77")
    assert replay(result, Failure(3, POINT, "all at once", "")).endswith("--all-points-at-once")


def test_the_command_writes_the_page(tmp_path: Path) -> None:
    path = tmp_path / "page.md"
    selection = Selection(model="process", preemption="full", instructions=3)
    assert verify("hello", selection=selection, json=True, report=path) == 0
    assert "| `hello` | 1 |" in path.read_text("utf-8")
    assert "## " not in path.read_text("utf-8")


def test_all_points_at_once_and_a_single_instant() -> None:
    at_once = Selection(model="interrupt", preemption="none", all_points_at_once=True)
    assert verify("hello", selection=at_once, json=True) == 0
    assert verify("hello", selection=Selection(model="process", preemption="full", instant=300), json=True) == 0
