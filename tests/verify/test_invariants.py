"""What the invariants look at: a kernel that contradicts itself in one place is seen."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.errors import KernelBug
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.slab import EMPTY_ROW, ROW_PAGES, Slab
from fluke_async.verify.invariants import check
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import Machine


class World:
    """A machine where a thread waits on a condition, another one is ready, and both have touched memory."""

    def __init__(self) -> None:
        self.machine = machine = Machine()
        self.room = room = WaitingRoom(machine)
        (self.waiter,) = room.waiters(10)
        machine.spawn(("store", "s2", "zero", machine.buffer(1)))
        machine.run()
        self.ready = machine.spawn(("burn", 10))
        self.slab: Slab = max(machine.core.root.slabs(), key=len)
        self.page, self.frame = next(each for each in self.slab.items() if each[0] not in self.slab.objects)

    @property
    def space(self) -> Space:
        return self.machine.space


def name_another_frame(world: World) -> None:
    pages = world.space.pages
    page = next(iter(pages))
    pages[page] ^= PAGE_SIZE


def name_nothing(world: World) -> None:
    world.space.pages[1] = next(iter(world.space.pages.values()))
    world.machine.core.tables.used += 1


def change_a_row(world: World) -> None:
    world.slab.rows[world.page // ROW_PAGES][world.page % ROW_PAGES] += PAGE_SIZE


def add_a_row(world: World) -> None:
    world.slab.rows[1 << 20] = row = EMPTY_ROW[:]
    row[0] = world.frame


def forget_objects(world: World) -> None:
    del world.slab.objects[0]


def note_objects(world: World) -> None:
    world.slab.objects.append(world.page)
    world.slab.objects.sort()


def disorder_objects(world: World) -> None:
    world.slab.objects.reverse()


def share_a_frame(world: World) -> None:
    dict.__setitem__(world.slab, world.page, next(frame for frame in world.slab.values() if frame != world.frame))


def say_that_it_is_shared(world: World) -> None:
    world.machine.core.frames.sharers[world.frame] = 2


def leave_the_processor(world: World) -> None:
    dict.__setitem__(world.slab, world.page, len(world.machine.cpu.ram))


def be_no_page(world: World) -> None:
    dict.__setitem__(world.slab, world.page, world.frame + 8)


def stand_nowhere(world: World) -> None:
    world.machine.core.ready.remove(world.ready)


def stand_with_others(world: World) -> None:
    entry = world.ready.place
    assert entry is not None
    assert world.room.cond.waiters is not None
    world.machine.core.ready.remove(world.ready)
    world.room.cond.waiters.push(entry)


def wait_where_nobody_does(world: World) -> None:
    other = world.machine.new(Cond)
    world.waiter.waiting_for = other


def have_another_priority(world: World) -> None:
    world.ready.effective_priority += 1


def own_a_mutex_that_is_free(world: World) -> None:
    mutex = world.machine.new(Mutex)
    mutex.owner = world.ready


def lose_a_charge(world: World) -> None:
    world.machine.core.quota.used_bytes -= 1


SPOILED: list[Callable[[World], None]] = [
    name_another_frame,
    name_nothing,
    change_a_row,
    add_a_row,
    forget_objects,
    note_objects,
    disorder_objects,
    share_a_frame,
    say_that_it_is_shared,
    leave_the_processor,
    be_no_page,
    stand_nowhere,
    stand_with_others,
    wait_where_nobody_does,
    have_another_priority,
    own_a_mutex_that_is_free,
    lose_a_charge,
]


def test_a_kernel_in_order_passes() -> None:
    check(World().machine.core)


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__)
def test_a_contradiction_is_seen(spoil: Callable[[World], None]) -> None:
    world = World()
    spoil(world)
    with pytest.raises((AssertionError, KernelBug)):
        check(world.machine.core)
