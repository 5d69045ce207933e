"""What the format page permits is read, and what it does not permit is refused, by whoever goes by it."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fluke_async.errors import ImageError
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.image import Image
from tests.image.readings import as_it_is, verdict, written
from tests.image.samples import sample_manifest, sample_pages
from tests.image.second_reader import RefusedError, read


def sample() -> Image:
    builder = ImageBuilder(sample_manifest())
    builder.add(sample_pages().items())
    return builder.finish()


IMAGE = sample()


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    """A file of the image whose manifest is another."""
    manifest = json.loads(IMAGE.encoded)
    change(manifest)
    return as_it_is(IMAGE, json.dumps(manifest, indent=1).encode())


def thread(manifest: dict[str, Any]) -> dict[str, Any]:
    """The first thread of a manifest."""
    found: dict[str, Any] = next(each for each in manifest["objects"] if each["type"] == "thread")
    return found


def nested(depth: int) -> list[Any]:
    return [nested(depth - 1)] if depth > 1 else []


SERVICE = {"type": "port", "hash": 77}
TAKEN: dict[str, Callable[[dict[str, Any]], object]] = {
    "a field that is not known": lambda it: it.update(more={"a": [1.5, None]}),
    "no objects": lambda it: it.update(objects=[], running=[]),
    "the latest time": lambda it: it.update(clock_ns=1 << 62, last_stamp=1 << 63, budget=1 << 63),
    "access to nothing": lambda it: it["mappings"][0].update(prot=0),
    "a service": lambda it: it["outside"].update({"service:" + "n" * 247: SERVICE}),
    "a device of a name that is not known": lambda it: it["devices"].update(lamp={"device": "a.b", "state": {}}),
    "plain values": lambda it: it["devices"]["console"].update(
        state={"a": [None, True, "\u00e9", -(1 << 63), (1 << 64) - 1, 0.5], "b": nested(15)}
    ),
    "a scheduler outside": lambda it: thread(it)["links"].update(scheduler="console"),
    "a register zero": lambda it: thread(it)["state"]["x"].__setitem__(0, 5),
    "an overdrawn quantum": lambda it: thread(it)["state"].update(quantum_left=(1 << 64) - 5),
}
REFUSED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a field of a mapping": lambda it: it["mappings"][0].update(more=1),
    "a field of an object": lambda it: it["objects"][0].update(more=1),
    "a field of what lies outside": lambda it: it["outside"]["console"].update(more=1),
    "a field of a device": lambda it: it["devices"]["console"].update(more=1),
    "a word more": lambda it: thread(it)["state"].update(more=1),
    "a word less": lambda it: thread(it)["state"].pop("f"),
    "a register less": lambda it: thread(it)["state"]["x"].pop(),
    "a list of one word": lambda it: thread(it)["state"].update(pc=[1]),
    "a word of more than 64 bits": lambda it: thread(it)["state"].update(pc=1 << 64),
    "a word with a point": lambda it: thread(it)["state"].update(pc=1.0),
    "truth for a word": lambda it: thread(it)["state"].update(priority=True),
    "a link more": lambda it: thread(it)["links"].update(more=None),
    "a link to nothing": lambda it: thread(it)["links"].update(server=16),
    "a link to another type": lambda it: thread(it)["links"].update(scheduler="space"),
    "a connection outside": lambda it: thread(it)["links"].update(client="console"),
    "a thread that is not stopped": lambda it: thread(it)["state"].update(flags=0),
    "an order after the last": lambda it: it.update(last_stamp=0),
    "a priority of its own": lambda it: thread(it)["state"].update(priority=32),
    "a subcode of nothing": lambda it: thread(it)["state"].update(exception_subcode=1),
    "the hash 0": lambda it: it["outside"]["console"].update(hash=0),
    "a thread that runs twice": lambda it: it.update(running=it["running"] + it["running"]),
    "what runs and is none": lambda it: it["running"].append(16),
    "time before it": lambda it: it.update(clock_ns=-1),
    "time after all": lambda it: it.update(clock_ns=(1 << 62) + 1),
    "no budget": lambda it: it.pop("budget"),
    "no parent": lambda it: it.pop("parent"),
    "a parent's name": lambda it: it.update(parent="0"),
    "half a page": lambda it: it.update(memory_size=it["memory_size"] + 2048),
    "less memory than pages": lambda it: it.update(memory_size=4096, mappings=[], objects=[], running=[]),
    "an empty mapping": lambda it: it["mappings"][0].update(end=it["mappings"][0]["start"]),
    "a mapping twice": lambda it: it["mappings"].append(it["mappings"][0]),
    "too many mappings": lambda it: it.update(mappings=it["mappings"] * 1025),
    "objects out of order": lambda it: it["objects"].reverse(),
    "an object between slots": lambda it: it["objects"][-1].update(offset=it["objects"][-1]["offset"] + 8),
    "what is no type": lambda it: it["objects"][0].update(type="lamp"),
    "another console": lambda it: it["outside"]["console"].update(type="portset"),
    "a reference outside": lambda it: it["outside"].update({"service:a": {"type": "ref", "hash": 1}}),
    "a service without a name": lambda it: it["outside"].update({"service:": SERVICE}),
    "a service of a long name": lambda it: it["outside"].update({"service:" + "n" * 248: SERVICE}),
    "a service with a zero": lambda it: it["outside"].update({"service:a\0": SERVICE}),
    "a lamp outside": lambda it: it["outside"].update(lamp=SERVICE),
    "too many names": lambda it: it["outside"].update({f"service:{number}": SERVICE for number in range(256)}),
    "too many devices": lambda it: it["devices"].update(
        {f"service:{number}": {"device": "a", "state": {}} for number in range(256)}
    ),
    "states that are too large": lambda it: it["devices"]["console"].update(state={"a": "x" * (2 << 20)}),
    "states that are too deep": lambda it: it["devices"]["console"].update(state={"a": nested(16)}),
    "a number in a state": lambda it: it["devices"]["console"].update(state={"a": 1 << 64}),
    "infinity": lambda it: it["devices"]["console"].update(state={"a": float("inf")}),
    "what is no class": lambda it: it["devices"]["console"].update(device="a..b"),
    "half a character": lambda it: it.update(program="\ud800"),
    "a text that is a number": lambda it: it.update(program=1),
}


@pytest.mark.parametrize("name", TAKEN)
def test_manifests_that_the_page_permits_are_read(tmp_path: Path, name: str) -> None:
    assert verdict(tmp_path / "it", changed(TAKEN[name]))


@pytest.mark.parametrize("name", REFUSED)
def test_manifests_that_the_page_does_not_permit_are_refused(tmp_path: Path, name: str) -> None:
    assert not verdict(tmp_path / "it", changed(REFUSED[name]))


@pytest.mark.parametrize("kind", [0, 5, 127, 128, 2**32 - 1])
@pytest.mark.parametrize("encoding", [0, 1, 2])
def test_sections_that_can_be_passed_over_are(tmp_path: Path, kind: int, encoding: int) -> None:
    """They are not decoded."""
    more = ((kind, encoding, b"what is this", 12 if encoding == 0 else 1 << 60),)
    assert verdict(tmp_path / "it", as_it_is(IMAGE, more=more)) == (kind >= 128 and encoding < 2)


def test_sections_come_in_any_order_but_contents_in_one(tmp_path: Path) -> None:
    text, table = IMAGE.encoded, b"".join(struct.pack("<Q", offset) + name for offset, name in IMAGE.table.items())
    pages = [(4, 0, page, 4096) for page in IMAGE.contents.values()]
    first, others = (3, 0, table, len(table)), (1, 0, text, len(text))
    assert verdict(tmp_path / "it", written([*pages, first, others]))
    assert not verdict(tmp_path / "it", written([*pages[::-1], first, others]))
    assert not verdict(tmp_path / "it", written([*pages[1:], first, others]))
    assert not verdict(tmp_path / "it", written([*pages, pages[0], first, others]))


def test_sections_are_as_many_as_the_page_says(tmp_path: Path) -> None:
    text = IMAGE.encoded
    manifest, table, name = (1, 0, text, len(text)), (3, 0, b"", 0), (2, 0, b"it", 2)
    for sections, is_taken in (
        ([manifest, table], True),  # no page was ever touched
        ([manifest, table, name], True),  # a hint, of which nothing is made
        ([manifest], False),
        ([table], False),
        ([manifest, manifest, table], False),
        ([manifest, table, table], False),
        ([manifest, table, name, name], False),
        ([manifest, table, (2, 0, b"../it", 5)], False),
        ([manifest, table, (2, 0, b"\xff", 1)], False),
        ([manifest, table, (2, 0, b"", 0)], False),
        ([manifest, table, (4, 0, b"", 0)], False),
    ):
        assert verdict(tmp_path / "it", written(sections)) == is_taken, sections


def test_of_a_name_that_is_there_twice_the_last_counts(tmp_path: Path) -> None:
    """The page says so of this package's reader."""
    assert verdict(tmp_path / "it", as_it_is(IMAGE, b'{"clock_ns":5,' + IMAGE.encoded[1:]))
    assert read(tmp_path / "it").manifest["clock_ns"] == IMAGE.manifest.clock_ns


@pytest.mark.parametrize("field", ["format", "abi"])
def test_a_later_manifest_is_refused_by_its_number_whatever_is_in_it(tmp_path: Path, field: str) -> None:
    def later(manifest: dict[str, Any]) -> None:
        manifest[field] = 7
        manifest["objects"] = {"by": "offset"}
        del manifest["clock_ns"]

    path = tmp_path / "later"
    path.write_bytes(changed(later))
    with pytest.raises(ImageError, match=r"\b7: only 1 can be"):
        Image.load(path)
    with pytest.raises(RefusedError, match=r"another (format|ABI): 7"):
        read(path)


def test_a_later_file_is_refused_by_its_number_whatever_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "later"
    path.write_bytes(b"FLUKE\r\n\x1a" + struct.pack("<I", 7) + bytes(50))
    with pytest.raises(ImageError, match="version 7: only 1 can be"):
        Image.load(path)
    with pytest.raises(RefusedError, match="version 7"):
        read(path)
