"""The page on the format is right: its reader reads, its example is an image, its table of types is the kernel's."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import asdict

from fluke_async.image.builder import ImageBuilder
from fluke_async.image.checks import MAPPINGS_MAX, NAMES_MAX, OBJECTS_MAX
from fluke_async.image.container import FRAME_PAGES, MANIFEST_MAX, VERSION
from fluke_async.image.image import CHAIN_MAX, PAGES_MAX_BYTES, Image
from fluke_async.image.kinds import KINDS
from fluke_async.image.manifest import ABI_VERSION, DEVICES_MAX, FORMAT, STATES_MAX
from fluke_async.image.object_checks import RULES
from fluke_async.image.pages import ZERO_PAGE
from tests.image.samples import sample_manifest, sample_pages, zero_state
from tests.tidy import ROOT

PAGE = (ROOT / "fluke_async/image/README.md").read_text("utf-8")
READER = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)[0]
Read = Callable[[Path], tuple[dict[str, Any], dict[int, bytes | None], str, str | None]]


def reader() -> Read:
    """The function of the page's reader."""
    names: dict[str, Any] = {"__name__": "reader"}
    exec(READER, names)
    read: Read = names["read"]
    return read


def test_the_reader_reads_images(tmp_path: Path) -> None:
    builder = ImageBuilder(sample_manifest())
    builder.add(sample_pages().items())
    full = builder.finish()
    full.save(tmp_path / "full")
    builder = ImageBuilder(sample_manifest(program="later"), full)
    builder.add([(4096, ZERO_PAGE), (8192, b"x" * 4096)])
    later = builder.finish()
    later.save(tmp_path / "later")

    manifest, pages, identity, parent_name = reader()(tmp_path / "full")
    assert identity == full.identity
    assert parent_name is None
    assert pages == {**dict(full.pages()), **dict.fromkeys(full.zeros())}
    assert manifest["objects"][1]["state"]["wait_order"] == full.manifest.objects[1].state["wait_order"]
    assert manifest["outside"] == {name: asdict(each) for name, each in full.manifest.outside.items()}

    manifest, pages, identity, parent_name = reader()(tmp_path / "later")
    assert (identity, parent_name, manifest["parent"]) == (later.identity, "full", full.identity)
    assert pages == {4096: None, 8192: b"x" * 4096}


def test_the_reader_is_short() -> None:
    assert len(READER.splitlines()) < 100


def example() -> bytes:
    """The bytes of the page's example."""
    (text,) = re.findall(r"```json\n(.*?)```", PAGE, re.DOTALL)
    data = b""
    for place, entry, what in re.findall(
        r"^\| (\d+) \| (`.*?`|the manifest) \| (.*) \|$", PAGE[PAGE.index("## An example") :], re.MULTILINE
    ):
        assert int(place) == len(data), what
        part = text.replace("\n", "").encode() if entry == "the manifest" else bytes.fromhex(entry.replace("`", ""))
        data += part * 4096 if what == "4096 times" else part
    return data


def test_the_example_is_an_image(tmp_path: Path) -> None:
    (tmp_path / "example").write_bytes(example())
    image = Image.load(tmp_path / "example")
    assert f"The identity is `{image.identity}`" in PAGE
    assert image.manifest.program == "tiny"
    assert image.manifest.objects[0].links == {"target": "console"}
    assert dict(image.pages()) == {4096: b"A" * 4096}
    assert reader()(tmp_path / "example")[2] == image.identity


def test_the_table_of_types_is_complete() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (\d) \| (.*?) \| (.*?) \|$", PAGE, re.MULTILINE)
    assert [name for name, *_ in rows] == list(KINDS)
    for name, number, words, links in rows:
        layout = KINDS[name].layout
        fields = () if layout is None else layout.fields
        said = [(word, int(count or 1)) for word, count in re.findall(r"`(\w+)`(?: \((\d+)\))?", words)]
        assert said == [(field.name, field.count) for field in fields]
        assert int(number) == KINDS[name].number
        assert re.findall(r"`(\w+)`", links) == list(KINDS[name].links)


def test_the_tables_of_words_and_links_are_complete() -> None:
    objects = PAGE[PAGE.index("### The objects") :]
    words = objects[objects.index("| word | of |") : objects.index("| link | leads to |")]
    said = {
        (kind, word)
        for names, kinds in re.findall(r"^\| (`.*?) \| (`.*?) \|", words, re.MULTILINE)
        for word in re.findall(r"`(\w+)`", names)
        for kind in re.findall(r"`(\w+)`", kinds)
        if word in zero_state(kind)
    }
    assert said == {(kind, word) for kind, rules in RULES.items() for word in rules}
    links = objects[objects.index("| link | leads to |") :]
    leads = {
        link: set(re.findall(r"`(\w+)`", types))
        for names, types in re.findall(r"^\| (`.*?) \| (`.*?) \|$", links[: links.index("\n\n")], re.MULTILINE)
        for link in re.findall(r"`(\w+)`", names)
    }
    assert {link: types for kind in KINDS.values() for link, types in kind.links.items()} == leads
    assert all(leads[link] == types for kind in KINDS.values() for link, types in kind.links.items())


def test_the_limits_are_those_of_the_code() -> None:
    assert f"at most {MANIFEST_MAX >> 20} MiB" in PAGE
    assert f"at most {DEVICES_MAX} devices, whose states have at most {STATES_MAX >> 20} MiB" in PAGE
    assert f"1 to {FRAME_PAGES} whole pages" in PAGE
    assert f"At most {CHAIN_MAX} images" in PAGE
    words = " ".join(PAGE.split())
    assert f"allowed ({PAGES_MAX_BYTES >> 20} MiB, unless told otherwise, and eight times" in words
    assert f"{OBJECTS_MAX:,} objects, {MAPPINGS_MAX:,} mappings and {NAMES_MAX} names" in words
    assert f"| this one | {VERSION} | {FORMAT} | {ABI_VERSION} |" in PAGE
