"""`fluke bench`: the table of system calls."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fluke_async.abi.entry_point import Class
from fluke_async.abi.entry_points import BY_NAME, ENTRY_POINTS
from fluke_async.bench import syscalls
from tests.cli.conftest import Fluke


@pytest.fixture
def table(fluke: Fluke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, dict[str, object]]:
    """What the command prints, and what it writes; from one run."""
    once = syscalls.time_calls
    monkeypatch.setattr(syscalls, "time_calls", lambda: once(1))
    finished = fluke("bench", "syscalls", "--json", tmp_path / "table")
    assert (finished.status, finished.errors) == (0, "")
    return finished.output, json.loads((tmp_path / "table").read_bytes())


def test_every_call_is_counted_once_in_its_class(table: tuple[str, dict[str, object]]) -> None:
    output, written = table
    rows, entries = written["rows"], written["entry_points"]
    assert isinstance(rows, list)
    assert isinstance(entries, list)
    assert [row["class"] for row in rows] == [each.value for each in Class]
    assert sum(row["count"] for row in rows) == len(entries) == len(ENTRY_POINTS)
    assert sum(row["percent"] for row in rows) == pytest.approx(100, abs=0.3)
    for row in rows:
        assert row["count"] == sum(entry["class"] == row["class"] for entry in entries)
        assert 0 < row["us_min"] <= row["us"] <= row["us_max"]
        assert row["class"] in output
    for entry in entries:
        assert tuple(entry["restarts_as"]) == BY_NAME[entry["name"]].restarts_as


def test_what_is_recalled_is_called_so(table: tuple[str, dict[str, object]]) -> None:
    output, written = table
    rows = written["rows"]
    assert isinstance(rows, list)
    assert [row["recalled_count"] for row in rows] == [8, 68, 8, 23]
    assert "recalled" in output


def test_a_table_that_cannot_be_written_is_refused_before_it_is_measured(fluke: Fluke, tmp_path: Path) -> None:
    finished = fluke("bench", "syscalls", "--json", tmp_path / "nowhere" / "table")
    assert finished.status == 2
    assert "--json" in finished.errors
