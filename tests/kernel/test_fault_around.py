"""A page that is entered brings its neighbours: those that are there, that it may show, as they may be shown."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel import user_memory
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import FAULT_AROUND_PAGES, SLAB_SIZE
from fluke_async.kernel.trace import Event
from fluke_async.kernel.translation import ALL, EXECUTE, FRAME_MASK, READ, WRITE, resolve
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import HERE

PAGES = 3 * FAULT_AROUND_PAGES
FIRST = HERE // PAGE_SIZE
assert FIRST % FAULT_AROUND_PAGES == 0


class View:
    """A space that sees pages of a slab; which of them are there is known."""

    def __init__(self, machine: Machine, *present: int, prot: int = ALL, start: int = 0, size: int = PAGES) -> None:
        self.machine, self.core = machine, machine.core
        self.slab = machine.core.root.new_slab()
        self.region, self.space = machine.new(Region), machine.new(Space)
        bits = {"start_va": self.slab, "size": PAGES * PAGE_SIZE, "prot": ALL}
        machine.load(self.region, bits, space=machine.core.root)
        self.mapping = machine.map(
            self.space, self.region, HERE + start * PAGE_SIZE, size * PAGE_SIZE, prot, offset=start * PAGE_SIZE
        )
        self.thread: Thread = machine.spawn(space=self.space, start=False)
        for page in present:
            self.there(page)

    def there(self, page: int) -> int:
        """The frame of a page, which has one from now on."""
        frame = self.core.root.frame_at(self.core, self.slab + page * PAGE_SIZE)
        assert frame is not None
        return frame

    def touch(self, page: int, access: int = READ) -> None:
        resolve(self.core, self.thread, HERE + page * PAGE_SIZE, access)
        check(self.core)

    @property
    def entered(self) -> dict[int, int]:
        """The access in the space's table, by page."""
        return {page - FIRST: entry & ~FRAME_MASK for page, entry in sorted(self.space.pages.items())}


@pytest.fixture
def machine() -> Machine:
    return Machine()


# -- which -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [16, 17, 20, 31])
def test_neighbours_that_are_there_are_entered(machine: Machine, page: int) -> None:
    """Those of the same sixteen, whichever of them was touched."""
    view = View(machine, *range(PAGES))
    view.touch(page)
    assert view.entered == dict.fromkeys(range(16, 32), ALL)
    for number in range(16, 32):
        assert view.space.pages[FIRST + number] & FRAME_MASK == view.there(number)


def test_page_that_is_not_there_is_neither_entered_nor_made(machine: Machine) -> None:
    view = View(machine, 0, 3, 5, 15, 16)
    in_use, used = machine.core.frames.in_use, machine.core.quota.used_bytes
    view.touch(3)
    assert set(view.entered) == {0, 3, 5, 15}
    assert (machine.core.frames.in_use, machine.core.quota.used_bytes) == (in_use, used)
    view.touch(7)
    assert set(view.entered) == {0, 3, 5, 7, 15}
    assert machine.core.frames.in_use == in_use + 1


def test_neighbours_are_entered_where_memory_is_used_up(machine: Machine) -> None:
    view = View(machine, 0, 1)
    machine.core.quota.limit_bytes = machine.core.quota.used_bytes
    view.touch(0)
    assert set(view.entered) == {0, 1}


def test_faults_are_saved(machine: Machine) -> None:
    view = View(machine, *range(PAGES))
    before = machine.core.statistics.soft_faults
    user_memory.touch(machine.core, view.thread, HERE, READ, PAGES * PAGE_SIZE)
    assert machine.core.statistics.soft_faults - before == PAGES // FAULT_AROUND_PAGES
    assert len(machine.happened(Event.FAULT, view.thread)) == PAGES // FAULT_AROUND_PAGES


@pytest.mark.parametrize(("start", "size"), [(0, 1), (3, 4), (5, 30), (14, 4), (17, 8)])
def test_mappings_bounds_are_kept(machine: Machine, start: int, size: int) -> None:
    view = View(machine, *range(PAGES), start=start, size=size)
    view.touch(start)
    block = range(start // FAULT_AROUND_PAGES * FAULT_AROUND_PAGES, PAGES)[:FAULT_AROUND_PAGES]
    assert set(view.entered) == set(block) & set(range(start, start + size))


@pytest.mark.parametrize("pages", [1, 5, 16, 20])
def test_regions_end_is_kept(machine: Machine, pages: int) -> None:
    view = View(machine, *range(PAGES))
    bits = {"start_va": view.slab, "size": pages * PAGE_SIZE, "prot": ALL}
    machine.load(view.region, bits)
    view.touch(0)
    assert set(view.entered) == set(range(min(pages, FAULT_AROUND_PAGES)))


def test_other_mapping_next_door_is_not_taken_for_the_same(machine: Machine) -> None:
    """What lies there has its own memory and its own access."""
    view = View(machine, *range(PAGES), size=4)
    machine.map(view.space, view.region, HERE + 4 * PAGE_SIZE, 4 * PAGE_SIZE, READ, offset=40 * PAGE_SIZE)
    view.touch(1)
    assert view.entered == dict.fromkeys(range(4), ALL)
    view.touch(5)
    assert view.entered == dict.fromkeys(range(4), ALL) | dict.fromkeys(range(4, 8), READ)
    assert view.space.pages[FIRST + 6] & FRAME_MASK == view.there(42)


def test_bounds_are_kept_at_every_level(machine: Machine) -> None:
    """The stretch that is mapped alike is the shortest on the way."""
    view = View(machine, *range(PAGES), start=2, size=10)
    inner, region = machine.new(Space), machine.new(Region)
    bits = {"start_va": HERE, "size": 9 * PAGE_SIZE, "prot": ALL}
    machine.load(region, bits, space=view.space)
    machine.map(inner, region, HERE + 4 * PAGE_SIZE, 40 * PAGE_SIZE, READ, offset=PAGE_SIZE)
    thread = machine.spawn(space=inner, start=False)
    resolve(machine.core, thread, HERE + 7 * PAGE_SIZE, READ)  # page 4 of the slab
    check(machine.core)
    shown = {page - FIRST: entry for page, entry in inner.pages.items()}
    assert set(shown) == {5, 6, 7, 8, 9, 10, 11}
    assert all(entry == view.there(page - 3) | READ for page, entry in shown.items())


@pytest.mark.parametrize("neighbour", [True, False])
@pytest.mark.parametrize("page", range(16))
def test_region_over_the_border_of_two_slabs_shows_each(machine: Machine, page: int, neighbour: bool) -> None:
    """Whether there is a slab on the other side or not."""
    core = machine.core
    slabs = [core.root.new_slab() for _ in range(3)]
    border = slabs[2]
    assert border == slabs[1] + SLAB_SIZE
    if not neighbour:
        core.root.free_slab(core, slabs[1 if page >= 8 else 2])
    region, space = machine.new(Region), machine.new(Space)
    start = border - 8 * PAGE_SIZE
    machine.load(region, {"start_va": start, "size": 16 * PAGE_SIZE, "prot": ALL}, space=core.root)
    machine.map(space, region, HERE, 16 * PAGE_SIZE)
    frames = [core.root.frame_at(core, start + number * PAGE_SIZE) for number in range(16)]
    thread = machine.spawn(space=space, start=False)
    resolve(core, thread, HERE + page * PAGE_SIZE, READ)
    check(core)
    assert space.pages[FIRST + page] == (frames[page] or 0) | ALL
    assert all(entry == (frames[number - FIRST] or 0) | ALL for number, entry in space.pages.items())


# -- with what access ------------------------------------------------------------------------------


@pytest.mark.parametrize(("prot", "granted"), [(READ, READ), (READ | WRITE, 3), (EXECUTE, 4), (5, 5), (6, 4), (7, 7)])
@pytest.mark.parametrize("where", ["mapping", "region"])
def test_neighbours_get_what_the_page_gets(machine: Machine, prot: int, granted: int, where: str) -> None:
    """RISC-V has no pages that can be written and not read."""
    view = View(machine, 0, 1, 2, prot=prot if where == "mapping" else ALL)
    if where == "region":
        machine.load(view.region, {"start_va": view.slab, "size": PAGES * PAGE_SIZE, "prot": prot})
    view.touch(1, EXECUTE if granted & EXECUTE else READ)
    assert view.entered == dict.fromkeys(range(3), granted)


@pytest.mark.parametrize("access", [READ, WRITE])
def test_watched_neighbours_cannot_be_written_yet(machine: Machine, access: int) -> None:
    view = View(machine, *range(6))
    for page in (1, 3):
        machine.core.changes.ask(view.there(page), 0, machine.core.changes.next_generation())
    view.touch(0, access)
    assert view.entered == {0: 7, 1: 5, 2: 7, 3: 5, 4: 7, 5: 7}
    view.touch(1, access)
    assert view.entered[1] == (7 if access == WRITE else 5)
    assert view.entered[3] == 5


def test_shared_neighbours_cannot_be_written_yet_and_are_not_copied(machine: Machine) -> None:
    view = View(machine, *range(6))
    target = machine.core.root.new_slab()
    assert machine.core.root.share(machine.core, view.slab + PAGE_SIZE, 2 * PAGE_SIZE, target + PAGE_SIZE)
    in_use = machine.core.frames.in_use
    view.touch(0, WRITE)
    assert view.entered == {0: 7, 1: 5, 2: 5, 3: 7, 4: 7, 5: 7}
    view.touch(1, WRITE)
    assert view.entered == {0: 7, 1: 7, 2: 5, 3: 7, 4: 7, 5: 7}
    assert machine.core.frames.in_use == in_use + 1


def test_what_is_known_already_is_left_as_it_is(machine: Machine) -> None:
    """A page that has been written since it was watched can be written still."""
    view = View(machine, *range(4))
    frame = view.there(2)
    machine.core.changes.ask(frame, 0, machine.core.changes.next_generation())
    view.touch(2, WRITE)
    del view.space.pages[FIRST]
    machine.core.tables.used -= 1
    view.touch(0)
    assert view.entered == dict.fromkeys(range(4), ALL)


# -- at random -------------------------------------------------------------------------------------

PLACES = st.integers(0, PAGES - 1)


@settings(max_examples=80, deadline=None)
@given(
    st.sets(PLACES, max_size=20),
    st.tuples(PLACES, st.integers(1, PAGES), PLACES, st.integers(1, PAGES)),
    st.lists(st.tuples(PLACES, st.sampled_from([READ, WRITE])), min_size=1, max_size=6),
    st.sets(PLACES, max_size=5),
)
def test_entries_are_those_of_pages_that_are_there_and_in_the_way(
    present: set[int], place: tuple[int, int, int, int], touches: list[tuple[int, int]], watched: set[int]
) -> None:
    """A mapping of some pages from some offset on, of a region that ends somewhere."""
    start, size, offset, end = place
    size = min(size, PAGES - start)
    machine = Machine()
    view = View(machine, *present, start=start, size=0)
    machine.load(view.region, {"start_va": view.slab, "size": end * PAGE_SIZE, "prot": ALL})
    machine.map(view.space, view.region, HERE + start * PAGE_SIZE, size * PAGE_SIZE, offset=offset * PAGE_SIZE)
    for page in watched & present:
        machine.core.changes.ask(view.there(page), 0, machine.core.changes.next_generation())
    there, expected = set(present), set()
    shift = offset - start
    for page, access in touches:
        if not start <= page < start + size or page + shift >= end:
            continue
        in_use = machine.core.frames.in_use
        view.touch(page, access)
        assert machine.core.frames.in_use == in_use + (page + shift not in there)
        there.add(page + shift)
        first = page // FAULT_AROUND_PAGES * FAULT_AROUND_PAGES
        expected |= {
            each
            for each in range(first, first + FAULT_AROUND_PAGES)
            if each + shift in there and start <= each < start + size and each + shift < end
        }
    assert set(view.entered) == expected
    for page, granted in view.entered.items():
        written = (page, WRITE) in touches
        assert granted == (ALL & ~WRITE if page + shift in watched & present and not written else ALL)
