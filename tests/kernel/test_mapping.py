"""The states of regions and mappings: what they may be, and that mappings do not overlap."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, USER_END, USER_START, ExceptionCode
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import ALL, HERE, READ, Tree, bits, entry_of, set_state


@pytest.mark.parametrize(
    ("kind", "fields", "code"),
    [
        ("mapping", {"start_va": HERE + 1}, ExceptionCode.NOT_ALIGNED),
        ("mapping", {"size": 100}, ExceptionCode.NOT_ALIGNED),
        ("mapping", {"region_off": 8}, ExceptionCode.NOT_ALIGNED),
        ("mapping", {"prot": 8}, ExceptionCode.INVALID_PROT),
        ("mapping", {"prot": 1 << 63}, ExceptionCode.INVALID_PROT),
        ("mapping", {"start_va": 0}, ExceptionCode.INVALID_ADDRESS),
        ("mapping", {"start_va": USER_END}, ExceptionCode.INVALID_ADDRESS),
        ("mapping", {"start_va": USER_END - PAGE_SIZE, "size": 2 * PAGE_SIZE}, ExceptionCode.INVALID_ADDRESS),
        ("mapping", {"start_va": 2**64 - PAGE_SIZE, "size": 2 * PAGE_SIZE}, ExceptionCode.INVALID_ADDRESS),
        ("region", {"start_va": HERE + 1}, ExceptionCode.NOT_ALIGNED),
        ("region", {"size": 100}, ExceptionCode.NOT_ALIGNED),
        ("region", {"prot": 8}, ExceptionCode.INVALID_PROT),
        ("region", {"start_va": 2**64 - PAGE_SIZE, "size": 2 * PAGE_SIZE}, ExceptionCode.INVALID_ADDRESS),
    ],
)  # fmt: skip
def test_impossible_states_are_refused_whole(
    machine: Machine, kind: str, fields: dict[str, int], code: ExceptionCode
) -> None:
    target: Any = machine.new({"mapping": Mapping, "region": Region}[kind])
    before = target.export_bits()
    space = machine.reference(machine.new(Space))
    result = set_state(machine, kind, target, bits(**fields), space_ref=space)
    assert result.exception is code
    assert target.export_bits() == before
    assert target.space is None


def test_whole_user_range_can_be_mapped(machine: Machine) -> None:
    mapping, space = machine.new(Mapping), machine.reference(machine.new(Space))
    state = bits(start_va=USER_START, size=USER_END - USER_START)
    assert set_state(machine, "mapping", mapping, state, space_ref=space).exception is None


@pytest.mark.parametrize(
    ("first", "pages", "free"),
    [(0, 1, False), (1, 1, False), (2, 1, False), (-1, 1, True), (3, 1, True), (-1, 2, False),
     (-1, 5, False), (2, 2, False), (-2, 2, True), (0, 0, True), (1, 0, False), (3, 0, True)],
)  # fmt: skip
def test_mappings_do_not_overlap(machine: Machine, first: int, pages: int, free: bool) -> None:
    """Against a mapping of pages 0 to 2."""
    space = machine.new(Space)
    there, new = machine.new(Mapping), machine.new(Mapping)
    machine.load(there, bits(size=3 * PAGE_SIZE), region=machine.region, space=space)
    state = bits(start_va=HERE + first * PAGE_SIZE, size=pages * PAGE_SIZE)
    reference = machine.reference(space)
    result = set_state(machine, "mapping", new, state, space_ref=reference)
    assert result.exception is (None if free else ExceptionCode.ADDRESS_OVERLAP)
    assert (new.space is space) == free


def test_mapping_can_be_set_over_itself(machine: Machine) -> None:
    tree = Tree(machine)
    state = bits(start_va=HERE + PAGE_SIZE, size=4 * PAGE_SIZE)
    assert set_state(machine, "mapping", tree.mappings[0], state).exception is None
    assert tree.touch() is ExceptionCode.LOAD_FAULT
    assert tree.touch(PAGE_SIZE) is None


@pytest.mark.parametrize("empty_first", [True, False])
def test_empty_mapping_hides_nothing(machine: Machine, empty_first: bool) -> None:
    """Where it shares its start with another, that one is seen, and is still in the way of a third."""
    space, region = machine.new(Space), machine.region
    sizes = [0, 4 * PAGE_SIZE]
    for size in sizes if empty_first else reversed(sizes):
        machine.load(machine.new(Mapping), bits(size=size), region=region, space=space)
    assert entry_of(machine, space, HERE, READ) is not None
    reference = machine.reference(space)
    for start in (HERE, HERE + PAGE_SIZE):
        third = machine.new(Mapping)
        result = set_state(machine, "mapping", third, bits(start_va=start), space_ref=reference)
        assert result.exception is ExceptionCode.ADDRESS_OVERLAP


def test_state_and_links_come_back(machine: Machine) -> None:
    tree = Tree(machine)
    mapping, region = tree.mappings[0], tree.regions[0]
    state, first, second = machine.buffer(8), machine.reference(), machine.reference()
    machine.invoke("mapping_get_state", mapping=mapping, state=state, region_ref=first, space_ref=second)
    assert machine.read(state, 5) == [mapping.hash, 0, HERE, 4 * PAGE_SIZE, ALL]
    assert (first.target, second.target) == (region, tree.space)
    machine.invoke("region_get_state", region=region, state=state, space_ref=first, keeper_ref=second)
    assert machine.read(state, 4) == [region.hash, tree.memory, 4 * PAGE_SIZE, ALL]
    assert (first.target, second.target) == (machine.space, None)
