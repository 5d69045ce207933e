"""Programs that look through regions: one call, or as many as it takes, with an array of some size."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode
from fluke_async.abi.layouts import OBSPEC
from fluke_async.abi.registers import A1, A2, A3, A4, A6
from fluke_async.kernel import region_scan
from fluke_async.kernel.objects.region import Region
from tests.kernel.machine import Machine, Result, Value
from tests.kernel.memory_tree import HERE, Tree

OBSPEC_WORDS = OBSPEC.size // 8
PAGES = 6
SIZE = PAGES * PAGE_SIZE


class Scan(NamedTuple):
    """What one call has found: words of its array; and the arguments as they are after it."""

    found: list[int]
    offset: int
    size: int
    capacity: int
    generation: int = 0
    exception: ExceptionCode | None = None


def search(machine: Machine, region: Region, offset: int, size: int, capacity: int) -> Scan:
    """One `region_search`; two words for each object."""
    array = machine.buffer([0] * max(1, capacity * OBSPEC_WORDS))
    operands: dict[str, Value] = {"region": region, "offset": offset, "size": size, "capacity": capacity}
    return _scan(machine, array, machine.invoke("region_search", objects=array, **operands))


def changed(
    machine: Machine, region: Region, offset: int, size: int, capacity: int, since: int, generation: int = 0
) -> Scan:
    """One `region_changed`."""
    array = machine.buffer([0] * max(1, capacity))
    operands: dict[str, Value] = {"region": region, "offset": offset, "size": size, "capacity": capacity}
    operands |= {"since": since, "generation": generation}
    return _scan(machine, array, machine.invoke("region_changed", offsets=array, **operands))


def _scan(machine: Machine, array: int, result: Result) -> Scan:
    registers = result.registers
    found = machine.read(array, (registers[A3] - array) // 8) if result.exception is None else []
    return Scan(found, registers[A1], registers[A2], registers[A4], registers[A6], result.exception)


def objects_in(machine: Machine, region: Region, size: int, capacity: int = 16, offset: int = 0) -> list[int]:
    """The addresses of all objects in a part of a region, by as many calls as it takes."""
    addresses: list[int] = []
    end = offset + size
    while True:
        part = search(machine, region, offset, end - offset, capacity)
        assert part.exception is None
        assert part.size == end - part.offset
        addresses += part.found[::OBSPEC_WORDS]
        if part.offset == end:
            return addresses
        assert part.capacity == 0
        assert offset < part.offset < end or not part.found
        assert capacity, "it would not end"
        offset = part.offset


def pages_changed(machine: Machine, region: Region, size: int, since: int, capacity: int = 16) -> tuple[list[int], int]:
    """The offsets of all pages written since a generation, by as many calls as it takes; and the new generation."""
    offsets: list[int] = []
    offset = generation = 0
    while True:
        part = changed(machine, region, offset, size - offset, capacity, since, generation)
        assert part.exception is None
        assert part.size == size - part.offset
        assert generation in (0, part.generation)
        offsets += part.found
        offset, generation = part.offset, part.generation
        if offset == size:
            return offsets, generation
        assert part.capacity == 0
        assert capacity, "it would not end"


def count_visits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Where calls look from now on, by offset."""
    visits: list[int] = []
    look = region_scan._next_page

    def counted(
        next_in_root: region_scan.NextInRoot, region: Region, offset: int, end: int
    ) -> tuple[int | None, int, int]:
        visits.append(offset)
        return look(next_in_root, region, offset, end)

    monkeypatch.setattr(region_scan, "_next_page", counted)
    return visits


class Watched:
    """A region of which some pages are there, and a consumer that has been round once."""

    def __init__(self, machine: Machine, *present: int, depth: int = 1) -> None:
        self.machine, self.tree = machine, Tree(machine, pages=PAGES, depth=depth)
        self.region = self.tree.regions[-1]
        self.space = machine.new_space()  # sees the machine's memory, and the region at HERE
        machine.map(self.space, self.region, HERE, SIZE)
        for page in present:
            self.tree.touch(page * PAGE_SIZE)
        self.first, self.since = pages_changed(machine, self.region, SIZE, 0)

    def round(self, capacity: int = 16) -> list[int]:
        """The pages that the consumer is told of in its next round."""
        offsets, self.since = pages_changed(self.machine, self.region, SIZE, self.since, capacity)
        assert all(offset % PAGE_SIZE == 0 for offset in offsets)
        return [offset // PAGE_SIZE for offset in offsets]

    def write(self, page: int) -> None:
        assert self.tree.touch(page * PAGE_SIZE, write=True) is None
