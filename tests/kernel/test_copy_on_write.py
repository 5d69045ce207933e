"""Pages that share a frame until one is written: the writer gets a copy and pays for it, nobody else notices."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, ExceptionCode, ObjectType
from fluke_async.kernel import user_memory
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.translation import ALL, FRAME_MASK, READ, WRITE
from tests.kernel.invariants import check
from tests.kernel.machine import Machine, Part
from tests.kernel.memory_tree import HERE
from tests.kernel.two_slabs import Slabs

THREAD = OBJECT_CHARGE_BYTES[ObjectType.THREAD]


def shared(machine: Machine, slabs: int = 2) -> Slabs:
    """Slabs of which the first has written its pages 0 to 2 and shares them with all others."""
    made = Slabs(machine, slabs)
    for page in range(3):
        made.store(0, page, 100 + page)
    for target in range(1, slabs):
        assert made.share(0, target)
    return made


# -- contents, and who gets the copy ---------------------------------------------------------------


def test_pages_have_the_contents_and_cost_nothing(machine: Machine) -> None:
    slabs = Slabs(machine, 2)
    slabs.store(0, 1, 7)
    used = machine.core.quota.used_bytes
    assert slabs.share()
    assert machine.core.quota.used_bytes == used
    assert slabs.frame(1, 1) == slabs.frame(0, 1)
    assert slabs.load(1, 1) == 7
    assert slabs.frame(1, 1) == slabs.frame(0, 1), "reading is no reason for a copy"


@pytest.mark.parametrize("writer", [0, 1])
def test_writer_gets_the_copy_and_the_other_keeps_the_frame(machine: Machine, writer: int) -> None:
    slabs = shared(machine)
    frame = slabs.frame(0, 1)
    assert machine.done(slabs.store(writer, 1, 55))
    assert slabs.frame(1 - writer, 1) == frame
    assert slabs.frame(writer, 1) != frame
    assert slabs.loads(writer)[:3] == [100, 55, 102]
    assert slabs.loads(1 - writer)[:3] == [100, 101, 102]


def test_whole_page_is_copied(machine: Machine) -> None:
    slabs = Slabs(machine, 2)
    slabs.store(0, 0, 0)
    frame = slabs.frame(0)
    assert frame is not None
    content = bytes(number % 251 for number in range(PAGE_SIZE))
    machine.cpu.ram[frame : frame + PAGE_SIZE] = content
    slabs.share()
    slabs.spawn(1, ("li", "s2", 2**64 - 1), ("store", "s2", "zero", HERE + 800))
    copied = slabs.frame(1)
    assert copied is not None
    assert machine.cpu.ram[copied : copied + PAGE_SIZE] == content[:800] + b"\xff" * 8 + content[808:]
    assert machine.cpu.ram[frame : frame + PAGE_SIZE] == content


def test_last_sharer_writes_without_a_copy(machine: Machine) -> None:
    slabs = shared(machine)
    frame = slabs.frame(1)
    slabs.store(0, 0, 1)
    used = machine.core.quota.used_bytes
    slabs.store(1, 0, 2)
    assert slabs.frame(1) == frame
    assert machine.core.quota.used_bytes == used + THREAD
    assert (slabs.load(0), slabs.load(1)) == (1, 2)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_of_several_sharers_each_but_the_last_gets_a_copy(machine: Machine, order: tuple[int, ...]) -> None:
    slabs = shared(machine, 3)
    frame, in_use = slabs.frame(0), machine.core.frames.in_use
    for number, writer in enumerate(order):
        assert machine.core.frames.sharers[frame or 0] == 2 - number
        slabs.store(writer, 0, writer)
        assert machine.core.frames.in_use == in_use + min(number + 1, 2)
    assert slabs.frame(order[2]) == frame
    assert [slabs.load(slab) for slab in range(3)] == [0, 1, 2]


def test_what_is_shared_can_be_shared_on(machine: Machine) -> None:
    slabs = Slabs(machine, 3)
    slabs.store(0, 0, 9)
    assert slabs.share(0, 1)
    assert slabs.share(1, 2)
    slabs.store(1, 0, 10)
    assert [slabs.load(slab) for slab in range(3)] == [9, 10, 9]
    assert slabs.frame(0) == slabs.frame(2)


def test_pages_that_nobody_has_touched_are_each_ones_own(machine: Machine) -> None:
    slabs = shared(machine)
    slabs.store(0, 3, 5)
    assert (slabs.load(1, 3), slabs.load(0, 3)) == (0, 5)


def test_page_that_only_one_has_seen_can_be_read_and_not_written_by_its_table(machine: Machine) -> None:
    """The write is to be noticed; afterwards the table grants all."""
    slabs = shared(machine)
    page, pages = HERE // PAGE_SIZE, slabs.spaces[1].pages
    slabs.load(1)
    assert pages[page] & ~FRAME_MASK == ALL & ~WRITE
    slabs.store(1, 0, 3)
    assert slabs.spaces[1].pages[page] & ~FRAME_MASK == ALL


def test_running_program_that_could_write_loses_that_at_once(machine: Machine) -> None:
    slabs = Slabs(machine, 2)
    writer = machine.spawn(
        "again",
        ("add", "s2", "s2", 1),
        ("store", "s2", "zero", HERE),
        ("jump", "again"),
        space=slabs.spaces[0],
    )
    machine.run_for(1000)
    slabs.share()
    frame = slabs.frame(1)
    assert frame is not None
    kept = bytes(machine.cpu.ram[frame : frame + 8])
    machine.run_for(1000)
    assert bytes(machine.cpu.ram[frame : frame + 8]) == kept != bytes(8)
    assert slabs.frame(0) != frame
    assert not machine.done(writer)


def test_all_who_see_a_page_see_its_copy(machine: Machine) -> None:
    """In whatever space they are: the page is the writer's slab's, wherever it is mapped."""
    slabs = shared(machine)
    deep = machine.new_space()
    machine.map(deep, slabs.regions[0], HERE + PAGE_SIZE, PAGE_SIZE)
    reader = machine.spawn(("load", "s2", "zero", HERE + PAGE_SIZE), space=deep)
    machine.run()
    slabs.store(0, 0, 1234)
    after = machine.spawn(("load", "s2", "zero", HERE + PAGE_SIZE), space=deep)
    machine.run()
    assert [machine.register(thread, "s2") for thread in (reader, after)] == [100, 1234]


def test_atomic_increment_on_a_shared_page_counts_once(machine: Machine) -> None:
    """The copy breaks the reservation; the loop goes round again."""
    slabs = shared(machine)
    thread = slabs.spawn(
        1,
        ("li", "s4", HERE),
        "again",
        ("lr", "s2", "s4"),
        ("add", "s2", "s2", 1),
        ("sc", "s3", "s2", "s4"),
        ("bnez", "s3", "again"),
    )
    assert machine.done(thread)
    assert (slabs.load(0), slabs.load(1)) == (100, 101)


# -- memory ----------------------------------------------------------------------------------------


def test_copy_is_charged_when_it_is_made(machine: Machine) -> None:
    slabs = shared(machine)
    used = machine.core.quota.used_bytes
    slabs.store(1, 0, 1)
    assert machine.core.quota.used_bytes == used + THREAD + PAGE_SIZE
    slabs.store(1, 0, 2)
    assert machine.core.quota.used_bytes == used + 2 * THREAD + PAGE_SIZE


@pytest.mark.parametrize("call", ["store", "mutex_create", "mutex_get_state"])
def test_without_memory_for_the_copy_the_writer_has_an_exception_and_nothing_is_lost(
    machine: Machine, call: str
) -> None:
    slabs = shared(machine)
    mutex = machine.new(Mutex)
    steps: dict[str, Part] = {
        "store": [("li", "s2", 7), ("store", "s2", "zero", HERE)],
        "mutex_create": machine.call("mutex_create", mutex=HERE + 64),
        "mutex_get_state": machine.call("mutex_get_state", mutex=mutex, state=HERE),
    }
    writer = machine.spawn(steps[call], space=slabs.spaces[1], start=False)
    reader = machine.spawn(("load", "s2", "zero", HERE), space=slabs.spaces[0], start=False)
    core = machine.core
    used = core.quota.limit_bytes = core.quota.used_bytes
    frame = slabs.frame(1)
    core.start(writer)
    core.start(reader)
    machine.run()
    assert machine.failure(writer) is ExceptionCode.OUT_OF_MEMORY
    assert machine.result(writer).subcode == HERE + (64 if call == "mutex_create" else 0)
    assert machine.register(reader, "s2") == 100
    assert (core.quota.used_bytes, slabs.frame(0), slabs.frame(1)) == (used, frame, frame)
    core.quota.limit_bytes += PAGE_SIZE + 4 * THREAD
    core.stop(writer)
    writer.exception = None
    core.start(writer)
    machine.run()
    assert machine.done(writer)
    assert slabs.frame(1) != frame
    assert slabs.load(0) == 100


def test_kernel_that_writes_for_a_program_unshares_all_that_it_writes_or_nothing(machine: Machine) -> None:
    slabs = shared(machine)
    thread = machine.spawn(space=slabs.spaces[1], start=False)
    frames = [slabs.frame(0, page) for page in range(3)]
    user_memory.write(machine.core, thread, HERE + PAGE_SIZE - 4, b"\xff" * 8)
    check(machine.core)
    assert [slabs.frame(0, page) for page in range(3)] == frames
    assert [slabs.frame(1, page) == frames[page] for page in range(3)] == [False, False, True]
    assert slabs.load(0, 1) == 101
    assert slabs.load(1, 1) == 101 | 0xFFFF_FFFF


def test_copy_between_programs_unshares_where_it_writes_and_not_where_it_reads(machine: Machine) -> None:
    slabs = shared(machine)
    source, target = (machine.spawn(space=space, start=False) for space in slabs.spaces)
    frames = [slabs.frame(0, page) for page in range(3)]
    user_memory.copy_words(machine.core, source, HERE, target, HERE + PAGE_SIZE, 3)
    check(machine.core)
    assert [slabs.frame(0, page) for page in range(3)] == frames
    assert [slabs.frame(1, page) == frames[page] for page in range(3)] == [True, False, True]
    assert slabs.loads(1)[:3] == [100, 100, 102]


def test_kernel_that_reads_unshares_nothing(machine: Machine) -> None:
    slabs = shared(machine)
    thread = machine.spawn(space=slabs.spaces[1], start=False)
    assert user_memory.read(machine.core, thread, HERE, 8) == (100).to_bytes(8, "little")
    user_memory.touch(machine.core, thread, HERE, READ, 3 * PAGE_SIZE)
    assert [slabs.frame(1, page) == slabs.frame(0, page) for page in range(3)] == [True] * 3


# -- ranges ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [0, 16, 7])
@pytest.mark.parametrize(("first", "end"), [(0, 64), (16, 48), (0, 40), (5, 21), (17, 18), (64, 64)])
def test_pages_of_the_range_are_shared_and_no_others(machine: Machine, first: int, end: int, target: int) -> None:
    """Whether or not they are whole rows of pages; some hold objects, and some are there only where they come to."""
    slabs, core, ram = Slabs(machine, pages=128), machine.core, machine.cpu.ram
    source = [page for page in range(64) if page % 5 != 3]
    with_objects = [page for page in source if page % 7 == 0]
    expected = {page - first + target: page for page in source if first <= page < end}
    own = {page: page + 100 for page in range(128) if page not in expected and page % 3}
    for slab, numbers in ((0, dict(zip(source, source, strict=True))), (1, own)):
        for page, number in numbers.items():
            frame = core.root.frame_at(core, slabs.starts[slab] + page * PAGE_SIZE)
            assert frame is not None
            ram[frame] = number
    for page in with_objects:
        slabs.create(Mutex, 0, page)
    start, into = slabs.starts[0] + first * PAGE_SIZE, slabs.starts[1] + target * PAGE_SIZE
    assert core.root.share(core, start, (end - first) * PAGE_SIZE, into)
    check(core)
    found = {page: frame for page in range(128) if (frame := slabs.frame(1, page)) is not None}
    assert {page: ram[frame] for page, frame in found.items()} == expected | own
    for page, original in expected.items():
        assert (found[page] == slabs.frame(0, original)) == (original not in with_objects)
