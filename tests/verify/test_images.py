"""Images of every program, in short: restored and going on, they are as the undisturbed run."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fluke_async.abi.codes import ThreadFlags
from fluke_async.image.image import Image
from fluke_async.kernel.objects.thread import Thread
from fluke_async.verify.programs import program
from fluke_async.verify_images.campaign import chosen_programs, summary
from fluke_async.verify_images.check import FAILURES_MAX, ImageTask, carry_out
from fluke_async.verify_images.moments import Moment, Sight, chosen, moments
from fluke_async.verify_images.rows import rows
from fluke_async.verify_images.stores import store_for
from fluke_async.verify_images.watched_run import Seen, difference
from tests.tidy import ROOT

SHORT = ("bounded_buffer", "checkpoint", "clock", "fairshare", "foreign", "hello", "manager", "pingpong", "rpc_server")


def verify(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "fluke_async", "verify", "--image", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.timeout(300)
def test_nothing_differs_at_some_moments_of_short_programs() -> None:
    result = verify(*SHORT, "--points", "2", "--json", "--model", "process", "--preemption", "full")
    found: dict[str, Any] = json.loads(result.stdout)
    assert result.returncode == 0, found["failures"]
    assert found["programs"].keys() == set(SHORT)
    assert found["divergences"] == 0
    assert found["images"] == found["restored"] > 4 * len(SHORT)
    assert found["went_on"] >= len(SHORT)
    assert found["in_a_row"] > len(SHORT)
    assert found["coverage"]["hit"] > 5
    assert found["coverage"]["rows"] == len(list(rows()))
    assert found["refused"] == []


def test_one_moment_can_be_taken_alone() -> None:
    result = verify("hello", "--instant", "1000", "--model", "interrupt", "--preemption", "none", "--json")
    found = json.loads(result.stdout)
    assert (result.returncode, found["images"], found["went_on"], found["in_a_row"]) == (0, 1, 1, 0)


def test_one_point_can_be_taken_alone() -> None:
    result = verify("pipeline", "--point", "100", "--model", "interrupt", "--preemption", "none", "--json")
    found = json.loads(result.stdout)
    assert (result.returncode, found["images"], found["went_on"], found["in_a_row"]) == (0, 1, 1, 0)


@pytest.mark.parametrize("number", [-1, 1_000_000])
def test_a_point_that_never_comes_has_no_image(number: int) -> None:
    result = carry_out(ImageTask(program("hello"), "interrupt", "none", 1, only=Moment(number, is_point=True)))
    assert (result.images, result.divergences) == (0, [])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bulk", {"ipc_call marked", "ipc_request_receive marked", "ipc_reply_wait_receive marked"}),
        ("rpc_server", {"cond_broadcast marked"}),
        ("pipeline", {"ipc_client_send marked", "client of a connection, sending, in a wait"}),
    ],
)
@pytest.mark.parametrize(("model", "preemption"), [("interrupt", "partial"), ("process", "full")])
def test_all_that_lasts_is_in_an_image_that_goes_on(name: str, expected: set[str], model: str, preemption: str) -> None:
    result = carry_out(ImageTask(program(name), model, preemption, 1))
    assert not result.divergences
    assert expected <= result.lasting == result.covered & result.lasting


def test_phases_together_see_every_row() -> None:
    results = [carry_out(ImageTask(program("pingpong"), "interrupt", "none", 1, phase, 2)) for phase in range(2)]
    assert not any(each.divergences for each in results)
    assert results[0].lasting <= results[0].covered | results[1].covered


def test_an_image_that_does_not_show_what_was_seen_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluke_async.verify_images.check.rows_in", lambda _: {"mutex_lock wait on mutex"})
    result = carry_out(ImageTask(program("pipeline"), "interrupt", "none", 1))
    assert result.divergences
    assert all("the image does not show" in failure.what for failure in result.divergences)


def test_what_lasts_longest_is_seen_in_its_middle() -> None:
    sights = [
        Sight(time, frozenset(rows)) for time, rows in ((1, "a"), (2, "a"), (3, ""), (4, "ab"), (9, "a"), (30, "a"))
    ]
    assert moments(sights) == {"a": 4, "b": 3}
    assert chosen(sights, {"a", "b", "c"}) == [3]
    assert chosen(sights, {"b"}) == [3]
    assert chosen(sights, {"a"}) == [4]
    assert chosen([], {"a"}) == []


@pytest.mark.parametrize("harts", [("--cpus", "2"), ("--cpus", "4", "--seed", "11")], ids=" ".join)
@pytest.mark.parametrize("configuration", [("interrupt", "none"), ("process", "full")], ids="-".join)
def test_several_harts_are_compared_by_what_comes_of_them(
    tmp_path: Path, configuration: tuple[str, str], harts: tuple[str, ...]
) -> None:
    names, page = ("bounded_buffer", "pipeline", "primes"), tmp_path / "page.md"
    model, preemption = configuration
    options = ("--points", "1", "--model", model, "--preemption", preemption, "--json", "--report", str(page))
    result = verify(*names, *harts, *options)
    found = json.loads(result.stdout)
    assert (result.returncode, found["refused"]) == (0, []), found["failures"]
    for name in names:
        (check,) = found["programs"][name]
        assert not check["exact"]
        assert check["images"] == check["restored"] > check["went_on"] > 0
    assert any("harts" in reason for reason in found["not_carried"])
    assert f"with {' '.join(harts)}" in page.read_text("utf-8")


@pytest.mark.parametrize("harts", [(2, 0), (4, 11)])
def test_a_difference_on_several_harts_is_told_with_the_command_that_shows_it(
    monkeypatch: pytest.MonkeyPatch, harts: tuple[int, int]
) -> None:
    monkeypatch.setattr("fluke_async.verify_images.check.difference", lambda *_, **__: "it differs")
    cpus, seed = harts
    (chosen_program,) = chosen_programs(("primes",), cpus, seed)
    result = carry_out(ImageTask(chosen_program, "process", "none", 1))
    (first, *_) = summary([result])["failures"]
    command = "fluke verify --image primes --model process --preemption none --cpus"
    assert f"{command} {cpus}{f' --seed {seed}' if seed else ''} --instant " in first


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--point", "3", "--instant", "3"], "--point and --instant exclude each other"),
        (["--points", "all"], "--image and --points all exclude each other"),
        (["--all", "hello"], "--all and hello exclude each other"),
        (["no-such-program"], "no-such-program"),
        (["--seed", "7"], "--image --seed 7 draws the turns of several harts; give --cpus 2, or more"),
        (["--cpus", "17"], "--cpus 17 is too many; give 16 or fewer"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: list[str], complaint: str) -> None:
    result = verify(*arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert complaint in result.stderr


def test_a_lost_register_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    export_bits = Thread.export_bits

    def without_a_register(self: Thread) -> Any:
        bits = dict(export_bits(self))
        registers = bits["x"]
        assert isinstance(registers, tuple)
        return bits | {"x": (*registers[:9], 0, *registers[10:])}  # s1

    monkeypatch.setattr(Thread, "export_bits", without_a_register)
    assert carry_out(ImageTask(program("primes"), "interrupt", "none", 4)).divergences


def test_a_call_that_is_not_gone_on_with_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    export_bits = Thread.export_bits

    def without_its_call(self: Thread) -> Any:
        bits = dict(export_bits(self))
        flags = bits["flags"]
        assert isinstance(flags, int)
        return bits | {"flags": flags & ~int(ThreadFlags.IN_CALL)}

    monkeypatch.setattr(Thread, "export_bits", without_its_call)
    result = carry_out(ImageTask(program("bulk"), "interrupt", "none", 1))
    assert any("the image does not show ipc_call marked" in failure.what for failure in result.divergences)


def test_a_lost_page_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = Image.pages
    monkeypatch.setattr(Image, "pages", lambda self: iter(list(pages(self))[:-3]))
    result = carry_out(ImageTask(program("primes"), "interrupt", "none", 4))
    assert 0 < len(result.divergences) <= FAILURES_MAX + 1
    assert all("restored" in failure.form for failure in result.divergences)


@pytest.mark.parametrize(
    ("changed", "what"),
    [
        ({"output": b"two\nthree\n"}, "output: line 0 is b'two', undisturbed b'one'"),
        ({"output": b"one\n"}, "output: 1 lines, undisturbed 2"),
        ({"exit": None}, "the process ended as None"),
        ({"completions": [(8, "mutex_lock", 0), (9, "exited", 0)]}, "call 0 is (8, 'mutex_lock', 0)"),
        ({"completions": [(7, "mutex_lock", 1), (9, "exited", 0)]}, "call 0 is (7, 'mutex_lock', 1)"),
        ({"completions": [(9, "exited", 0)]}, "1 calls came to their ends, undisturbed 3 in all"),
        ({"completions": [(None, "mutex_lock", 0), (9, "exited", 0)]}, ""),
        ({}, ""),
    ],
)
def test_what_differs_is_told(changed: dict[str, Any], what: str) -> None:
    from fluke_async import Exit  # noqa: PLC0415  (by the name that users have)

    whole = Seen(b"zero\none\ntwo\n", Exit("exited", 0), [(3, "ref_create", 0), (7, "mutex_lock", 0), (9, "exited", 0)])
    usual: dict[str, Any] = {"output": b"one\ntwo\n", "exit": Exit("exited", 0), "completions": whole.completions[1:]}
    found = difference(whole, Seen(**usual | changed), written=5, clock_ns=5, exact=True)
    assert found.startswith(what)
    assert bool(found) == bool(what)


def test_a_store_is_as_it_was_at_a_moment() -> None:
    store = store_for("manager")
    assert store is not None
    store._store.shelf.put(b"later", b"x")
    store._history.append((100, store._store.copy()))
    assert b"later" not in store.at(99)._store.shelf.names()
    assert b"later" in store.at(100)._store.shelf.names()


@pytest.mark.timeout(120)
def test_damaged_images_leave_nothing_in_a_kernel() -> None:
    command = [sys.executable, "-m", "fluke_async.verify_images.hostile_restores", "--count", "10", "--seed", "3"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)
    assert result.returncode == 0, result.stdout
    assert result.stdout.endswith(": 0 escapes\n")
