"""A hold has the contents of its moment, whoever writes while it is taken; a program notices nothing."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel import user_memory
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.slab import Slab
from fluke_async.kernel.translation import ALL, FRAME_MASK, WRITE, resolve_softly
from tests.kernel.holding import SIZE, contents, filled, hold, take
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import HERE
from tests.kernel.two_slabs import Slabs

# -- the moment ------------------------------------------------------------------------------------


@pytest.mark.parametrize("most_pages", [1, 2, 3, 100])
def test_pages_are_those_of_the_moment(machine: Machine, most_pages: int) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    for page in range(4):
        slabs.store(0, page, 7)
    assert take(slabs, held, most_pages) == copy
    assert slabs.loads(0) == [7] * 4


@pytest.mark.parametrize("taken", range(4))
def test_page_that_is_written_when_some_have_been_taken_is_as_it_was(machine: Machine, taken: int) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    first = dict(held.take(slabs.core, taken))
    for number in range(2):
        for page in range(3):
            slabs.store(0, page, 50 + number)
    assert len(first) == taken
    assert first | take(slabs, held) == copy


def test_page_that_nobody_writes_is_read_when_it_is_taken(machine: Machine) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    slabs.loads(0)
    assert take(slabs, held) == copy


def test_page_that_has_been_taken_is_not_kept_when_it_is_written(machine: Machine) -> None:
    slabs = filled(machine)
    held, _ = hold(slabs)
    (offset, _), *_ = held.take(machine.core, 1)
    for page in range(3):
        slabs.store(0, page, 8)
    _, taken, kept = held.pages_of_the_moment()
    first = slabs.starts[0] // PAGE_SIZE
    assert taken == {first + offset // PAGE_SIZE}
    assert kept == {first, first + 1, first + 2} - taken


def test_page_that_comes_later_is_not_part_of_it(machine: Machine) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    held.take(slabs.core, 1)
    slabs.load(0, 3)
    assert len(take(slabs, held)) == 2
    assert set(contents(slabs)) - set(copy) == {3 * PAGE_SIZE}


@pytest.mark.parametrize(("start", "size"), [(0, 0), (0, 1), (1, 1), (1, 2), (0, 3), (2, 2), (3, 1)])
def test_part_of_a_slab_is_held_alone(machine: Machine, start: int, size: int) -> None:
    slabs = filled(machine)
    copy = contents(slabs)
    held = machine.core.root.hold(machine.core, slabs.starts[0] + start * PAGE_SIZE, size * PAGE_SIZE)
    for page in range(4):
        slabs.store(0, page, 9)
    expected = {page: copy[page * PAGE_SIZE] for page in range(start, start + size) if page < 3}
    assert take(slabs, held) == {(page - start) * PAGE_SIZE: content for page, content in expected.items()}


def test_slab_without_pages_is_done_at_the_first_look(machine: Machine) -> None:
    slabs = Slabs(machine)
    held, _ = hold(slabs)
    slabs.store(0, 0, 1)
    assert held.take(machine.core, 1) == []
    assert held.is_done


def test_nothing_is_given_twice(machine: Machine) -> None:
    slabs = filled(machine)
    held, _ = hold(slabs)
    assert len(take(slabs, held)) == 3
    assert held.take(machine.core, 10) == []
    assert not held._pages
    assert not held._kept


# -- who writes ------------------------------------------------------------------------------------


def test_call_that_writes_a_state_into_a_held_page_is_noticed(machine: Machine) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    mutex = machine.new(Mutex)
    state = HERE + 2 * PAGE_SIZE - 16  # it passes the end of a page
    assert machine.done(slabs.spawn(0, machine.call("mutex_get_state", mutex=mutex, state=state)))
    assert held.written == {slabs.starts[0] // PAGE_SIZE + page for page in (1, 2)}
    assert take(slabs, held) == copy != contents(slabs)


def test_message_that_arrives_in_held_pages_is_noticed(machine: Machine) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    source, target = (machine.spawn(space=slabs.spaces[slab], start=False) for slab in (1, 0))
    user_memory.write(machine.core, source, HERE, b"\xaa" * 3 * PAGE_SIZE)
    user_memory.copy_words(machine.core, source, HERE + 8, target, HERE + 80, 2 * PAGE_SIZE // 8)
    check(machine.core)
    assert take(slabs, held) == copy != contents(slabs)


def test_message_from_one_held_page_to_another_has_what_was_there(machine: Machine) -> None:
    """What is kept is another place than what is copied."""
    slabs = filled(machine)
    held, copy = hold(slabs)
    thread = machine.spawn(space=slabs.spaces[0], start=False)
    user_memory.copy_words(machine.core, thread, HERE, thread, HERE + PAGE_SIZE, 1)
    user_memory.copy_words(machine.core, thread, HERE + PAGE_SIZE, thread, HERE + 2 * PAGE_SIZE, 1)
    assert slabs.loads(0)[:3] == [100] * 3
    assert take(slabs, held) == copy


def test_object_that_is_made_in_a_held_page_changes_nothing_of_the_moment(machine: Machine) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    assert machine.done(slabs.spawn(0, machine.call("mutex_create", mutex=HERE + 64)))
    slabs.store(0, 0, 1)
    assert take(slabs, held) == copy
    assert machine.done(slabs.spawn(0, machine.call("mutex_trylock", mutex=HERE + 64)))


def test_page_with_objects_is_held_like_any_other(machine: Machine) -> None:
    slabs = filled(machine)
    slabs.spawn(0, machine.call("mutex_create", mutex=HERE + 64))
    held, copy = hold(slabs)
    slabs.spawn(0, machine.call("mutex_move", mutex=HERE + 64, new_address=HERE + PAGE_SIZE))
    slabs.store(0, 0, 5)
    slabs.store(0, 1, 5)
    assert take(slabs, held) == copy


def test_write_through_another_space_is_noticed(machine: Machine) -> None:
    slabs = filled(machine)
    window = machine.new_space()
    machine.map(window, slabs.regions[0], HERE, SIZE)
    slabs.store(0, 1, 1)
    machine.spawn(("store", "s2", "zero", HERE + PAGE_SIZE), space=window)
    machine.run()
    held, copy = hold(slabs)
    machine.spawn(("li", "s2", 44), ("store", "s2", "zero", HERE + PAGE_SIZE), space=window)
    machine.run()
    assert slabs.load(0, 1) == 44
    assert take(slabs, held) == copy


def test_running_program_that_could_write_is_noticed_at_once(machine: Machine) -> None:
    slabs = Slabs(machine)
    steps = ["again", ("add", "s2", "s2", 1)]
    steps += [("store", "s2", "zero", HERE + page * PAGE_SIZE) for page in range(4)]
    machine.spawn(*steps, ("jump", "again"), space=slabs.spaces[0])
    for number in range(20):
        machine.run_for(100 + number)
        held, copy = hold(slabs)
        machine.run_for(number)
        first = dict(held.take(machine.core, number % 3))
        machine.run_for(50)
        assert first | take(slabs, held) == copy != contents(slabs)
        held.end(machine.core)


def test_atomic_increment_counts_once_and_is_noticed(machine: Machine) -> None:
    slabs = filled(machine)
    held, copy = hold(slabs)
    steps = [("lr", "s2", "s4"), ("add", "s2", "s2", 1), ("sc", "s3", "s2", "s4"), ("bnez", "s3", "again")]
    thread = slabs.spawn(0, ("li", "s4", HERE), "again", *steps)
    assert machine.done(thread)
    assert slabs.load(0) == 101
    assert take(slabs, held) == copy


# -- what it costs ---------------------------------------------------------------------------------


def test_nothing_goes_through_the_pages_when_memory_is_held(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    slabs = filled(machine)

    def refuse(*_: object) -> None:
        raise AssertionError("somebody goes through the pages")

    with monkeypatch.context() as patch:
        for name in ("__iter__", "keys", "values", "items"):
            patch.setattr(Slab, name, refuse)
        held = machine.core.root.hold(machine.core, slabs.starts[0], SIZE)
    assert len(take(slabs, held)) == 3


def test_holding_uses_no_quota_and_needs_none(machine: Machine) -> None:
    """A program that has used up its memory goes on writing what it has."""
    slabs = filled(machine)
    stores = [("store", "s2", "zero", HERE + page * PAGE_SIZE) for page in range(3)]
    writers = [machine.spawn(("li", "s2", 7), each, space=slabs.spaces[0], start=False) for each in stores]
    used = machine.core.quota.limit_bytes = machine.core.quota.used_bytes
    held, copy = hold(slabs)
    for writer in writers:
        machine.core.start(writer)
    machine.run()
    assert machine.done(*writers)
    assert take(slabs, held) == copy
    assert machine.core.quota.used_bytes == used


def test_entries_lose_the_right_to_write_until_the_first_write(machine: Machine) -> None:
    slabs = filled(machine)
    page, space = HERE // PAGE_SIZE, slabs.spaces[0]
    held, _ = hold(slabs)
    assert not any(entry & WRITE for entry in space.pages.values())
    slabs.loads(0)
    assert [space.pages[page + each] & ~FRAME_MASK for each in range(4)] == [ALL & ~WRITE] * 3 + [ALL]
    slabs.store(0, 1, 3)
    assert [space.pages[page + each] & ~FRAME_MASK for each in range(3)] == [ALL & ~WRITE, ALL, ALL & ~WRITE]
    take(slabs, held)
    held.end(machine.core)
    slabs.store(0, 0, 3)
    machine.core.tables.empty()
    slabs.load(0)
    assert [space.pages[page + each] & ~FRAME_MASK for each in range(4)] == [ALL] * 4, "nobody wants to know any more"


def test_first_write_is_noticed_in_passing(machine: Machine) -> None:
    """Guest code need not stop for it, but where there is more to do."""
    slabs = filled(machine)
    core = machine.core
    thread = machine.spawn(space=slabs.spaces[0], start=False)

    def softly(page: int) -> bool:
        entry = resolve_softly(core, thread, HERE + page * PAGE_SIZE, WRITE, core.time)
        check(core)
        assert entry is None or (entry & WRITE and entry & FRAME_MASK == slabs.frame(0, page))
        return entry is not None

    held, copy = hold(slabs)
    assert softly(0)
    core.hardware.ram[slabs.frame(0) or 0] += 1
    assert slabs.share()
    assert not softly(1), "it has to be copied"
    assert held.written == {slabs.starts[0] // PAGE_SIZE}
    slabs.free(1)
    assert softly(1), "nobody else has it any more"
    core.changes.ask(slabs.frame(0, 2) or 0, 0, core.changes.next_generation())
    assert not softly(2), "somebody has asked about it"
    assert take(slabs, held) == copy


def test_written_page_is_entered_as_if_nobody_held_it_when_its_entry_was_forgotten(machine: Machine) -> None:
    slabs = filled(machine)
    hold(slabs)
    slabs.store(0, 1, 3)
    machine.core.tables.empty()
    slabs.load(0, 0)
    page, pages = HERE // PAGE_SIZE, slabs.spaces[0].pages
    assert [bool(pages[page + each] & WRITE) for each in range(3)] == [False, True, False]


def test_other_slabs_are_left_alone(machine: Machine) -> None:
    slabs = filled(machine)
    slabs.store(1, 0, 1)
    before = dict(slabs.spaces[1].pages)
    hold(slabs)
    assert slabs.spaces[1].pages == before
