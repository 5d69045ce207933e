"""Who sees which memory with what access down the tree of mappings, and how it is taken away again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode
from fluke_async.kernel import revocation
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.params import MAPPING_DEPTH_MAX
from tests.kernel.invariants import check
from tests.kernel.machine import MEMORY, Machine
from tests.kernel.memory_tree import ALL, HERE, READ, WRITE, Tree, bits, entry_of, set_state

# -- seeing the same memory ------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_mapped_memory_is_the_same_memory(machine: Machine, depth: int) -> None:
    tree = Tree(machine, depth=depth)
    machine.write(tree.memory + 8, [1234])
    thread = machine.spawn(
        ("load", "s2", "zero", HERE + 8),
        ("li", "s3", 99),
        ("store", "s3", "zero", HERE + PAGE_SIZE),
        space=tree.space,
    )
    machine.run()
    assert machine.done(thread)
    assert machine.register(thread, "s2") == 1234
    assert machine.word(tree.memory + PAGE_SIZE) == 99


def test_offset_and_end_of_the_region(machine: Machine) -> None:
    """A mapping may begin inside the region and pass its end: nothing is there."""
    tree = Tree(machine, pages=4)
    machine.write(tree.memory + 3 * PAGE_SIZE, [77])
    state = bits(region_off=2 * PAGE_SIZE, size=4 * PAGE_SIZE)
    assert set_state(machine, "mapping", tree.mappings[0], state).exception is None
    thread = machine.spawn(("load", "s2", "zero", HERE + PAGE_SIZE), space=tree.space)
    machine.run()
    assert machine.register(thread, "s2") == 77
    assert tree.touch(2 * PAGE_SIZE) is ExceptionCode.LOAD_FAULT


def test_two_mappings_of_one_page_in_one_space(machine: Machine) -> None:
    tree = Tree(machine)
    again = machine.new(Mapping)
    state = bits(start_va=HERE + 0x100_0000)
    machine.load(again, state, region=tree.regions[0], space=tree.space)
    thread = machine.spawn(
        ("li", "s2", 5),
        ("store", "s2", "zero", HERE),
        ("load", "s3", "zero", HERE + 0x100_0000),
        space=tree.space,
    )
    machine.run()
    assert machine.register(thread, "s3") == 5


# -- access ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("kind", ["region", "mapping"])
def test_access_is_what_all_on_the_way_grant(machine: Machine, level: int, kind: str) -> None:
    tree = Tree(machine, depth=3)
    assert tree.access() == ALL
    assert tree.touch(write=True) is None
    target: Any = (tree.regions if kind == "region" else tree.mappings)[level]
    start = tree.memory if kind == "region" and level == 0 else HERE
    state = bits(start_va=start, size=4 * PAGE_SIZE, prot=READ)
    assert set_state(machine, kind, target, state).exception is None
    assert tree.access() == READ
    assert tree.touch() is None
    assert tree.touch(write=True) is ExceptionCode.STORE_FAULT
    set_state(machine, kind, target, {**state, "prot": 0})
    assert tree.touch() is ExceptionCode.LOAD_FAULT
    set_state(machine, kind, target, {**state, "prot": ALL})
    assert tree.touch(write=True) is None


@pytest.mark.parametrize("level", [0, 1, 2])
@pytest.mark.parametrize("what", ["region", "mapping", "space"])
def test_destroying_any_link_of_the_chain_takes_the_memory_away(machine: Machine, level: int, what: str) -> None:
    tree = Tree(machine, depth=3)
    assert tree.touch() is None
    if what == "space" and level == 2:
        level = 1  # the innermost is where the program is
    chain: dict[str, Any] = {"region": tree.regions, "mapping": tree.mappings, "space": tree.spaces}
    target = chain[what][level]
    assert machine.invoke(f"{what}_destroy", **{what: target}).exception is None
    assert tree.touch() is ExceptionCode.LOAD_FAULT


@pytest.mark.parametrize("link", ["region", "space"])
def test_clearing_a_link_takes_the_memory_away(machine: Machine, link: str) -> None:
    tree = Tree(machine, depth=2)
    assert tree.touch() is None
    null = machine.reference()
    machine.invoke("mapping_set_state", mapping=tree.mappings[0], **{f"{link}_ref": null})
    assert tree.touch() is ExceptionCode.LOAD_FAULT
    other = Tree(machine)
    machine.invoke("region_set_state", region=other.regions[0], space_ref=null)
    assert other.touch() is ExceptionCode.LOAD_FAULT


def test_running_program_loses_its_memory_at_once(machine: Machine) -> None:
    tree = Tree(machine)
    thread = machine.spawn(
        "again",
        ("load", "s2", "zero", HERE),
        ("add", "s3", "s3", 1),
        ("jump", "again"),
        space=tree.space,
    )
    machine.run_for(1000)
    machine.invoke("mapping_destroy", mapping=tree.mappings[0])
    assert machine.failure(thread) is ExceptionCode.LOAD_FAULT


def test_threads_of_a_destroyed_space_cannot_run(machine: Machine) -> None:
    tree = Tree(machine)
    computing = machine.spawn(("burn", 10**6), space=tree.space)
    machine.run_for(100)
    machine.invoke("space_destroy", space=tree.space)
    assert computing.space is None
    assert not computing.runnable
    assert not machine.done(computing)


def test_thread_that_destroys_its_own_space_stops_there(machine: Machine) -> None:
    space = machine.new(Space)
    machine.map(space, machine.region, MEMORY, 1 << 20, offset=MEMORY)
    thread = machine.spawn(machine.call("space_destroy", space=space), ("burn", 5), space=space)
    machine.run()
    assert not thread.runnable
    assert not space.active
    assert machine.register(thread, "a0") == 0


# -- cycles ----------------------------------------------------------------------------------------


def test_region_mapped_into_its_own_space_ends(machine: Machine) -> None:
    space, region, mapping = machine.new(Space), machine.new(Region), machine.new(Mapping)
    machine.load(region, {"start_va": HERE, "size": PAGE_SIZE, "prot": ALL}, space=space)
    machine.load(mapping, bits(), region=region, space=space)
    thread = machine.spawn(("load", "s2", "zero", HERE), space=space)
    machine.run()
    assert machine.failure(thread) is ExceptionCode.LOAD_FAULT
    assert machine.invoke("mapping_destroy", mapping=mapping).exception is None


def test_chain_that_is_too_long_ends(machine: Machine) -> None:
    assert Tree(machine, depth=MAPPING_DEPTH_MAX - 2).access() == ALL
    assert Tree(machine, depth=MAPPING_DEPTH_MAX).access() == 0


def test_revoking_in_a_web_of_cycles_ends(machine: Machine) -> None:
    spaces = [machine.new(Space) for _ in range(3)]
    regions = [machine.new(Region) for _ in range(3)]
    for region, space in zip(regions, spaces, strict=True):
        machine.load(region, {"start_va": HERE, "size": 16 * PAGE_SIZE, "prot": ALL}, space=space)
    for number, region in enumerate(regions):
        for index, space in enumerate(spaces):
            start = HERE + (4 * number + index) * PAGE_SIZE
            machine.load(machine.new(Mapping), bits(start_va=start), region=region, space=space)
    assert machine.invoke("region_destroy", region=regions[0]).exception is None


# -- bounds ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("views", [10, 19, 21])
@pytest.mark.parametrize("kind", ["region", "mapping"])
def test_taking_back_reaches_every_view_however_many_there_are(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, views: int, kind: str
) -> None:
    """One step in every configuration; where it would be long, tables are emptied that need not be."""
    monkeypatch.setattr(revocation, "REVOKED_RANGES_MAX", 20)
    tree = Tree(machine)
    inner, elsewhere = machine.new(Region), Tree(machine)
    machine.load(inner, {"start_va": HERE, "size": PAGE_SIZE, "prot": ALL}, space=tree.space)
    space = machine.new(Space)
    starts = [HERE + 2 * number * PAGE_SIZE for number in range(views)]
    for start in starts:
        machine.load(machine._parent(Mapping), bits(start_va=start), region=inner, space=space)
        thread = machine.spawn(("load", "s2", "zero", start), space=space)
        machine.run()
        assert machine.done(thread)
    assert elsewhere.touch() is None
    assert len(space.pages) >= views
    target = {"region": inner, "mapping": tree.mappings[0]}[kind]
    assert machine.invoke(f"{kind}_protect", **{kind: target}, prot=0).exception is None
    assert not space.pages
    assert bool(elsewhere.space.pages) == (views < 20)
    check(machine.core)


def test_taking_back_looks_at_so_many_regions_only(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(revocation, "REVOKED_LOOKS_MAX", 5)
    tree, elsewhere = Tree(machine), Tree(machine)
    for count in range(8):
        assert (tree.touch(), elsewhere.touch()) == (None, None)
        assert machine.invoke("mapping_protect", mapping=tree.mappings[0], prot=ALL).exception is None
        assert not tree.space.pages
        assert bool(elsewhere.space.pages) == (count <= 5)
        region = machine._parent(Region)
        machine.load(region, {"start_va": HERE, "size": PAGE_SIZE, "prot": ALL}, space=tree.space)


# -- at random -------------------------------------------------------------------------------------

PAGES = st.integers(0, 6)
CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["mapping", "mapping", "region", "touch", "touch", "destroy"]),
        st.integers(0, 3), PAGES, PAGES, PAGES, st.sampled_from([0, 1, 3, 7]), st.integers(0, 3),
        st.integers(0, 3),
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(CHANGES)
def test_page_tables_agree_with_the_tree_whatever_is_changed(
    changes: list[tuple[str, int, int, int, int, int, int, int]],
) -> None:
    """Entries are made by touching; after every change each is what a walk of the tree finds."""
    machine = Machine()
    space: Any
    spaces = [machine.space, *(machine.new(Space) for _ in range(3))]
    regions = [machine.new(Region) for _ in range(4)]
    mappings = [machine.new(Mapping) for _ in range(4)]
    base = machine.buffer(8 * PAGE_SIZE // 8)
    for kind, index, start, size, offset, prot, who, whom in changes:
        address = base + start * PAGE_SIZE
        fields = {"start_va": address, "size": size * PAGE_SIZE, "prot": prot}
        if kind == "touch":
            for page in range(8):
                for access in (READ, WRITE):
                    entry = entry_of(machine, spaces[who], base + page * PAGE_SIZE, access)
                    if entry is not None:
                        machine.core.tables.enter(spaces[who], {base // PAGE_SIZE + page: entry})
        elif kind == "region":
            machine.load(regions[index], fields, space=spaces[who])
        elif kind == "destroy":
            machine.core.destroy(mappings[index])
            mappings[index] = machine.new(Mapping)
        else:
            space = spaces[1 + who % 3]
            fields["region_off"] = offset * PAGE_SIZE
            if space.overlapping(address, fields["size"], but=mappings[index]) is None:
                machine.load(mappings[index], fields, region=regions[whom], space=space)
        check(machine.core)


def test_another_keeper_takes_nothing_back(machine: Machine) -> None:
    tree = Tree(machine, depth=2)
    assert tree.touch(write=True) is None
    pages = dict(tree.space.pages)
    machine.core.tables.changed.clear()
    machine.load(tree.regions[0], keeper=machine.new(Port))
    assert tree.space.pages == pages != {}
    assert not machine.core.tables.changed
