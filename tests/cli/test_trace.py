"""`fluke trace` over a small trace written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fluke_async.cli.trace import sum_up
from tests.cli.conftest import Fluke

EVENTS: list[dict[str, Any]] = [
    {"time": 0, "event": "spawn", "thread": 10, "process": 1, "program": "sample"},
    {"time": 0, "event": "switch", "thread": 10},
    {"time": 3, "event": "fault", "thread": 10, "page": 65536, "access": 2},
    {
        "time": 100,
        "event": "trap",
        "thread": 10,
        "entry": "mutex_lock",
        "pc": 4096,
        "arguments": {"mutex": 8192},
    },
    {"time": 160, "event": "finish", "thread": 10, "entry": "mutex_lock", "status": 0},
    {"time": 200, "event": "switch", "thread": 11},
    {
        "time": 300,
        "event": "trap",
        "thread": 11,
        "entry": "mutex_lock",
        "pc": 4096,
        "arguments": {"mutex": 8192},
    },
    {
        "time": 300,
        "event": "wait",
        "thread": 11,
        "entry": "mutex_lock",
        "on": "MUTEX",
        "object": 5,
        "order": 7,
    },
    {
        "time": 300,
        "event": "continuation_saved",
        "thread": 11,
        "entry": "mutex_lock",
        "model": True,
    },
    {"time": 310, "event": "switch", "thread": 10},
    {
        "time": 400,
        "event": "trap",
        "thread": 10,
        "entry": "mutex_unlock",
        "pc": 4104,
        "arguments": {"mutex": 8192},
    },
    {"time": 440, "event": "complete", "thread": 11, "entry": "mutex_lock", "status": 0},
    {"time": 500, "event": "finish", "thread": 10, "entry": "mutex_unlock", "status": 0},
    {"time": 510, "event": "request", "thread": 10, "port": 3, "words": [1, 0, 16]},
    {
        "time": 600,
        "event": "trap",
        "thread": 10,
        "entry": "thread_self",
        "pc": 4112,
        "arguments": {},
    },
]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """The sample as a file."""
    return write(tmp_path / "trace.jsonl", EVENTS)


def write(path: Path, events: list[Any]) -> Path:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def test_calls_are_counted_from_trap_to_end() -> None:
    calls = sum_up(EVENTS).calls
    locks = calls["mutex_lock"]
    assert (locks.count, locks.ended, locks.mean_time) == (2, 2, 100)  # 60 and 140
    assert (calls["mutex_unlock"].count, calls["mutex_unlock"].mean_time) == (1, 100)
    assert (calls["thread_self"].count, calls["thread_self"].mean_time) == (1, "-")


def test_summary(fluke: Fluke, trace: Path) -> None:
    finished = fluke("trace", "summary", trace)
    assert finished.status == 0
    lines = [line.split() for line in finished.output.splitlines()]
    assert "15 events in 600 ns" in finished.output
    assert "3 switches" in finished.output
    assert ["trap", "4"] in lines
    assert ["continuation_saved", "1"] in lines
    assert ["mutex_lock", "2", "2", "100"] in lines
    assert ["thread_self", "1", "0", "-"] in lines


def test_show_names_arguments_and_numbers(fluke: Fluke, trace: Path) -> None:
    lines = fluke("trace", "show", trace).output.splitlines()
    assert len(lines) == len(EVENTS)
    assert lines[2].split() == ["3", "thread", "10", "fault", "page=0x10000", "access=write"]
    assert lines[3].split() == ["100", "thread", "10", "trap", "mutex_lock(mutex=0x2000)", "pc=0x1000"]
    assert lines[4].split() == ["160", "thread", "10", "finish", "mutex_lock", "status=success"]
    assert lines[8].endswith("mutex_lock (this model only)")
    assert lines[13].endswith("port=3 words=[0x1 0x0 0x10]")


def test_show_is_aligned(fluke: Fluke, trace: Path) -> None:
    lines = fluke("trace", "show", trace).output.splitlines()
    assert {line.index(event["event"]) for line, event in zip(lines, EVENTS, strict=True)} == {26}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--thread", 11], 5),
        (["--event", "switch"], 3),
        (["--thread", 10, "--event", "trap"], 3),
        (["--limit", 2], 2),
        (["--thread", 11, "--limit", 4], 4),
        (["--thread", 99], 0),
    ],
)
def test_show_some(fluke: Fluke, trace: Path, options: list[object], expected: int) -> None:
    finished = fluke("trace", "show", trace, *options)
    assert finished.status == 0
    assert len(finished.output.splitlines()) == expected


@pytest.mark.parametrize("command", ["summary", "show"])
@pytest.mark.parametrize(
    "line",
    [
        b"\x7fELF\x02\x01\x01\n",
        b"{}\n",
        b"[1, 2]\n",
        b'{"time":1,"event":"switch"}\n',
        b'{"time":"1","event":"switch","thread":1}\n',
        b'{"time":1,"event":"trap","thread":1,"entry":5}\n',
        b'{"time":1,"event":"trap","thread":1,"entry":"x","arguments":{"a":"b"}}\n',
        b'{"time":1,"event":"request","thread":1,"words":["a"]}\n',
        b'{"time":1,"event":"switch","thre',
    ],
)
def test_damaged_line(fluke: Fluke, trace: Path, command: str, line: bytes) -> None:
    with trace.open("ab") as file:
        file.write(line)
    finished = fluke("trace", command, trace)
    assert finished.status == 1
    assert finished.errors.count("\n") == 1
    assert f"line {len(EVENTS) + 1}" in finished.errors


def test_empty_file(fluke: Fluke, tmp_path: Path) -> None:
    finished = fluke("trace", "summary", write(tmp_path / "empty", []))
    assert finished.status == 1
    assert "fluke run --trace" in finished.errors


def test_numbers_of_newer_versions_are_shown_as_they_are(fluke: Fluke, tmp_path: Path) -> None:
    events = [
        {"time": 1, "event": "finish", "thread": 1, "entry": "future_call", "status": 4711},
        {"time": 2, "event": "later", "thread": 0, "depth": 3},
    ]
    finished = fluke("trace", "show", write(tmp_path / "future", events))
    assert finished.status == 0
    assert "future_call status=4711" in finished.output
    assert "depth=3" in finished.output


def test_a_trace_of_a_run(fluke: Fluke, tmp_path: Path, model: str) -> None:
    trace = tmp_path / "trace.jsonl"
    assert fluke("run", "--model", model, "--trace", trace, "hello").status == 0
    summary, shown = fluke("trace", "summary", trace), fluke("trace", "show", trace)
    assert (summary.status, shown.status) == (0, 0)
    assert "ipc_call" in summary.output
    assert "program=hello" in shown.output
