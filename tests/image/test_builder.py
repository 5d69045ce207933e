"""Images have the pages that they were given, each content once, and those of the images that they build on."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.errors import ImageError
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.container import MANIFEST_MAX
from fluke_async.image.image import CHAIN_MAX, Image
from fluke_async.image.manifest import DEVICES_MAX, STATES_MAX, Device, Manifest, decode_manifest
from fluke_async.image.pages import ZERO_PAGE
from tests.image.samples import MEMORY_SIZE, manifests, sample_manifest, sample_pages

PAGES = MEMORY_SIZE // PAGE_SIZE


def built(pages: dict[int, bytes], parent: Image | None = None) -> Image:
    """An image with these pages, or with these written since."""
    builder = ImageBuilder(sample_manifest(), parent)
    builder.add(pages.items())
    return builder.finish()


def page(number: int) -> bytes:
    """Some page; number 0 is the zero page."""
    return bytes([number]) * PAGE_SIZE


writes = st.dictionaries(
    st.integers(0, PAGES - 1).map(lambda number: number * PAGE_SIZE), st.integers(0, 3).map(page), max_size=12
)


def test_alike_pages_are_stored_once_and_zero_pages_not_at_all() -> None:
    image = built(sample_pages())
    assert image.offsets() == [PAGE_SIZE, 8 * PAGE_SIZE, 9 * PAGE_SIZE]
    assert len(image.contents) == 2
    assert image.page(9 * PAGE_SIZE) == image.page(PAGE_SIZE) != ZERO_PAGE
    assert image.page(10 * PAGE_SIZE) == image.page(0) == ZERO_PAGE
    (zero,) = image.zeros()
    assert sample_pages()[zero] == ZERO_PAGE


def test_pages_come_in_pieces_and_in_any_order() -> None:
    builder = ImageBuilder(sample_manifest())
    for offset, data in reversed(sample_pages().items()):
        builder.add([(offset, memoryview(data))])
    assert builder.finish() == built(sample_pages())


@given(st.lists(writes, min_size=1, max_size=5))
def test_a_chain_has_what_was_written_last(rounds: list[dict[int, bytes]]) -> None:
    image: Image | None = None
    memory: dict[int, bytes] = {}
    for written in rounds:
        image = built(written, image)
        memory |= written
    assert image is not None
    expected = {offset: data for offset, data in sorted(memory.items()) if data != ZERO_PAGE}
    assert list(image.pages()) == list(expected.items())
    assert image.offsets() == list(expected) == list(image.digests())
    assert image.zeros() == [offset for offset, data in sorted(memory.items()) if data == ZERO_PAGE]
    assert all(image.page(offset) == memory.get(offset, ZERO_PAGE) for offset in range(0, MEMORY_SIZE, PAGE_SIZE))
    assert image.depth == len(rounds) == len(list(image.chain()))


@given(writes, writes)
def test_an_incremental_image_has_only_what_has_changed(before: dict[int, bytes], written: dict[int, bytes]) -> None:
    first = built(before)
    second = built(written, first)
    assert set(second.table) == {offset for offset, data in written.items() if data != before.get(offset)}
    assert second.manifest.parent == first.identity


def test_the_identity_is_of_all_that_an_image_says() -> None:
    image = built(sample_pages())
    assert image == built(sample_pages())
    assert hash(image) == hash(built(sample_pages()))
    other = ImageBuilder(sample_manifest(clock_ns=1))
    other.add(sample_pages().items())
    different = [built({}), built({0: page(1)}), built({}, image), built({}, built({})), other.finish()]
    assert len({image, *different}) == 6
    assert len(image.identity) == 32


def test_what_was_finished_does_not_change() -> None:
    builder = ImageBuilder(sample_manifest())
    builder.add(sample_pages().items())
    image = builder.finish()
    before = dict(image.pages())
    builder.add([(0, page(1))])
    assert dict(image.pages()) == before


@pytest.mark.parametrize("pages", [[(0, b"x")], [(0, page(1)), (0, page(1))], [(1, page(1))], [(MEMORY_SIZE, page(1))]])
def test_what_is_no_page_is_refused(pages: list[tuple[int, bytes]]) -> None:
    builder = ImageBuilder(sample_manifest())
    with pytest.raises(ImageError, match="the page at"):
        builder.add(pages)
        builder.finish()


@given(manifests())
def test_what_is_made_can_be_read_as_it_is(manifest: Manifest) -> None:
    """Nothing is decoded to see that, for it was just encoded."""
    image = ImageBuilder(manifest).finish()
    assert decode_manifest(image.encoded) == image.manifest == manifest


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"unsaved": ("x" * MANIFEST_MAX,)}, "the image's manifest would have"),
        (
            {"devices": {"console": Device("a.Console", {"input": "x" * STATES_MAX})}},
            "the states of the image's devices",
        ),
        ({"devices": {f"service:{each}": Device("a.B", {}) for each in range(DEVICES_MAX + 1)}}, "257 devices"),
    ],
    ids=["a large manifest", "large states", "many devices"],
)
def test_what_could_not_be_read_is_not_made(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(ImageError, match=text):
        ImageBuilder(sample_manifest(**changes)).finish()


def test_a_parent_has_a_memory_of_the_same_size() -> None:
    parent = ImageBuilder(sample_manifest(memory_size=2 * MEMORY_SIZE)).finish()
    with pytest.raises(ImageError, match="memory_size"):
        built({}, parent)


def test_an_image_is_given_the_one_that_it_builds_on() -> None:
    first = built({})
    second = built({}, first)
    with pytest.raises(ImageError, match=f"builds on {first.identity}, and that is not the one"):
        Image(second.manifest, second.encoded, second.table, second.contents, None)


def test_chains_end() -> None:
    image = None
    for _ in range(CHAIN_MAX):
        image = built({}, image)
    assert image is not None
    assert image.page(0) == ZERO_PAGE
    with pytest.raises(ImageError, match="make a full one"):
        built({}, image)
