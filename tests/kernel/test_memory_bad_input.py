"""Ranges and protections that make no sense, and mappings that go round in circles: told, bounded, nothing changed."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, USER_END, ExceptionCode, Prot, Status
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.tables import Tables
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import HERE, Tree, bits, set_state
from tests.kernel.paging import ALL, FAILED, READ, WRITE, Paging

END = 1 << 64
ARRAYS = {"region_search": "objects", "region_changed": "offsets"}
each_scan = pytest.mark.parametrize("name", ARRAYS)

# -- ranges -----------------------------------------------------------------------------------------------------------


@each_scan
@pytest.mark.parametrize(
    ("offset", "size"),
    [(END - 1, 1), (1, END - 1), (END - PAGE_SIZE, PAGE_SIZE), (END - 1, END - 1), (PAGE_SIZE, END - PAGE_SIZE)],
)  # fmt: skip
def test_part_of_a_region_that_wraps_is_refused(machine: Machine, name: str, offset: int, size: int) -> None:
    tree = Tree(machine)
    result = machine.invoke(name, region=tree.regions[0], offset=offset, size=size, capacity=5)
    assert (result.exception, result.subcode) == (ExceptionCode.INVALID_ADDRESS, offset)


@each_scan
@pytest.mark.parametrize(
    ("offset", "size"),
    [(0, 0), (PAGE_SIZE + 8, 0), (5 * PAGE_SIZE, PAGE_SIZE), (END - 1, 0), (END - 2, 1), (4 * PAGE_SIZE, 1 << 63)],
)  # fmt: skip
def test_part_in_which_nothing_is_has_been_looked_through(machine: Machine, name: str, offset: int, size: int) -> None:
    """The array is as it was."""
    tree, array = Tree(machine), machine.buffer([5] * 14)
    place = {"offset": offset, "size": size, "capacity": 7, ARRAYS[name]: array}
    result = machine.invoke(name, region=tree.regions[0], **place)
    assert (result.exception, result.status) == (None, Status.SUCCESS)
    a1, a2, a4 = (result.registers[number] for number in (11, 12, 14))
    assert (a1, a2, a4) == (offset + size, 0, 7)
    assert machine.read(array, 14) == [5] * 14


@pytest.mark.parametrize("array", [1, 7, HERE + 4, END - 4])
@each_scan
def test_array_that_is_not_aligned_is_refused(machine: Machine, name: str, array: int) -> None:
    tree = Tree(machine)
    result = machine.invoke(name, region=tree.regions[0], size=PAGE_SIZE, capacity=1, **{ARRAYS[name]: array})
    assert (result.exception, result.subcode) == (ExceptionCode.NOT_ALIGNED, array)


@pytest.mark.parametrize(
    ("offset", "pages"), [(END - PAGE_SIZE, 2), (END - 2 * PAGE_SIZE, 3), (END - PAGE_SIZE, USER_END // PAGE_SIZE - 1)]
)
def test_mapping_of_a_part_that_wraps_is_refused(machine: Machine, offset: int, pages: int) -> None:
    """No offset into a region is more than a word."""
    tree = Tree(machine)
    before = tree.mappings[0].export_bits()
    place = bits(region_off=offset, start_va=PAGE_SIZE, size=pages * PAGE_SIZE)
    result = set_state(machine, "mapping", tree.mappings[0], place)
    assert (result.exception, result.subcode) == (ExceptionCode.INVALID_ADDRESS, offset)
    assert tree.mappings[0].export_bits() == before


def test_mapping_of_the_last_page_that_there_can_be_is_asked_for(machine: Machine) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    place = bits(region_off=END - PAGE_SIZE, start_va=paging.view)
    assert set_state(machine, "mapping", paging.view_mapping, place).exception is None
    reader = paging.reader(0, 511)
    machine.run()
    assert keeper.questions[0].offset == END - 8
    keeper.answer(FAILED)
    assert machine.failure(reader) is ExceptionCode.LOAD_FAULT


# -- protection -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["region_protect", "mapping_protect"])
@pytest.mark.parametrize("prot", [8, 16, END - 1, 1 << 63])
def test_protection_that_is_none_is_refused(machine: Machine, name: str, prot: int) -> None:
    tree = Tree(machine)
    target: KernelObject = tree.regions[0] if name == "region_protect" else tree.mappings[0]
    result = machine.invoke(name, **{name.partition("_")[0]: target, "prot": prot})
    assert (result.exception, result.subcode) == (ExceptionCode.INVALID_PROT, prot)
    assert tree.access() == ALL


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("kind", ["region", "mapping"])
def test_protection_is_never_above_what_lies_over_it(machine: Machine, level: int, kind: str) -> None:
    """All below may ask for everything, again and again: it is not theirs to give."""
    tree = Tree(machine, depth=3)
    chain: dict[str, Any] = {"region": tree.regions, "mapping": tree.mappings}
    assert machine.invoke(f"{kind}_protect", **{kind: chain[kind][level], "prot": READ}).exception is None
    for other in ("region", "mapping"):
        for below in range(level if other != kind and kind == "region" else level + 1, 3):
            machine.invoke(f"{other}_protect", **{other: chain[other][below], "prot": ALL})
    assert tree.access() == READ
    assert tree.touch(write=True) is ExceptionCode.STORE_FAULT
    machine.invoke(f"{kind}_protect", **{kind: chain[kind][level], "prot": ALL})
    assert tree.access() == ALL
    assert tree.touch(write=True) is None


@pytest.mark.parametrize("prot", [Prot.NONE, Prot.WRITE, Prot.EXECUTE, Prot.WRITE | Prot.EXECUTE])
def test_memory_that_cannot_be_read_cannot_be_written(machine: Machine, prot: Prot) -> None:
    tree = Tree(machine)
    machine.invoke("region_protect", region=tree.regions[0], prot=int(prot))
    assert tree.access() == int(prot & Prot.EXECUTE)
    assert [tree.touch(), tree.touch(write=True)] == [ExceptionCode.LOAD_FAULT, ExceptionCode.STORE_FAULT]


def test_protecting_takes_the_right_to_write_the_object(machine: Machine) -> None:
    tree, paging = Tree(machine), Paging(machine, present=True)
    region, mapping = paging.new(Region), paging.new(Mapping, slot=2)
    paging.bring(0, READ)
    machine.load(paging.region, None, keeper=None)
    for kind, target in (("region", region), ("mapping", mapping)):
        thread = paging.spawn(machine.call(f"{kind}_protect", **{kind: target, "prot": ALL}))
        machine.run()
        assert machine.failure(thread) is ExceptionCode.STORE_FAULT
    assert (region.prot, mapping.prot) == (0, 0)
    assert tree.access() == ALL


# -- circles ----------------------------------------------------------------------------------------------------------


def circle(machine: Machine, kind: str, pages: int = 16) -> tuple[Space, Region, list[Mapping], Paging]:
    """A region with a keeper, that is mapped into the very memory that it is made of."""
    paging = Paging(machine)
    space, region = machine.new(Space), machine.new(Region)
    other, between = machine.new(Space), machine.new(Region)
    size = pages * PAGE_SIZE
    whole = {"start_va": HERE, "size": size, "prot": ALL}
    machine.load(region, whole, space=space, keeper=paging.port)
    machine.load(between, whole, space=other)
    mappings = [machine.new(Mapping) for _ in range(2)]
    if kind == "itself":
        machine.load(mappings[0], bits(size=size), region=region, space=space)
    elif kind == "the page after":
        machine.load(mappings[0], bits(size=size - PAGE_SIZE, region_off=PAGE_SIZE), region=region, space=space)
    else:
        machine.load(mappings[0], bits(size=size), region=between, space=space)
        machine.load(mappings[1], bits(size=size), region=region, space=other)
    return space, region, mappings, paging


KINDS = ("itself", "the page after", "another that is made of it")
each_circle = pytest.mark.parametrize("kind", KINDS)


@each_circle
@pytest.mark.parametrize("access", [READ, WRITE])
def test_memory_made_of_itself_is_nowhere(machine: Machine, kind: str, access: int) -> None:
    """Where each page is the one after, there is a last one, and for that the keeper is asked."""
    space, region, _, paging = circle(machine, kind)
    keeper = paging.keeper()
    thread = machine.spawn(("load" if access == READ else "store", "s2", "zero", HERE + 8), space=space)
    machine.run()
    if kind == "the page after":
        assert [(each.region_hash, each.offset) for each in keeper.questions] == [(region.hash, 15 * PAGE_SIZE + 8)]
        keeper.answer(FAILED)
    fault = ExceptionCode.LOAD_FAULT if access == READ else ExceptionCode.STORE_FAULT
    assert machine.failure(thread) is fault


@each_circle
@each_scan
def test_memory_made_of_itself_can_be_looked_through(machine: Machine, kind: str, name: str) -> None:
    """It takes as long as other memory in which nothing is, however much there seems to be."""
    _, region, _, _ = circle(machine, kind, pages=1 << 20)
    begin = machine.core.time
    array = {ARRAYS[name]: machine.buffer([0] * 8)}
    result = machine.invoke(name, region=region, size=1 << 32, capacity=4, **array)
    assert (result.exception, result.status) == (None, Status.SUCCESS)
    assert (result.registers[11], result.registers[14]) == (1 << 32, 4)
    assert machine.core.time - begin < 100_000


@each_circle
@pytest.mark.parametrize("change", ["region_protect", "mapping_protect", "mapping_destroy", "region_destroy"])
def test_memory_made_of_itself_can_be_taken_back(
    machine: Machine, kind: str, change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a bounded number of steps."""
    _, region, mappings, _ = circle(machine, kind)
    steps: list[int] = []
    for name in ("forget", "drop"):
        monkeypatch.setattr(Tables, name, lambda *_: steps.append(1))
    target: dict[str, KernelObject] = {"region": region, "mapping": mappings[0]}
    prefix = change.partition("_")[0]
    operands: dict[str, Any] = {prefix: target[prefix]} | ({"prot": 1} if "protect" in change else {})
    assert machine.invoke(change, **operands).exception is None
    assert len(steps) < 1000
