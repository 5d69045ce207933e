"""Slabs that are held: a hold beside a full copy of the same moment."""

from __future__ import annotations

from typing import NamedTuple

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.hold import Hold
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.two_slabs import Slabs

SIZE = 4 * PAGE_SIZE


class Held(NamedTuple):
    """A hold, and what was in the slab at its moment, by offset."""

    hold: Hold
    copy: dict[int, bytes]


def filled(machine: Machine, slabs: int = 2, pages: int = 4) -> Slabs:
    """Slabs of which the first has words in its pages 0 to 2, and no others."""
    made = Slabs(machine, slabs, pages)
    for page in range(3):
        made.store(0, page, 100 + page)
    return made


def hold(slabs: Slabs, slab: int = 0, size: int = SIZE) -> Held:
    """Hold a slab."""
    copy = contents(slabs, slab, size)
    held = Held(slabs.core.root.hold(slabs.core, slabs.starts[slab], size), copy)
    check(slabs.core)
    return held


def contents(slabs: Slabs, slab: int = 0, size: int = SIZE) -> dict[int, bytes]:
    """What is in the pages of a slab that have frames, by their offsets."""
    frames = {page * PAGE_SIZE: slabs.frame(slab, page) for page in range(size // PAGE_SIZE)}
    ram = slabs.machine.cpu.ram
    return {offset: bytes(ram[frame : frame + PAGE_SIZE]) for offset, frame in frames.items() if frame is not None}


def take(slabs: Slabs, held: Hold, most_pages: int = 2) -> dict[int, bytes]:
    """All that is left to take, so many at a time."""
    taken: dict[int, bytes] = {}
    while not held.is_done:
        pages = held.take(slabs.core, most_pages)
        check(slabs.core)
        assert len(pages) <= most_pages
        assert not taken.keys() & {offset for offset, _ in pages}
        taken |= pages
    return taken


def pages(offsets: set[int] | None) -> list[int] | None:
    """The numbers of pages, for short."""
    return None if offsets is None else sorted(offset // PAGE_SIZE for offset in offsets)
