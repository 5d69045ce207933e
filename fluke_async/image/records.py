"""
The records of a process's objects, as programs that make checkpoints write and read them, and their named words.

The structures are those of `userland/include/checkpoint.h`; pages are never among them. What lies outside has a number
for its name there, its place among the names that an image has.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fluke_async.abi.codes import WORD_SIZE
from fluke_async.image.kinds import BY_NUMBER, KINDS
from fluke_async.image.manifest import Manifest, ObjectRecord, Target
from fluke_async.image.refusal import refusal

MAGIC = int.from_bytes(b"fluke1", "little")
NAME_BYTES = 32
LINKS = 5
LINK_NONE, LINK_INSIDE, LINK_OUTSIDE = range(3)
HEADER = struct.Struct("<7Q")  # magic, size, memory_size, name_count, running_count, object_count, page_count
HEAD = struct.Struct(f"<{2 + 2 * LINKS}Q")  # of an object: offset, type, links as kind and value
NO_LINKS = (LINK_NONE, 0) * LINKS
STAMPS = ("wait_order", "run_order")


@dataclass(frozen=True, slots=True)
class Records:
    """What records say: the memory's size in bytes, objects by offset, and threads to be started."""

    memory_size: int
    objects: tuple[ObjectRecord, ...]
    running: tuple[int, ...]


def from_records(data: bytes | memoryview, names: Sequence[str]) -> Records:
    """
    What records say.

    Args:
        data: The records; what follows their end is not looked at.
        names: What lies outside, for which the records have numbers, in this order.

    Raises:
        ImageError: the records are damaged, or have other names than these numbers.
    """
    return _Reader(memoryview(data), names).read()


def _numbers(count: int) -> bytes:
    """The names in records of so many things outside."""
    return b"".join(str(number).encode().ljust(NAME_BYTES, b"\0") for number in range(count))


class _Reader:
    """Takes one structure after the other; no count is believed before there is room for it."""

    def __init__(self, data: memoryview, names: Sequence[str]) -> None:
        self._data = data
        self._at = 0
        self._names = names

    def read(self) -> Records:
        magic, size, memory_size, name_count, running_count, object_count, page_count = HEADER.unpack(
            self._bytes(HEADER.size)
        )
        if magic != MAGIC or size > len(self._data) or page_count:
            raise refusal(f"records of {size} bytes with {page_count} pages that begin with {magic:#x} cannot be read")
        self._data = self._data[:size]
        if name_count != len(self._names) or self._bytes(name_count * NAME_BYTES) != _numbers(name_count):
            raise refusal(f"the records have {name_count} names outside: they must be {len(self._names)}, in order")
        running = struct.unpack(
            f"<{len(self._counted(running_count, WORD_SIZE))}Q", self._bytes(running_count * WORD_SIZE)
        )
        objects = tuple(self._object() for _ in self._counted(object_count, HEAD.size))
        if self._at != size:
            raise refusal(f"the records have {size - self._at} bytes more than their objects")
        return Records(memory_size, objects, running)

    def _bytes(self, size: int) -> memoryview:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise refusal(f"the records end after {len(self._data)} bytes, in the middle of something")
        return self._data[start : self._at]

    def _counted(self, count: int, least_size: int) -> range:
        if count * least_size > len(self._data) - self._at:
            raise refusal(f"the records end before the {count} items that they announce")
        return range(count)

    def _object(self) -> ObjectRecord:
        offset, number, *places = HEAD.unpack(self._bytes(HEAD.size))
        kind = BY_NUMBER.get(number)
        if kind is None:
            raise refusal(f"the object at {offset:#x} has the type {number}, which there is not")
        links: dict[str, Target] = {}
        place = iter(places)
        for name in kind.links:
            link, value = next(place), next(place)
            if link == LINK_NONE:
                links[name] = None
            elif link == LINK_INSIDE:
                links[name] = value
            elif link == LINK_OUTSIDE and value < len(self._names):
                links[name] = self._names[value]
            else:
                raise refusal(
                    f"the {kind.name} at {offset:#x} has a link of kind {link} to {value}, which there is not"
                )
        if any(places[2 * len(links) :: 2]):
            raise refusal(f"the {kind.name} at {offset:#x} has more links than a {kind.name} has")
        state = {} if kind.layout is None else kind.layout.unpack(self._bytes(kind.layout.size))
        return ObjectRecord(kind.name, offset, state, links)


def to_records(manifest: Manifest, first_stamp: int | None) -> tuple[bytes, int]:
    """
    The records of an image, to be created and loaded, and how many new stamps they use.

    Stamps of order are those of another kernel. They stay, for one that goes on from `last_stamp`; or the different
    ones among them become `first_stamp` and the numbers that follow, in the same order; 0, which is none, stays.
    """
    renewed: dict[int, int] = {}
    if first_stamp is not None:
        found = {each.word(name) for each in manifest.objects if STAMPS[0] in each.state for name in STAMPS}
        renewed = {stamp: first_stamp + index for index, stamp in enumerate(sorted(found - {0}))}
    numbers = {name: index for index, name in enumerate(manifest.outside)}
    parts = [_numbers(len(numbers))]
    parts.append(struct.pack(f"<{len(manifest.running)}Q", *manifest.running))
    parts += [_pack(record, renewed, numbers) for record in manifest.objects]
    body = b"".join(parts)
    size = HEADER.size + len(body)
    counts = len(numbers), len(manifest.running), len(manifest.objects), 0
    return HEADER.pack(MAGIC, size, manifest.memory_size, *counts) + body, len(renewed)


def _pack(record: ObjectRecord, renewed: Mapping[int, int], numbers: Mapping[str, int]) -> bytes:
    """An object with its state, in which stamps are others if they were renewed."""
    kind = KINDS[record.type]
    words = [record.offset, int(kind.number)]
    for name in kind.links:
        target = record.links[name]
        if target is None:
            words += (LINK_NONE, 0)
        elif isinstance(target, int):
            words += (LINK_INSIDE, target)
        else:
            words += (LINK_OUTSIDE, numbers[target])
    head = HEAD.pack(*words, *NO_LINKS[2 * len(kind.links) :])
    if kind.layout is None:
        return head
    state = record.state
    if renewed and STAMPS[0] in state:
        state = state | {name: renewed.get(record.word(name), 0) for name in STAMPS}
    return head + kind.layout.pack(state)
