"""Wrong usage of any kind: exit status 2, nothing on standard output, one line with the remedy."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fluke_async import cli
from tests.cli.conftest import Fluke

WRONG = [
    ("", "fluke --help"),
    ("nosuch", "Available commands"),
    ("--nosuch", "fluke --help"),
    ("run", "PROGRAM"),
    ("run nosuch", "hello"),
    ("run ./nosuch.elf", "give the path of an RV64 ELF file"),
    ("run --nosuch hello", "fluke run --help"),
    ("run --modle process hello", "--model"),
    ("run --model thread hello", '"interrupt", "process"'),
    ("run --model", "fluke run --help"),
    ("run --preemption some hello", '"none", "partial", "full"'),
    ("run --preemption full hello", 'model "process"'),
    ("verify --preemption full --model interrupt hello", "--model process"),
    ("run --cpus 0 hello", "cpus=1"),
    ("verify --cpus 0 hello", "1 or more"),
    ("verify --seed -1 hello", "0 or more"),
    ("verify --all hello", "give one of them"),
    ("verify --point 1 --instant 1 hello", "give one of them"),
    ("verify --point 1 --all-points-at-once hello", "give one of them"),
    ("run --cpus many hello", "int"),
    ("run --memory lots hello", '"64M"'),
    ("run --memory 1K hello", "between"),
    ("run --clock wrong hello", '"virtual", "real"'),
    ("run --seed x hello", "int"),
    ("run --seed -1 hello", "seed=0"),
    ("run --budget 0 hello", "1 or more"),
    ("run --budget x hello", "int"),
    ("run --trace nosuch/trace hello", "give a file"),
    ("list more", "fluke list --help"),
    ("cc -o out", "give one or more C files"),
    ("cc source.c", "-o"),
    ("cc nosuch.c -o out", "give a file to read"),
    ("trace", "fluke trace --help"),
    ("trace nosuch", "summary, show"),
    ("trace summary", "FILE"),
    ("trace summary nosuch", "give a file to read"),
    ("trace show nosuch", "give a file to read"),
    ("trace show . --thread x", "int"),
    ("trace show . --limit 0", "1 or more"),
    ("trace show . --event nosuch", "switch"),
    ("image", "fluke image --help"),
    ("image nosuch", "show"),
    ("image show", "give one or more files"),
    ("image verify nosuch", "give a file to read"),
    ("image diff nosuch", "SECOND"),
    ("image verify nosuch --memory lots", "give a file to read"),
    ("demo more", "fluke demo --help"),
]


@pytest.mark.parametrize(("arguments", "remedy"), WRONG)
def test_wrong_usage(
    fluke: Fluke, arguments: str, remedy: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    finished = fluke(*arguments.split())
    assert finished.status == 2
    assert finished.output == ""
    assert finished.errors.startswith("fluke: ")
    assert finished.errors.count("\n") == 1
    assert remedy in finished.errors
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["", "run", "list", "cc", "demo", "trace", "trace show", "image", "image diff"])
def test_help_is_no_mistake(fluke: Fluke, command: str) -> None:
    finished = fluke(*command.split(), "--help")
    assert finished.status == 0
    assert finished.output.startswith(f"Usage: fluke {command}".rstrip())
    assert finished.errors == ""


@pytest.mark.parametrize("missing", ["cyclopts", "orjson", "rich"])
def test_a_missing_extra_is_named(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(cli, "find_spec", lambda name: None if name == missing else name)
    assert cli.main() == 2
    errors = capsys.readouterr().err
    assert missing in errors
    assert "pip install " in errors
    assert errors.count("\n") == 1


def test_what_is_slow_to_import_is_imported_late() -> None:
    """The start of every program would wait for it."""
    slow = {"cyclopts", "orjson", "rich", "structlog", "unicorn", "uvloop"}
    script = f"import sys, fluke_async; print(sorted({slow!r} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
