"""Records and named words say the same."""

from __future__ import annotations

import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluke_async.abi.layouts import MUTEX_STATE, THREAD_STATE
from fluke_async.errors import ImageError
from fluke_async.image.manifest import Manifest, ObjectRecord, Words
from fluke_async.image.records import from_records, to_records
from tests.image.samples import OUTSIDE, manifests, sample_manifest

STAMPS = ("wait_order", "run_order")


NAMES = tuple(OUTSIDE)


def stamps(record: ObjectRecord) -> dict[str, int]:
    """The stamps of a state."""
    return {name: value for name in STAMPS if isinstance(value := record.state.get(name), int)}


def renewed(objects: tuple[ObjectRecord, ...], first: int) -> list[dict[str, Words]]:
    """States with their stamps as a list of the different ones has them."""
    found = sorted({stamp for each in objects for stamp in stamps(each).values() if stamp})
    return [
        each.state | {name: first + found.index(stamp) for name, stamp in stamps(each).items() if stamp}
        for each in objects
    ]


@given(manifests(), st.integers(1, 2**40))
def test_a_round_trip_changes_stamps_only(manifest: Manifest, first: int) -> None:
    data, count = to_records(manifest, first)
    records = from_records(data, NAMES)
    assert records.memory_size == manifest.memory_size
    assert records.running == manifest.running
    assert [each.state for each in records.objects] == renewed(manifest.objects, first)
    for before, after in zip(manifest.objects, records.objects, strict=True):
        assert (after.type, after.offset, after.links) == (before.type, before.offset, before.links)
    used = {stamp for each in records.objects for stamp in stamps(each).values() if stamp}
    assert used == set(range(first, first + count))


@given(manifests())
def test_stamps_stay_for_a_kernel_that_goes_on_from_the_last(manifest: Manifest) -> None:
    records = from_records(to_records(manifest, None)[0], NAMES)
    assert [each.state for each in records.objects] == [each.state for each in manifest.objects]


@given(manifests())
def test_a_second_round_trip_changes_nothing(manifest: Manifest) -> None:
    data, _ = to_records(manifest, 1)
    records = from_records(data, NAMES)
    again = sample_manifest(objects=records.objects, running=records.running)
    assert to_records(again, 1)[0] == data


def test_what_follows_the_records_is_not_looked_at() -> None:
    data, _ = to_records(sample_manifest(), 1)
    assert from_records(data + b"\xff" * 100, NAMES) == from_records(memoryview(data), NAMES)


def at_word(number: int, value: int) -> bytes:
    """The sample's records with another word."""
    data = bytearray(to_records(sample_manifest(), 1)[0])
    data[8 * number : 8 * number + 8] = value.to_bytes(8, "little")
    return bytes(data)


FIRST_OBJECT = 7 + 4 * len(OUTSIDE) + 2  # in words: after the header, the names and two threads to be started
REFERENCE = FIRST_OBJECT + 3 * 12 + 2 * THREAD_STATE.size // 8 + MUTEX_STATE.size // 8


@pytest.mark.parametrize(
    ("number", "value", "remark"),
    [
        (0, 7, "begin with 0x7"),
        (1, 1 << 40, "records of 1099511627776 bytes"),
        (6, 1, "with 1 pages"),
        (4, 1 << 60, "end before the 1152921504606846976 items"),
        (5, 3, "more than their objects"),
        (5, 5, "end before|in the middle of something"),
        (FIRST_OBJECT + 1, 77, "object at 0x1000 has the type 77"),
        (FIRST_OBJECT + 2, 3, "thread at 0x1000 has a link of kind 3"),
        (FIRST_OBJECT + 3, 6, "thread at 0x1000 has a link of kind 2 to 6"),
        (REFERENCE + 4, 1, "ref at 0x1030 has more links than a ref has"),
        (3, 3, "have 3 names outside"),
        (7, 0x31, "names outside: they must be"),
    ],
)
def test_wrong_records_are_refused(number: int, value: int, remark: str) -> None:
    with pytest.raises(ImageError, match=remark):
        from_records(at_word(number, value), NAMES)


@given(st.data())
def test_damaged_records_are_read_or_refused(data: st.DataObject) -> None:
    good, _ = to_records(data.draw(manifests()), 1)
    words = list(struct.unpack(f"<{len(good) // 8}Q", good))
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, min(60, len(words) - 1)) | st.integers(0, len(words) - 1))
        words[place] = data.draw(st.integers(0, 10) | st.integers(0, 2**64 - 1) | st.just(len(good)))
    with suppress(ImageError):
        from_records(struct.pack(f"<{len(words)}Q", *words), NAMES)


@pytest.mark.parametrize("cut", [0, 8, 55, 56, 100, -8])
def test_records_that_are_cut_off_are_refused(cut: int) -> None:
    data, _ = to_records(sample_manifest(), 1)
    with pytest.raises(ImageError):
        from_records(data[:cut], NAMES)
