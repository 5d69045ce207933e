"""`fluke run --checkpoint-every`, `fluke restore` and `fluke checkpoint`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest

from fluke_async import Kernel
from fluke_async.cli.image_keeper import ImageKeeper
from fluke_async.cli.options import Period, period_of
from fluke_async.cli.printed_output import PrintedOutput
from fluke_async.embedding.output import OutputStream
from fluke_async.errors import ImageError
from fluke_async.image.image import Image
from tests.cli.conftest import Fluke
from tests.cli.echo import echo_running
from tests.cli.kills import COURSES, Course, campaign

COMMAND = [sys.executable, "-m", "fluke_async"]
PRIMES = ("primes", "3000", "3")


@pytest.fixture
def path() -> Iterator[Path]:
    """A path that is short enough for a socket."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "s"


def written(path: Path) -> int:
    """How much output an image says that there had been."""
    count: int = Image.load(path).manifest.devices["console"].state["written"]
    return count


@pytest.mark.parametrize("every", ["10000", "1ms"])
def test_a_run_prints_what_one_without_images_does(fluke: Fluke, tmp_path: Path, every: str) -> None:
    image = tmp_path / "image"
    plain = fluke("run", "clock", "60", "5")
    kept = fluke("run", "--checkpoint-every", every, "--image", image, "clock", "60", "5")
    assert kept == plain
    assert [each.name for each in tmp_path.iterdir()] == ["image"]
    count = written(image)
    rest = subprocess.run([*COMMAND, "restore", image], input=b"", stdout=subprocess.PIPE, check=True)
    assert plain.output[:count] + rest.stdout.decode() == plain.output


def test_images_by_instructions_are_at_exact_counts(fluke: Fluke, tmp_path: Path) -> None:
    images = [tmp_path / name for name in ("first", "second")]
    for image in images:
        assert fluke("run", "--budget", 70_000, "--checkpoint-every", 40_000, "--image", image, *PRIMES).status == 1
    first, second = map(Image.load, images)
    assert first == second
    assert first.manifest.budget == 0  # of the moment at which the budget has stopped it


def test_who_was_stopped_by_a_budget_goes_on_with_more(fluke: Fluke, tmp_path: Path) -> None:
    image = tmp_path / "image"
    options = ("--checkpoint-every", "1000000", "--image", image)
    stopped = fluke("run", "--budget", 50_000, *options, *PRIMES)
    assert stopped.errors.endswith("the budget of instructions is used up\n")
    again = fluke("restore", image)
    assert (again.status, again.output) == (1, "")
    steps = 0
    while (finished := fluke("restore", "--budget", 15_000, *options, image)).status:
        steps += 1
    assert steps > 1
    assert finished.output == fluke("run", *PRIMES).output


def test_output_comes_before_the_image_and_writes_one_by_one(
    fluke: Fluke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, under_way, seen = Image.save, threading.Lock(), []
    start = os.fstat(1).st_size

    def look_and_save(image: Image, place: Path) -> None:
        assert under_way.acquire(blocking=False)
        assert threading.current_thread() is not threading.main_thread()
        printed = os.fstat(1).st_size - start
        seen.append((image.manifest.devices["console"].state["written"], printed))
        save(image, place)
        under_way.release()

    monkeypatch.setattr(Image, "save", look_and_save)
    fluke("run", "--checkpoint-every", "1000", "--image", tmp_path / "image", "clock", "600", "5")
    assert all(count <= printed for count, printed in seen)
    assert len({count for count, _ in seen}) > 3
    assert not under_way.locked()


def test_an_image_that_cannot_be_written_is_told_once_and_tried_again(
    fluke: Fluke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts, save = [], Image.save

    def fail_at_first(image: Image, place: Path) -> None:
        attempts.append(image)
        if len(attempts) <= 3:
            raise ImageError("cannot write that (No space left on device)")
        save(image, place)

    monkeypatch.setattr(Image, "save", fail_at_first)
    finished = fluke("run", "--checkpoint-every", "5000", "--image", tmp_path / "image", "clock", "60", "5")
    assert finished.status == 0
    assert finished.errors.count("\n") == finished.errors.count("No space left") == 1
    assert Image.load(tmp_path / "image") == attempts[-1]


def test_input_is_what_the_image_has_and_then_what_is_given(fluke: Fluke, tmp_path: Path) -> None:
    image = tmp_path / "image"
    options = ("--budget", "9000", "--checkpoint-every", "1000000", "--image", str(image))
    lines = b"".join(b"line %d\n" % number for number in range(50))
    first = subprocess.run([*COMMAND, "run", *options, "echo"], input=lines, capture_output=True, check=False)
    assert 0 < len(first.stdout) < len(lines)
    rest = subprocess.run(
        [*COMMAND, "restore", "--budget", "100000000", image], input=b"more\n", capture_output=True, check=True
    )
    assert first.stdout + rest.stdout == lines + b"more\n"


def test_a_restored_run_has_the_options_of_a_run(fluke: Fluke, tmp_path: Path) -> None:
    image, trace = tmp_path / "image", tmp_path / "trace"
    fluke("run", "--budget", 50_000, "--checkpoint-every", "1000000", "--image", image, *PRIMES)
    finished = fluke(
        "restore", image, "--budget", 10**8, "--json", "--model", "process", "--preemption", "full", "--trace", trace
    )
    outcome: dict[str, Any] = json.loads(finished.output)
    assert (finished.status, outcome["reason"], finished.errors) == (0, "exited", "")
    assert outcome["output"] == fluke("run", *PRIMES).output
    assert fluke("trace", "summary", trace).status == 0
    finished = fluke("restore", "--budget", 10**8, "--stats", image)
    assert "system calls" in finished.errors


@pytest.mark.parametrize(
    ("arguments", "remedy"),
    [
        ("run --image image hello", "give --checkpoint-every"),
        ("run --checkpoint-every 1000 hello", "give it with --image FILE"),
        ("run --checkpoint-every 0 --image image hello", "a number from 1 up"),
        ("run --checkpoint-every 0ms --image image hello", "a number from 1 up"),
        ("run --checkpoint-every -5 --image image hello", "a number from 1 up"),
        ("run --checkpoint-every 1m --image image hello", "a number from 1 up"),
        ("run --checkpoint-every 1.5s --image image hello", "a number from 1 up"),
        ("run --checkpoint-every 1000 --image . hello", "give a file"),
        ("run --checkpoint-every 1000 --image nosuch/image hello", "give a file"),
        ("restore", "fluke restore --help"),
        ("restore nosuch", "give a file to read"),
        ("restore --image image nosuch", "give --checkpoint-every"),
        ("checkpoint socket", "fluke checkpoint --help"),
        ("checkpoint socket image --process first", "int"),
    ],
)
def test_wrong_usage(fluke: Fluke, arguments: str, remedy: str) -> None:
    finished = fluke(*arguments.split())
    assert (finished.status, finished.output) == (2, "")
    assert finished.errors.startswith("fluke: ")
    assert finished.errors.count("\n") == 1
    assert remedy in finished.errors
    assert not Path("image").exists()


def test_periods() -> None:
    assert period_of("1000") == Period(instructions=1000)
    assert period_of("250ms") == Period(seconds=0.25)
    assert period_of("2s") == Period(seconds=2)


def test_what_cannot_be_restored(fluke: Fluke, tmp_path: Path) -> None:
    image = tmp_path / "image"
    fluke("run", "--budget", 50_000, "--checkpoint-every", "1000000", "--image", image, *PRIMES)
    whole = image.read_bytes()
    for damaged in (b"", b"no image\n", whole[:-1], whole[:200] + b"?" + whole[201:]):
        image.write_bytes(damaged)
        finished = fluke("restore", image)
        assert (finished.status, finished.output) == (1, "")
        assert finished.errors.startswith(f"fluke: {image}: ")
        assert finished.errors.count("\n") == 1


async def test_how_far_output_has_come_is_known(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    output, stream = PrintedOutput(100, collect=False), OutputStream()
    reached: list[int] = []

    async def wait_for(count: int) -> None:
        await output.reach(count)
        reached.append(count)

    async with anyio.create_task_group() as tasks:
        for count in (100, 102, 103):
            tasks.start_soon(wait_for, count)
        tasks.start_soon(output.pass_on, stream)
        await anyio.wait_all_tasks_blocked()
        assert reached == [100]
        stream.write(b"ab")
        await anyio.wait_all_tasks_blocked()
        assert (sorted(reached), capfdbinary.readouterr().out) == ([100, 102], b"ab")
        stream.write(b"c")
        stream.end()
    assert sorted(reached) == [100, 102, 103]


async def test_an_image_waits_for_the_output_that_it_counts(tmp_path: Path) -> None:
    saved: list[Path] = []
    console = SimpleNamespace(state={"written": 3})
    image = SimpleNamespace(manifest=SimpleNamespace(devices={"console": console}), save=saved.append)

    async def checkpoints(_: int) -> AsyncIterator[Any]:
        yield image

    process: Any = SimpleNamespace(checkpoints=checkpoints, has_ended=True, state="exited")
    output, stream = PrintedOutput(0, collect=True), OutputStream()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(output.pass_on, stream)
        tasks.start_soon(ImageKeeper(tmp_path / "image", Period(instructions=1), output).run, process)
        stream.write(b"ab")
        await anyio.wait_all_tasks_blocked()
        assert saved == []
        stream.write(b"c")
        stream.end()
    assert saved == [tmp_path / "image"]


async def test_a_service_that_is_not_there(tmp_path: Path) -> None:
    async with Kernel() as kernel, kernel.host_thread() as me:
        process = await kernel.spawn("clock", services={"friend": await me.port()})
        (await process.checkpoint()).save(tmp_path / "image")
        await process.kill()
    finished = await anyio.run_process([*COMMAND, "restore", str(tmp_path / "image")], check=False)
    assert (finished.returncode, finished.stdout) == (1, b"")
    assert b"friend" in finished.stderr
    assert finished.stderr.count(b"\n") == 1


def test_an_image_is_made_from_outside(fluke: Fluke, tmp_path: Path, path: Path) -> None:
    images = [tmp_path / name for name in ("first", "second")]
    with echo_running("--control", str(path)) as run:
        finished = fluke("checkpoint", path, images[0])
        identity = Image.load(images[0]).identity
        assert finished.output == f"process 1, echo: image {identity}, output up to byte 6\n"
        assert (finished.status, finished.errors) == (0, "")
        waiting = [subprocess.Popen([*COMMAND, "checkpoint", path, images[1], "--process", "1"]) for _ in range(3)]
        assert [each.wait() for each in waiting] == [0, 0, 0]
        for arguments, reason in (
            ((tmp_path / "nosuch" / "image",), "cannot write"),
            ((tmp_path,), "no file"),
            ((images[1], "--process", "7"), "there is no process 7"),
        ):
            finished = fluke("checkpoint", path, *arguments)
            assert (finished.status, finished.output) == (1, "")
            assert reason in finished.errors
            assert finished.errors.count("\n") == 1
        assert run.communicate(b"second\n") == (b"second\n", b"")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["first", "second"]
    for image in images:
        restored = subprocess.run([*COMMAND, "restore", image], input=b"other\n", capture_output=True, check=True)
        assert restored.stdout == b"other\n"


def test_nobody_listens(fluke: Fluke, path: Path) -> None:
    finished = fluke("checkpoint", path, "image")
    assert (finished.status, finished.output) == (1, "")
    assert finished.errors.startswith("fluke: nobody answers at ")


@pytest.mark.timeout(300)
def test_runs_that_are_killed_go_on_from_their_images() -> None:
    figures = campaign((COURSES[5], Course("primes", ("60000", "3"))), 4, seed=7, workers=1)
    assert figures.kills == 4
