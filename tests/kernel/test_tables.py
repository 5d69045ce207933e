"""Tables of translations are soft: their room is bounded, what is in them may go at any time, and nobody sees it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluke_async.abi.codes import PAGE_SIZE, TRANSLATION_CHARGE_BYTES, TRANSLATIONS_PER_FRAME
from fluke_async.cpu.scripted_cpu import ScriptedCpu
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.params import PICKED_PAGES_MAX, TRANSLATED_SPACES_MAX, TRANSLATIONS_MIN
from fluke_async.kernel.tables import Tables
from fluke_async.kernel.trace import Event
from tests.kernel.machine import STEPS_MAX, Machine
from tests.kernel.memory_tree import HERE, Tree, bits

MANY = 1000 * PAGE_SIZE


def space_with(tables: Tables, *pages: int) -> Space:
    space = Space(0, 0)
    tables.enter(space, dict.fromkeys(pages, 7))
    tables.changed.clear()
    return space


# -- room ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [0, 1, TRANSLATIONS_MIN, 1000, 100_000])
def test_room_is_for_so_many_entries_for_each_frame(frames: int) -> None:
    expected = max(TRANSLATIONS_MIN, frames * TRANSLATIONS_PER_FRAME)
    assert Tables(frames * PAGE_SIZE).capacity == expected


@pytest.mark.parametrize("frames", [0, 1, 16, 100, 4096])
def test_quota_is_less_by_what_the_tables_cost(frames: int) -> None:
    core = Core(ScriptedCpu(PAGE_SIZE, {}), frames * PAGE_SIZE)
    cost = max(TRANSLATIONS_MIN, frames * TRANSLATIONS_PER_FRAME) * TRANSLATION_CHARGE_BYTES
    assert core.quota.limit_bytes == max(0, frames * PAGE_SIZE - cost)
    assert core.quota.used_bytes == 0


def test_full_tables_are_emptied_all_of_them() -> None:
    tables = Tables(0)
    first = space_with(tables, *range(TRANSLATIONS_MIN - 1))
    second = space_with(tables, 5)
    assert tables.used == tables.capacity
    tables.enter(second, {6: 7, 7: 7})
    assert first.pages == {}
    assert second.pages == {6: 7, 7: 7}
    assert tables.used == 2
    assert tables.changed


def test_entry_that_is_replaced_takes_no_room() -> None:
    tables = Tables(0)
    space = space_with(tables, 1, 2)
    tables.enter(space, {1: 3})
    assert (tables.used, space.pages) == (2, {1: 3, 2: 7})


def test_so_many_spaces_have_tables_and_the_first_gives_up_its_own() -> None:
    tables = Tables(10**9)
    spaces = [space_with(tables, 1, 2) for _ in range(TRANSLATED_SPACES_MAX)]
    assert all(space.pages for space in spaces)
    newest = space_with(tables, 5)
    tables.enter(spaces[1], {7: 7})  # one that has a table takes nobody's place
    assert [bool(space.pages) for space in spaces[:3]] == [False, True, True]
    assert tables.used == 2 * (TRANSLATED_SPACES_MAX - 1) + 2
    tables.empty()
    assert tables.used == 0
    assert not any(space.pages for space in (*spaces, newest))


OPERATIONS = st.lists(
    st.tuples(
        st.sampled_from(["enter", "enter", "enter", "forget", "drop", "empty"]),
        st.integers(0, 2),
        st.integers(0, 90),
        st.integers(0, 2 * PICKED_PAGES_MAX),
    ),
    max_size=40,
)


@settings(max_examples=100, deadline=None)
@given(OPERATIONS)
def test_whatever_is_done_room_is_kept_and_nothing_is_there_that_should_not_be(
    operations: list[tuple[str, int, int, int]],
) -> None:
    tables = Tables(0)
    spaces = [Space(0, 0) for _ in range(3)]
    could_be: list[dict[int, int]] = [{}, {}, {}]
    for number, (what, who, first, count) in enumerate(operations):
        space, possible = spaces[who], could_be[who]
        before = [(each.pages, dict(each.pages)) for each in spaces]
        tables.changed.clear()
        if what == "enter":
            entries = dict.fromkeys(range(first, first + min(count, 16)), number)
            tables.enter(space, entries)
            possible.update(entries)
            assert entries.items() <= space.pages.items()
        elif what == "forget":
            tables.forget(space, first, first + count)
            for page in range(first, first + count):
                possible.pop(page, None)
        elif what == "drop":
            tables.drop(space)
            possible.clear()
        else:
            tables.empty()
            could_be = [{}, {}, {}]
        for each, expected, (pages, content) in zip(spaces, could_be, before, strict=True):
            assert each.pages.items() <= expected.items()
            gone = content.keys() - each.pages.keys()
            is_told = id(pages) in tables.changed if each.pages is pages else bool(tables.changed)
            assert is_told or (each.pages is pages and not gone), "the engine would go on with them"
        assert tables.used == sum(len(each.pages) for each in spaces) <= tables.capacity


# -- forgetting ------------------------------------------------------------------------------------


def test_small_range_is_picked_out() -> None:
    tables = Tables(MANY)
    space = space_with(tables, *range(200))
    pages = space.pages
    tables.forget(space, 10, 10 + PICKED_PAGES_MAX)
    assert space.pages is pages
    assert set(pages) == {*range(10), *range(10 + PICKED_PAGES_MAX, 200)}
    assert (tables.used, [*tables.changed.values()]) == (200 - PICKED_PAGES_MAX, [pages])


def test_small_table_keeps_what_is_outside_of_a_large_range() -> None:
    tables = Tables(MANY)
    inside = range(1000, 1000 + PICKED_PAGES_MAX - 2)
    space = space_with(tables, 1, *inside, 1 << 40)
    pages = space.pages
    tables.forget(space, 1000, 1 << 40)
    assert space.pages is pages
    assert set(pages) == {1, 1 << 40}
    assert (tables.used, [*tables.changed.values()]) == (2, [pages])


@pytest.mark.parametrize("count", [PICKED_PAGES_MAX + 1, 2**52])
def test_large_range_is_dropped_in_constant_time_with_the_whole_table(count: int) -> None:
    """The old dictionary is left as it is; its identity tells the engine."""
    tables = Tables(MANY)
    space, other = space_with(tables, *range(200)), space_with(tables, 1)
    pages = space.pages
    tables.forget(space, 0, count)
    assert space.pages == {}
    assert len(pages) == 200
    assert space.pages is not pages
    assert (tables.used, [*tables.changed.values()], other.pages) == (1, [{}], {1: 7})


@pytest.mark.parametrize(("first", "end"), [(300, 310), (5, 5), (5, 4), (300, 300 + PICKED_PAGES_MAX)])
def test_engine_is_not_disturbed_where_nothing_was(first: int, end: int) -> None:
    tables = Tables(MANY)
    space = space_with(tables, *range(200))
    tables.forget(space, first, end)
    assert (tables.used, tables.changed) == (200, {})


def test_what_nobody_is_told_of_does_not_pile_up() -> None:
    """Where only the host's threads run, no engine asks what has changed."""
    tables = Tables(MANY)
    for _ in range(20):
        space = Space(0, 0)
        for _ in range(5):
            tables.enter(space, dict.fromkeys(range(200), 7))
            tables.forget(space, 10, 12)
            tables.drop(space)
    assert len(tables.changed) == 1


def test_space_without_entries_has_nothing_to_forget() -> None:
    tables = Tables(MANY)
    tables.forget(Space(0, 0), 0, 2**52)
    assert not tables.changed


# -- softness --------------------------------------------------------------------------------------


def memory_user(machine: Machine) -> tuple[Tree, Any]:
    """A program that writes and reads all over its memory and makes objects there."""
    tree = Tree(machine, pages=6, depth=2)
    rounds = [
        part
        for page in (0, 3, 1, 5, 0, 4)
        for part in (
            ("load", "s2", "zero", HERE + page * PAGE_SIZE + 8),
            ("add", "s3", "s3", page + 1),
            ("store", "s3", "zero", HERE + page * PAGE_SIZE + 8),
            machine.call("mutex_create", mutex=HERE + page * PAGE_SIZE + 64),
            machine.call("mutex_lock", mutex=HERE + page * PAGE_SIZE + 64),
            machine.call("mutex_destroy", mutex=HERE + page * PAGE_SIZE + 64),
        )
    ]
    return tree, machine.spawn(*rounds, space=tree.space)


@pytest.mark.parametrize("what", ["tables", "table"])
def test_nobody_notices_that_translations_are_forgotten_at_any_time(
    machine: Machine, model: str, preemption: str, what: str
) -> None:
    undisturbed = Machine(model, preemption)
    tree, thread = memory_user(undisturbed)
    undisturbed.run()
    assert undisturbed.done(thread)
    disturbed_tree, disturbed = memory_user(machine)
    for _ in range(STEPS_MAX):
        if machine.step() is Outcome.IDLE:
            break
        if machine.events[-1][1] is Event.FAULT:
            continue  # the instruction that has asked for the page is to have its turn
        if what == "tables":
            machine.core.tables.empty()
        else:
            machine.core.tables.drop(disturbed_tree.space)
    machine.hart.park_resident()
    undisturbed.hart.park_resident()
    assert list(disturbed.registers) == list(thread.registers)
    assert machine.core.time == undisturbed.core.time
    assert [event for event in machine.events if event[1] is not Event.FAULT] == [
        event for event in undisturbed.events if event[1] is not Event.FAULT
    ]
    size = 6 * PAGE_SIZE // 8
    assert machine.read(disturbed_tree.memory, size) == undisturbed.read(tree.memory, size)


def test_program_may_touch_more_pages_than_there_is_room_for(model: str) -> None:
    """One page seen at many places: it is found again at each."""
    machine = Machine(model, memory_bytes=100 * PAGE_SIZE)
    tree = Tree(machine, pages=1)
    places = machine.core.tables.capacity // 2  # each costs a mapping
    region, space = tree.regions[0], tree.space
    for number in range(places):
        machine.map(space, region, HERE + (number + 1) * 32 * PAGE_SIZE, PAGE_SIZE)
    again = [("load", "s3", "zero", HERE + number * 32 * PAGE_SIZE) for number in range(places)]
    machine.core.tables.capacity = places // 2
    thread = machine.spawn(("li", "s2", 99), ("store", "s2", "zero", HERE), again * 2, space=space)
    highest = 0
    while machine.step() is not Outcome.IDLE:
        highest = max(highest, machine.core.tables.used)
    assert machine.done(thread)
    assert machine.register(thread, "s3") == 99
    assert 16 < highest <= machine.core.tables.capacity


def test_destroyed_space_gives_its_room_back(machine: Machine) -> None:
    tree = Tree(machine, pages=4)
    before = machine.core.tables.used
    machine.core.tables.drop(machine.space)
    tree.touch()
    assert machine.core.tables.used > 0
    pages = len(tree.space.pages)
    others = machine.core.tables.used - pages
    machine.core.destroy(tree.space)
    assert machine.core.tables.used == others <= before + pages
    assert pages > 0


def test_mapping_over_a_large_range_is_taken_back_at_once(machine: Machine) -> None:
    """A table with many entries is dropped whole, and no page of it is looked at."""
    tree = Tree(machine, pages=2)
    mapping = tree.mappings[0]
    machine.load(mapping, bits(size=1 << 37), region=tree.regions[0], space=tree.space)
    assert tree.touch() is None
    pages = tree.space.pages
    machine.core.tables.enter(tree.space, dict.fromkeys(range(1 << 50, (1 << 50) + PICKED_PAGES_MAX), 7))
    assert machine.invoke("mapping_protect", mapping=mapping, prot=0).exception is None
    assert tree.space.pages is not pages
    assert pages
    assert tree.access() == 0
