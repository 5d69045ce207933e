"""`fluke run --control`, and `fluke ps`, `suspend` and `resume` beside it: a run seen and held from another process."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from fluke_async.cli import control_client
from fluke_async.cli.ps import HEADER, table, thread_row
from tests.cli.conftest import Fluke
from tests.cli.echo import echo_running

COMMAND = [sys.executable, "-m", "fluke_async"]
LOOPS = pytest.mark.parametrize("loop_option", ["--uvloop", "--no-uvloop"])
ATTEMPTS = 200  # of a command, for something that comes soon

Running = Callable[[str], AbstractContextManager[subprocess.Popen[bytes]]]


@pytest.fixture
def path() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "s"


def look(fluke: Fluke, path: Path) -> Any:
    finished = fluke("ps", path, "--json")
    assert (finished.status, finished.errors) == (0, "")
    return json.loads(finished.output)


def only_process(fluke: Fluke, path: Path) -> Any:
    (process,) = look(fluke, path)["processes"]
    return process


def until(fluke: Fluke, path: Path, condition: str) -> None:
    """Look until the only thread is in that condition."""
    for _ in range(ATTEMPTS):
        (thread,) = only_process(fluke, path)["threads"]
        if thread["condition"] == condition:
            return
    raise AssertionError(f"the thread is {thread['condition']} all the time, not {condition}")


@LOOPS
def test_a_run_is_seen_and_held_from_outside(fluke: Fluke, path: Path, loop_option: str) -> None:
    with echo_running("--control", str(path), loop_option) as run:
        until(fluke, path, "waiting")
        process = only_process(fluke, path)
        (thread,) = process["threads"]
        assert (process["number"], process["name"], process["state"]) == (1, "echo", "running")
        assert thread["call"] == "ipc_call"
        assert thread["waiting_for"].endswith("(console)")

        finished = fluke("suspend", path)
        assert (finished.status, finished.output, finished.errors) == (0, "process 1, echo: suspended\n", "")
        assert run.stdin is not None
        run.stdin.write(b"second\n")
        run.stdin.flush()
        until(fluke, path, "suspended")  # the line has come, and the program stands still
        assert fluke("resume", path, 1).output == "process 1, echo: running\n"
        assert run.stdout is not None
        assert run.stdout.readline() == b"second\n"
        output, errors = run.communicate()
        assert (run.returncode, output, errors) == (0, b"", b"")
    assert not path.exists()


def test_the_table_is_for_people(fluke: Fluke, path: Path) -> None:
    with echo_running("--control", str(path)):
        until(fluke, path, "waiting")
        (thread,) = only_process(fluke, path)["threads"]
        heading, titles, row = fluke("ps", path).output.splitlines()
    assert heading == "process 1, echo: running, 1 thread"
    assert titles.split() == " ".join(HEADER).split()
    assert row.split() == [
        str(thread["hash"]),
        "waiting",
        str(thread["priority"]),
        "ipc_call",
        *thread["waiting_for"].split(),
        "0",
        hex(thread["pc"]),
    ]


def test_the_statistics_are_in_the_json(fluke: Fluke, path: Path) -> None:
    with echo_running("--control", str(path), "--model", "process"):
        until(fluke, path, "waiting")
        reply = look(fluke, path)
    assert reply.keys() == {"processes", "statistics"}
    assert reply["statistics"]["system_calls"] > 0


@LOOPS
def test_the_socket_is_gone_after_an_interrupt_from_the_keyboard(path: Path, loop_option: str) -> None:
    with echo_running("--control", str(path), loop_option) as run:
        assert path.is_socket()
        run.send_signal(signal.SIGINT)
        assert run.wait() == 130
        assert run.stderr is not None
        assert run.stderr.read() == b""
    assert not path.exists()


def test_a_second_run_does_not_take_the_socket(fluke: Fluke, path: Path) -> None:
    with echo_running("--control", str(path)):
        finished = fluke("run", "--control", path, "hello")
        assert (finished.status, finished.output) == (2, "")
        assert "another program answers there" in finished.errors
        assert finished.errors.count("\n") == 1
        assert only_process(fluke, path)["name"] == "echo"


def test_a_run_takes_the_place_of_one_that_was_killed(fluke: Fluke, path: Path) -> None:
    with echo_running("--control", str(path)) as run:
        run.kill()
        run.wait()
    assert path.is_socket()
    finished = fluke("ps", path)
    assert finished.status == 1
    assert "Connection refused" in finished.errors
    assert fluke("run", "--control", path, "hello").output == "Hello, world!\n"
    assert not path.exists()


@pytest.mark.parametrize("command", ["ps", "ps --json", "suspend", "resume"])
def test_nobody_listens(fluke: Fluke, path: Path, command: str) -> None:
    name, *options = command.split()
    path.touch()
    for wrong in (path, path.parent / "nosuch", path.parent / ("s" * 120)):
        finished = fluke(name, wrong, *options)
        assert (finished.status, finished.output) == (1, "")
        assert finished.errors.startswith("fluke: nobody answers at ")
        assert "fluke run --control SOCKET" in finished.errors
        assert finished.errors.count("\n") == 1


def test_a_refusal_is_passed_on(fluke: Fluke, path: Path) -> None:
    with echo_running("--control", str(path)):
        finished = fluke("suspend", path, 7)
    assert (finished.status, finished.output) == (1, "")
    assert finished.errors == f"fluke: {path} refuses: there is no process 7: give one of 1\n"


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """A server that gives one client an answer, without listening, or listens and hangs up."""

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            if answer:
                connection.sendall(answer)
            else:
                connection.recv(1000)

    with socket.socket(socket.AF_UNIX) as listener:
        listener.settimeout(10)
        listener.bind(str(path))
        listener.listen()
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield
        thread.join()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "it hung up"),
        (b"HTTP/1.1 400 Bad Request\r\n", "no kernel answers"),
        (b"[]\n", "no kernel answers"),
        (b'{"ok": false, "error": "16 clients are connected already"}\n', "refuses: 16 clients"),
    ],
)
def test_strange_answers(fluke: Fluke, path: Path, answer: bytes, message: str) -> None:
    with answering(path, answer):
        finished = fluke("ps", path)
    assert (finished.status, finished.output) == (1, "")
    assert message in finished.errors
    assert finished.errors.count("\n") == 1


def test_no_answer(fluke: Fluke, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_client, "ANSWER_S", 0.01)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        finished = fluke("ps", path)
    assert (finished.status, finished.output) == (1, "")
    assert "no answer" in finished.errors


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("ps", "fluke ps --help"),
        ("ps one two", "fluke ps --help"),
        ("suspend", "fluke suspend --help"),
        ("suspend socket first", "int"),
        ("resume", "fluke resume --help"),
        ("run --control", "fluke run --help"),
        ("run --control nosuch/socket hello", "give a short path"),
        ("run --control . hello", "no socket"),
    ],
)
def test_wrong_usage(fluke: Fluke, arguments: str, remedy: str) -> None:
    finished = fluke(*arguments.split())
    assert (finished.status, finished.output) == (2, "")
    assert finished.errors.startswith("fluke: ")
    assert finished.errors.count("\n") == 1
    assert remedy in finished.errors


def test_a_lent_priority_and_an_exception_are_shown() -> None:
    thread: dict[str, Any] = {
        "hash": 12,
        "condition": "exception",
        "priority": 16,
        "effective_priority": 20,
        "call": None,
        "waiting_for": None,
        "restarts": 3,
        "pc": 0x10000,
        "exception": "thread 12 at pc 0x10000: load fault",
    }
    row = thread_row(thread)
    assert row[:7] == ["12", "exception", "16, lent 20", "-", "-", "3", "0x10000"]
    lines = list(table(HEADER, [row]))
    assert lines[1].endswith(thread["exception"])
    assert lines[0].index("restarts") + len("restarts") == lines[1].index(" 3 ") + 2
