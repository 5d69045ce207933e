"""The tour shows what it promises."""

from __future__ import annotations

from pathlib import Path

from fluke_async.cli.demo import MODELS, trace_run, watch_blocked_call
from tests.cli.conftest import Fluke


def test_the_tour_runs(fluke: Fluke) -> None:
    finished = fluke("demo")
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output.count("2262 primes below 20000") == len(MODELS) + 1
    assert "which is as undisturbed" in finished.output
    assert "the traces are equal" in finished.output
    assert "typed while the call was blocked" in finished.output


async def test_a_blocked_call_stays_on_its_instruction(model: str) -> None:
    call = await watch_blocked_call(model)
    assert call.waiting.condition == "waiting"
    assert call.before.pc == call.waiting.pc < call.after.pc
    assert call.before.registers == call.waiting.registers
    assert call.output == "typed while the call was blocked\n"


async def test_what_is_kept_differs() -> None:
    interrupt, process = [await watch_blocked_call(model) for model in MODELS]
    assert interrupt.waiting.continuation == process.waiting.continuation is not None
    assert interrupt.waiting.stack is None
    assert process.waiting.stack is not None


async def test_traces_differ_in_their_own_events_only(tmp_path: Path) -> None:
    interrupt, process = [await trace_run(model, tmp_path / model) for model in MODELS]
    assert interrupt.events != process.events
    assert [event for event in interrupt.events if "model" not in event] == [
        event for event in process.events if "model" not in event
    ]
