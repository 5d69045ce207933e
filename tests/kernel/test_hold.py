"""A hold has the contents of its moment, whoever writes while it is taken; and what was written between two is known."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel import user_memory
from fluke_async.kernel.hold import Hold, HoldLost
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.translation import ALL, FRAME_MASK, WRITE
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import HERE
from tests.kernel.two_slabs import Slabs

SIZE = 4 * PAGE_SIZE


def filled(machine: Machine, slabs: int = 2) -> Slabs:
    """Slabs of which the first has words in its pages 0 to 2, and no page 3."""
    made = Slabs(machine, slabs)
    for page in range(3):
        made.store(0, page, 100 + page)
    return made


def held(slabs: Slabs, slab: int = 0, size: int = SIZE) -> tuple[Hold, dict[int, bytes]]:
    """A hold, and a full copy of the same moment."""
    copy = contents(slabs, slab, size)
    hold = slabs.core.root.hold(slabs.core, slabs.starts[slab], size)
    check(slabs.core)
    return hold, copy


def contents(slabs: Slabs, slab: int = 0, size: int = SIZE) -> dict[int, bytes]:
    """What is in the pages of a slab that have frames, by their offsets."""
    frames = {page * PAGE_SIZE: slabs.frame(slab, page) for page in range(size // PAGE_SIZE)}
    ram = slabs.machine.cpu.ram
    return {offset: bytes(ram[frame : frame + PAGE_SIZE]) for offset, frame in frames.items() if frame is not None}


def take(slabs: Slabs, hold: Hold, most_pages: int = 2) -> dict[int, bytes]:
    """All that is left to take."""
    taken: dict[int, bytes] = {}
    while not hold.is_done:
        pages = hold.take(slabs.core, most_pages)
        check(slabs.core)
        assert len(pages) <= most_pages
        assert not taken.keys() & {offset for offset, _ in pages}
        taken |= dict(pages)
    return taken


def test_pages_are_those_of_the_moment(machine: Machine) -> None:
    slabs = filled(machine)
    hold, copy = held(slabs)
    for page in range(4):
        slabs.store(0, page, 7)
    assert take(slabs, hold) == copy
    assert slabs.loads(0) == [7] * 4
