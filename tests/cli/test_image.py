"""`fluke image`: images shown, checked and compared."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.image import Image
from fluke_async.image.manifest import Words
from tests.cli.conftest import Fluke
from tests.image.samples import record, registers, sample_manifest, sample_pages

Save = Callable[..., Image]


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Saves the sample, with changes, under a name in the current folder."""
    monkeypatch.chdir(tmp_path)

    def save(name: str, parent: Image | None = None, pages: dict[int, bytes] | None = None, **changes: Any) -> Image:
        builder = ImageBuilder(sample_manifest(**changes), parent)
        builder.add((sample_pages() if pages is None else pages).items())
        image = builder.finish()
        image.save(name)
        return image

    return save


def test_show_says_what_each_thread_was_in(fluke: Fluke, save: Save) -> None:
    image = save("one")
    finished = fluke("image", "show", "one")
    assert (finished.status, finished.errors) == (0, "")
    lines = finished.output.splitlines()
    assert lines[0] == f"one: image {image.identity}"
    assert "program    sample -n 3" in lines
    assert "clock      1,234,567 ns" in lines
    assert "objects    mutex 1, ref 1, thread 2" in lines
    assert "pages      3 other than zero, 2 stored, 1 like another, 1 zero" in lines
    assert any(each.startswith("device     console: fluke_devices.console.Console, written ") for each in lines)
    assert "not saved  the standard input beyond what was read" in lines
    assert any(line.split()[:4] == ["11", "ready", "16", "-"] for line in lines)
    assert any(line.split()[:7] == ["12", "waiting", "16", "mutex_lock", "mutex", "at", "0x1020"] for line in lines)


def test_a_thread_on_its_ecall_is_in_that_call(fluke: Fluke, save: Save) -> None:
    code = bytes(100) + (0x73).to_bytes(4, "little")
    state: dict[str, Words] = {"hash": 11, "pc": PAGE_SIZE + 100, "x": registers("ipc_call")}
    threads = (record("thread", 8 * PAGE_SIZE, state, space="space"), record("thread", 8 * PAGE_SIZE + 16, state))
    save("one", pages={PAGE_SIZE: code.ljust(PAGE_SIZE, b"\0")}, objects=threads, running=(8 * PAGE_SIZE,))
    said = json.loads(fluke("image", "show", "--json", "one").output)
    first, second = said["threads"]
    assert (first["call"], first["condition"], first["waits_for"]) == ("ipc_call", "ready", None)
    assert (second["call"], second["condition"]) == (None, "stopped"), "in no space, nothing is known of its memory"


def test_show_of_an_incremental_image(fluke: Fluke, save: Save) -> None:
    first = save("one")
    second = save("two", first, {PAGE_SIZE: bytes(PAGE_SIZE), 0: b"x" * PAGE_SIZE})
    finished = fluke("image", "show", "one", "two")
    assert f"builds on  {first.identity}, 1 in all" in finished.output
    pages = "3 other than zero, 1 stored, 0 like another, 2 of those that it builds on, 1 zero"
    assert f"pages      {pages}" in finished.output
    said = json.loads(fluke("image", "show", "two", "--json").output)
    assert said["identity"] == second.identity
    assert said["file"] == "two"
    assert said["pages"] == {"all": 3, "inherited": 2, "stored": 1, "shared": 0, "zero": 1}


def test_texts_of_strangers_stay_on_their_line(fluke: Fluke, save: Save) -> None:
    save("one", arguments=("\x1b[2J\nfake: sound",), unsaved=("a\rb",))
    output = fluke("image", "show", "one").output
    assert all(line.isprintable() for line in output.splitlines())
    assert "?[2J?fake: sound" in output


def test_verify(fluke: Fluke, save: Save) -> None:
    image = save("one")
    finished = fluke("image", "verify", "one", "one")
    assert (finished.status, finished.errors) == (0, "")
    assert finished.output == f"one: image {image.identity}, 4 objects, 3 pages: sound\n" * 2
    data = bytearray(Path("one").read_bytes())
    data[100] ^= 1
    Path("one").write_bytes(data)
    finished = fluke("image", "verify", "one")
    assert finished.status == 1
    assert finished.output == ""
    assert finished.errors.endswith("one: the image is damaged: its bytes do not have the checksum at its end\n")
    assert finished.errors.count("\n") == 1


def test_a_parent_elsewhere_is_named(fluke: Fluke, save: Save) -> None:
    first = save("one")
    save("two", first, {})
    Path("elsewhere").mkdir()
    Path("one").rename("elsewhere/one")
    finished = fluke("image", "verify", "two")
    assert finished.status == 1
    assert "there is no one beside it" in finished.errors
    assert fluke("image", "verify", "two", "--parent", "elsewhere/one").status == 0


def test_more_pages_have_to_be_allowed(fluke: Fluke, save: Save) -> None:
    save(
        "one", memory_size=1 << 30, pages={number * PAGE_SIZE: bytes([number]) * PAGE_SIZE for number in range(1, 256)}
    )
    Path("two").write_bytes(Path("one").read_bytes())
    assert fluke("image", "verify", "one", "--memory", "1M").status == 0
    manifest = {"memory_size": 1 << 30}
    save("one", **manifest, pages={n * PAGE_SIZE: n.to_bytes(4, "little") * 1024 for n in range(1, 300)})
    finished = fluke("image", "verify", "one", "--memory", "1M")
    assert finished.status == 1
    assert "may have 1048576" in finished.errors


def test_diff_of_images_that_are_alike(fluke: Fluke, save: Save) -> None:
    first = save("one")
    save("two", first, {})
    assert fluke("image", "diff", "one", "two").output == "no difference\n"
    assert fluke("image", "diff", "one", "two").status == 0


def test_diff(fluke: Fluke, save: Save) -> None:
    first = save("one")
    owner, waiter, mutex, ref = first.manifest.objects
    changed = record("thread", waiter.offset, {**waiter.state, "x": registers("mutex_lock", x10=7), "wait_order": 0})
    other = record("port", ref.offset)
    save(
        "two",
        first,
        {0: b"x" * PAGE_SIZE, PAGE_SIZE: bytes(PAGE_SIZE)},
        clock_ns=5,
        objects=(owner, changed, mutex, other),
    )
    finished = fluke("image", "diff", "one", "two")
    assert finished.status == 1
    assert finished.output.splitlines() == [
        "clock_ns 0x12d687 -> 5",
        "ref at 0x1030: in the first only",
        "port at 0x1030: in the second only",
        "thread at 0x1010: wait_order 71 -> 0, x10 0x1020 -> 7, space space -> None, waiting_for 0x1020 -> None",
        "2 pages: 0x0, 0x1000",
    ]
    said = json.loads(fluke("image", "diff", "one", "two", "--json").output)
    assert said["whole"] == {"clock_ns": [1_234_567, 5]}
    assert said["only_second"] == [{"type": "port", "offset": ref.offset}]
    assert said["changed"][0]["values"]["x10"] == [4128, 7]
    assert said["pages"] == [0, PAGE_SIZE]
