"""`fluke run`: output, exit status, input, and how a run can end."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fluke_async.cli.application import separate_program
from tests.cli.conftest import Fluke
from tests.cli.echo import echo_running

COMMAND = [sys.executable, "-m", "fluke_async"]


def test_output_and_status(fluke: Fluke, model: str, preemption: str) -> None:
    finished = fluke("run", "--model", model, "--preemption", preemption, "hello")
    assert (finished.status, finished.output, finished.errors) == (0, "Hello, world!\n", "")


@pytest.mark.parametrize("loop_option", ["--uvloop", "--no-uvloop"])
def test_on_either_event_loop(fluke: Fluke, loop_option: str) -> None:
    assert fluke("run", loop_option, "hello").output == "Hello, world!\n"


def test_arguments_after_the_program_are_its_own(fluke: Fluke) -> None:
    finished = fluke("run", "echo", "--model", "-x", "--", "word")
    assert (finished.status, finished.output) == (0, "--model -x -- word\n")


@pytest.mark.parametrize(
    ("given", "separated"),
    [
        ("hello", "-- hello"),
        ("hello --stats", "-- hello --stats"),
        ("--stats hello --stats", "--stats -- hello --stats"),
        ("--model process hello -- x", "--model process -- hello -- x"),
        ("--model=process hello", "--model=process -- hello"),
        ("-- --stats", "-- --stats"),
        ("--model", "--model --"),
        ("", "--"),
    ],
)
def test_the_program_is_found_among_the_options(given: str, separated: str) -> None:
    assert separate_program(given.split(), {"--model"}) == separated.split()


def test_the_status_is_the_program_s(fluke: Fluke) -> None:
    finished = fluke("run", "primes", "-1")
    assert finished.status == 2
    assert finished.output.startswith("usage: primes")
    assert finished.errors == ""


def test_a_path_is_a_program_too(fluke: Fluke) -> None:
    elf = Path(__file__).parents[2] / "userland" / "bin" / "hello.elf"
    assert fluke("run", elf).output == "Hello, world!\n"


def test_a_file_that_is_no_program(fluke: Fluke) -> None:
    finished = fluke("run", __file__)
    assert finished.status == 2
    assert "not an ELF file" in finished.errors


def test_budget(fluke: Fluke) -> None:
    finished = fluke("run", "--budget", 100000, "spin")
    assert finished.status == 1
    assert "budget" in finished.errors
    assert finished.errors.count("\n") == 1


def test_exception(fluke: Fluke) -> None:
    finished = fluke("run", "wild", "null-write")
    assert finished.status == 1
    assert "thread" in finished.errors
    assert "store fault" in finished.errors
    assert finished.errors.count("\n") == 1


def test_json(fluke: Fluke) -> None:
    finished = fluke("run", "--json", "--stats", "hello", "there")
    assert finished.errors == ""
    result = json.loads(finished.output)
    assert result["status"] == 0
    assert result["reason"] == "exited"
    assert result["output"] == "Hello, there!\n"
    assert result["statistics"]["system_calls"] > 0


def test_json_of_a_program_that_was_stopped(fluke: Fluke) -> None:
    finished = fluke("run", "--json", "--budget", 1000, "spin")
    result = json.loads(finished.output)
    assert (finished.status, result["status"], result["reason"]) == (1, 1, "budget")
    assert result["message"] in finished.errors


def test_statistics(fluke: Fluke) -> None:
    finished = fluke("run", "--stats", "hello")
    assert finished.output == "Hello, world!\n"
    assert "system calls" in finished.errors


def test_the_same_run_has_the_same_trace(fluke: Fluke, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for trace in (first, second):
        assert fluke("run", "--seed", 7, "--trace", trace, "primes", 500, 3).status == 0
    assert first.stat().st_size > 0
    assert first.read_bytes() == second.read_bytes()


def test_virtual_sleep_takes_no_time(fluke: Fluke) -> None:
    """A week passes for the program."""
    output = fluke("run", "clock", 1, 7 * 24 * 3600 * 1000).output
    before_us, after_us = map(int, re.findall(r"(\d+) us", output))
    assert after_us - before_us >= 7 * 24 * 3600 * 1_000_000


def test_input_from_a_file(tmp_path: Path) -> None:
    lines = tmp_path / "lines"
    lines.write_text("one\ntwo\n")
    with lines.open("rb") as file:
        done = subprocess.run([*COMMAND, "run", "echo"], stdin=file, capture_output=True, check=True)
    assert done.stdout == b"one\ntwo\n"


def test_without_standard_streams() -> None:
    script = 'exec "$0" -m fluke_async run echo <&- >&- 2>&-'
    assert subprocess.run(["/bin/sh", "-c", script, sys.executable], check=False).returncode == 0


LOOPS = pytest.mark.parametrize("loop_option", ["--uvloop", "--no-uvloop"])


@LOOPS
def test_input_and_output_are_streams(loop_option: str) -> None:
    with echo_running(loop_option) as process:
        output, errors = process.communicate(b"second\n")
        assert (process.returncode, output, errors) == (0, b"second\n", b"")


@LOOPS
def test_interrupted_from_the_keyboard(loop_option: str) -> None:
    with echo_running(loop_option) as process:
        process.send_signal(signal.SIGINT)
        assert process.wait() == 130
        assert process.stderr is not None
        assert process.stderr.read() == b""


@LOOPS
def test_nobody_reads_the_output(loop_option: str) -> None:
    with echo_running(loop_option) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        process.stdin.write(b"second\n")
        process.stdin.flush()
        assert process.wait() == 141
        assert process.stderr.read() == b""


def test_a_program_that_reads_nothing_does_not_wait_for_input() -> None:
    reading, writing = os.pipe()
    try:
        command = [*COMMAND, "run", "hello"]
        done = subprocess.run(command, stdin=reading, capture_output=True, check=True)
        assert done.stdout == b"Hello, world!\n"
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize("flag", ["--no-uvloop", "--stats", "--json"])
def test_options_without_a_value_may_stand_anywhere_before_the_program(fluke: Fluke, flag: str, tmp_path: Path) -> None:
    trace = str(tmp_path / "trace.jsonl")
    for options in ((flag, "--trace", trace), ("--trace", trace, flag)):
        finished = fluke("run", *options, "hello", "--stats")
        assert finished.status == 0
        assert "Hello, --stats!" in finished.output
