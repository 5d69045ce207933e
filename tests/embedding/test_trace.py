"""The trace: the same seed and input give the same bytes, in both models but for what is marked."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import fluke_async as fluke
from fluke_async.abi.codes import Status
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.kernel.trace import Event
from tests.embedding import traces
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import Feed

EVENTS = {event.label: event for event in Event}


@pytest.fixture(scope="module")
def first_traces() -> dict[tuple[str, str], bytes]:
    """The trace of each configuration that was written first, on whichever loop."""
    return {}


@pytest.fixture
def busy_host() -> Iterator[None]:
    """Another thread that takes half of the interpreter's time."""
    done = threading.Event()

    def work() -> None:
        while not done.is_set():
            sum(range(2000))

    thread = threading.Thread(target=work)
    thread.start()
    yield
    done.set()
    thread.join()


async def test_same_seed_same_trace_on_every_loop(
    model: str, preemption: str, first_traces: dict[tuple[str, str], bytes], tmp_path: Path
) -> None:
    trace = await traces.write(tmp_path / "trace", model=model, preemption=preemption, seed=3)
    again = await traces.write(tmp_path / "again", model=model, preemption=preemption, seed=3)
    assert again == trace
    assert first_traces.setdefault((model, preemption), trace) == trace
    assert len(traces.lines(trace)) > 1000


@pytest.mark.usefixtures("busy_host")
async def test_same_seed_same_trace_on_a_busy_host(
    model: str, preemption: str, first_traces: dict[tuple[str, str], bytes], tmp_path: Path
) -> None:
    trace = await traces.write(tmp_path / "trace", model=model, preemption=preemption, seed=3)
    assert first_traces.setdefault((model, preemption), trace) == trace


async def test_both_models_have_one_trace(preemption: str, tmp_path: Path) -> None:
    interrupt = await traces.write(tmp_path / "interrupt", model="interrupt", preemption=preemption)
    process = await traces.write(tmp_path / "process", model="process", preemption=preemption)
    assert interrupt != process
    assert traces.of_both_models(interrupt) == traces.of_both_models(process)


def check_line(line: dict[str, Any]) -> None:
    event = EVENTS[line["event"]]
    assert list(line)[:2] == ["time", "event"]
    fields = {"time", "event", "thread", *event.fields} | ({"model"} if event.model else set())
    assert set(line) == fields
    assert line.get("model", True) is True
    if "entry" in line:
        assert line["entry"] in BY_NAME
    if event is Event.TRAP:
        assert list(line["arguments"]) == [operand.name for operand in BY_NAME[line["entry"]].arguments]
    if event in {Event.FINISH, Event.COMPLETE}:
        assert line["status"] in list(Status)


async def test_lines_are_well_formed_and_in_order(model: str, preemption: str, tmp_path: Path) -> None:
    trace = await traces.write(tmp_path / "trace", model=model, preemption=preemption)
    assert trace.endswith(b"\n")
    lines = traces.lines(trace)
    for line in lines:
        check_line(line)
    times = [line["time"] for line in lines]
    assert times == sorted(times)
    assert {"spawn", "exit", "trap", "finish", "complete", "stage", "wait", "switch", "quantum"} <= {
        line["event"] for line in lines
    }


async def test_a_run_is_told_from_spawn_to_exit(make_kernel: MakeKernel, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    async with make_kernel(trace=path) as kernel:
        process = await kernel.spawn("hello")
        await process.wait()
        statistics = kernel.statistics()
    lines = traces.lines(path.read_bytes())
    (spawn,) = (line for line in lines if line["event"] == "spawn")
    assert (spawn["process"], spawn["program"]) == (1, "hello")
    (end,) = (line for line in lines if line["event"] == "exit")
    assert (end["process"], end["reason"], end["status"]) == (1, "exited", 0)
    kinds = [line["event"] for line in lines]
    assert kinds.count("trap") == statistics.system_calls
    assert kinds.count("wait") == statistics.waits
    assert kinds.count("complete") == statistics.completions
    assert kinds.count("request") == statistics.device_requests
    assert kinds.count("switch") == statistics.switches
    assert kinds.count("create") == kinds.count("destroy")


async def test_input_from_outside_is_in_the_trace(make_kernel: MakeKernel, tmp_path: Path) -> None:
    path = tmp_path / "trace"
    feed = Feed()
    feed.give(b"one\n")
    feed.end()
    async with make_kernel(trace=path) as kernel:
        await (await kernel.spawn("echo", stdin=feed)).wait()
    inputs = [line for line in traces.lines(path.read_bytes()) if line["event"] == "input"]
    assert [line["source"] for line in inputs] == ["console", "console"]


async def test_a_logger_takes_the_trace_instead_of_a_file(make_kernel: MakeKernel, tmp_path: Path) -> None:
    class Logger:
        def __init__(self) -> None:
            self.lines: list[dict[str, Any]] = []

        def info(self, event: str, **fields: Any) -> None:
            self.lines.append({"time": fields.pop("time"), "event": event, **fields})

    logger = Logger()
    for options in ({"logger": logger}, {"trace": tmp_path / "trace"}):
        async with make_kernel(**options) as kernel:
            await (await kernel.spawn("hello")).wait()
    assert logger.lines == traces.lines((tmp_path / "trace").read_bytes())
    with pytest.raises(fluke.FlukeError, match="choose one"):
        async with make_kernel(trace=tmp_path / "both", logger=logger):
            pass


async def test_only_one_model_restarts_and_only_one_resumes(preemption: str) -> None:
    counts = {}
    for model in ("interrupt", "process"):
        async with fluke.Kernel(model=model, preemption=preemption) as kernel:
            await (await kernel.spawn("primes", args=["300", "3"])).wait()
            counts[model] = kernel.statistics()
    assert counts["interrupt"].resumes == counts["process"].restarts == 0
    assert counts["interrupt"].restarts == counts["process"].resumes
    assert counts["process"].stacks_dropped == 0
    names = ("time_ns", "system_calls", "switches", "waits", "completions", "soft_faults", "device_requests")
    for name in names:
        assert getattr(counts["interrupt"], name) == getattr(counts["process"], name)
