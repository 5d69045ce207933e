"""What is in a frame that pages share besides bytes, objects and code; and what becomes of it when a slab is freed."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, ExceptionCode, ObjectType, Status
from fluke_async.kernel.memory import Frames, Quota
from fluke_async.kernel.objects.mutex import Mutex
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import HERE
from tests.kernel.two_slabs import Slabs

MUTEX = HERE + 64


def with_mutex(machine: Machine) -> Slabs:
    """Two slabs that share nothing yet; the first has a mutex in page 0, and words in pages 0 and 1."""
    slabs = Slabs(machine)
    slabs.store(0, 0, 10)
    slabs.store(0, 1, 11)
    assert machine.done(slabs.spawn(0, machine.call("mutex_create", mutex=MUTEX)))
    return slabs


def lock(slabs: Slabs, slab: int) -> ExceptionCode | None:
    """What a program gets for locking the mutex."""
    return slabs.machine.failure(slabs.spawn(slab, slabs.machine.call("mutex_trylock", mutex=MUTEX)))


# -- objects ---------------------------------------------------------------------------------------


def test_frame_with_objects_is_copied_at_once_and_the_objects_stay_with_the_original(machine: Machine) -> None:
    slabs = with_mutex(machine)
    in_use, objects = machine.core.frames.in_use, dict(machine.core.objects)
    frame = slabs.frame(0)
    assert slabs.share()
    assert machine.core.frames.in_use == in_use + 1
    assert machine.core.objects == objects
    assert slabs.frame(0) == frame != slabs.frame(1)
    assert slabs.frame(0, 1) == slabs.frame(1, 1)
    assert (slabs.load(0), slabs.load(1)) == (10, 10)
    assert lock(slabs, 0) is None
    assert lock(slabs, 1) is ExceptionCode.NO_OBJECT


def test_frame_whose_objects_have_ended_is_shared(machine: Machine) -> None:
    slabs = with_mutex(machine)
    slabs.spawn(0, machine.call("mutex_destroy", mutex=MUTEX))
    assert slabs.share()
    assert slabs.frame(0) == slabs.frame(1)


@pytest.mark.parametrize("creator", [0, 1])
def test_object_that_is_made_in_a_shared_page_is_made_in_a_copy(machine: Machine, creator: int) -> None:
    slabs = Slabs(machine)
    slabs.store(0, 0, 10)
    slabs.share()
    made = slabs.spawn(creator, machine.call("mutex_create", mutex=MUTEX))
    assert (machine.done(made), machine.register(made, "a0")) == (True, Status.SUCCESS)
    assert slabs.frame(0) != slabs.frame(1)
    assert lock(slabs, creator) is None
    assert lock(slabs, 1 - creator) is ExceptionCode.NO_OBJECT
    assert (slabs.load(0), slabs.load(1)) == (10, 10)


def test_object_that_is_moved_into_a_shared_page_takes_a_copy(machine: Machine) -> None:
    slabs = Slabs(machine)
    slabs.store(0, 0, 10)
    slabs.share()
    mutex = machine.new(Mutex)
    assert machine.done(slabs.spawn(1, machine.call("mutex_move", mutex=mutex, new_address=MUTEX)))
    assert lock(slabs, 1) is None
    assert lock(slabs, 0) is ExceptionCode.NO_OBJECT
    assert slabs.frame(0) != slabs.frame(1)


def test_looking_for_an_object_in_a_shared_page_copies_nothing(machine: Machine) -> None:
    slabs = Slabs(machine)
    slabs.store(0, 0, 10)
    slabs.share()
    assert lock(slabs, 1) is ExceptionCode.NO_OBJECT
    assert slabs.frame(0) == slabs.frame(1)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_sharing_that_there_is_no_memory_for_has_not_happened(machine: Machine, left: int) -> None:
    """Three pages hold objects, and there is memory for fewer copies."""
    slabs = with_mutex(machine)
    for page in (1, 2):
        slabs.spawn(0, machine.call("mutex_create", mutex=MUTEX + page * PAGE_SIZE))
    core = machine.core
    used = core.quota.used_bytes
    core.quota.limit_bytes = used + left * PAGE_SIZE
    assert not slabs.share()
    assert core.quota.used_bytes == used
    assert [slabs.frame(1, page) for page in range(4)] == [None] * 4
    assert core.frames.sharers == {}
    check(core)
    core.quota.limit_bytes = used + 3 * PAGE_SIZE
    assert slabs.share()
    core.quota.limit_bytes += 8 * OBJECT_CHARGE_BYTES[ObjectType.THREAD]
    assert [slabs.load(1, page) for page in range(3)] == [10, 11, 0]


# -- code ------------------------------------------------------------------------------------------


def test_code_in_a_shared_frame_is_forgotten_with_the_frame_only(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write goes to the copy, from which nothing has been translated."""
    slabs = Slabs(machine)
    slabs.store(0, 0, 10)
    slabs.share()
    frame = slabs.frame(0)
    assert frame is not None
    forgotten: list[int] = []
    monkeypatch.setattr(machine.cpu, "invalidate", lambda *range_: forgotten.append(range_[0]))
    machine.cpu.code_frames.add(frame)
    mutex = machine.new(Mutex)
    slabs.spawn(1, machine.call("mutex_get_state", mutex=mutex, state=HERE))
    assert slabs.frame(1) != frame
    assert not forgotten
    slabs.free(1)
    assert not forgotten
    slabs.spawn(0, machine.call("mutex_get_state", mutex=mutex, state=HERE))
    assert forgotten == [frame]
    slabs.free(0)
    assert forgotten == [frame] * 2


# -- freed slabs -----------------------------------------------------------------------------------


@pytest.mark.parametrize("freed", [0, 1])
def test_what_is_shared_outlives_the_slab_that_is_freed(machine: Machine, freed: int) -> None:
    slabs = Slabs(machine)
    for page in range(3):
        slabs.store(0, page, 20 + page)
    slabs.share()
    frames, in_use = [slabs.frame(0, page) for page in range(3)], machine.core.frames.in_use
    slabs.free(freed)
    left = 1 - freed
    assert machine.core.frames.in_use == in_use
    assert set(machine.core.frames.sharers.values()) == {0}
    assert [slabs.load(left, page) for page in range(3)] == [20, 21, 22]
    slabs.store(left, 0, 5)
    assert slabs.frame(left) == frames[0], "it is the last, and needs no copy"
    slabs.free(left)
    assert machine.core.frames.in_use == in_use - 3


def test_slab_that_is_freed_takes_its_objects_and_not_the_other_ones(machine: Machine) -> None:
    slabs = with_mutex(machine)
    slabs.share()
    slabs.spawn(1, machine.call("mutex_create", mutex=MUTEX))
    slabs.free(0)
    assert lock(slabs, 1) is None
    assert slabs.load(1) == 10


def test_freed_slab_can_be_seen_by_nobody(machine: Machine) -> None:
    """Also through a region that lives elsewhere, and a region over that."""
    slabs = Slabs(machine)
    slabs.store(0, 0, 10)
    machine.core.root.free_slab(machine.core, slabs.starts[0])
    check(machine.core)
    assert slabs.spaces[0].pages.get(HERE // PAGE_SIZE) is None
    thread = slabs.spawn(0, ("load", "s2", "zero", HERE))
    assert not machine.done(thread)


def test_freed_slab_gives_all_back_and_its_number_begins_anew(machine: Machine) -> None:
    slabs = Slabs(machine)
    in_use = machine.core.frames.in_use
    slabs.store(0, 0, 10)
    slabs.share()
    slabs.store(1, 0, 11)
    slabs.free(1)
    slabs.free(0)
    assert machine.core.frames.in_use == in_use
    again = Slabs(machine)
    assert again.starts == slabs.starts
    assert [again.loads(slab) for slab in range(2)] == [[0] * 4] * 2


# -- the frames alone ------------------------------------------------------------------------------


class Ram:
    """The hardware as the frames see it."""

    def __init__(self, pages: int) -> None:
        self.ram = memoryview(bytearray(pages * PAGE_SIZE))
        self.code_frames: set[int] = set()

    def invalidate(self, frame_address: int, size: int) -> None:
        self.code_frames.discard(frame_address)


@pytest.mark.parametrize("sharers", [1, 2, 3, 10])
def test_frame_is_free_when_the_last_has_given_it_up(sharers: int) -> None:
    frames = Frames(Ram(2), Quota(2 * PAGE_SIZE))
    frame = frames.allocate()
    assert frame is not None
    for _ in range(sharers - 1):
        frames.share([frame])
    for left in range(sharers - 1, 0, -1):
        assert frames.sharers == {frame: left}
        assert not frames.release(frame)
        assert frames.in_use == 1
    assert frames.release(frame)
    assert frames.sharers == {}
    assert frames.in_use == 0


def test_copy_has_the_contents_and_is_charged() -> None:
    ram, quota = Ram(3), Quota(2 * PAGE_SIZE)
    frames = Frames(ram, quota)
    frame = frames.allocate()
    assert frame is not None
    ram.ram[frame : frame + PAGE_SIZE] = bytes(range(256)) * 16
    copied = frames.copy(frame)
    assert copied is not None
    assert copied != frame
    assert ram.ram[copied : copied + PAGE_SIZE] == ram.ram[frame : frame + PAGE_SIZE]
    assert quota.used_bytes == 2 * PAGE_SIZE
    assert frames.copy(frame) is None
    assert quota.used_bytes == 2 * PAGE_SIZE
