"""Slabs that can share pages, each seen by a space of its own: what the tests of sharing have in common."""

from __future__ import annotations

from typing import TypeVar

from fluke_async.abi.codes import PAGE_SIZE, Prot
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.memory_tree import HERE

T = TypeVar("T", bound=KernelObject)


class Slabs:
    """
    A few slabs of the root. Each has a region over its first pages, and a space that sees them at HERE.

    A slab is named by its number. The spaces see the machine's memory too, and programs can name all of the objects.
    """

    def __init__(self, machine: Machine, slabs: int = 2, pages: int = 4) -> None:
        self.machine, self.core, self.pages = machine, machine.core, pages
        self.starts = [machine.core.root.new_slab() for _ in range(slabs)]
        self.regions = [machine.new(Region) for _ in self.starts]
        self.spaces = [machine.new_space() for _ in self.starts]
        for start, region, space in zip(self.starts, self.regions, self.spaces, strict=True):
            bits = {"start_va": start, "size": pages * PAGE_SIZE, "prot": int(Prot.ALL)}
            machine.load(region, bits, space=machine.core.root)
            machine.map(space, region, HERE, pages * PAGE_SIZE)

    def share(self, source: int = 0, target: int = 1) -> bool:
        """Let a slab that has no frames have the contents of another."""
        size = self.pages * PAGE_SIZE
        return self.core.root.share(self.core, self.starts[source], size, self.starts[target])

    def free(self, slab: int) -> None:
        """Free a slab whose region has ended."""
        self.core.destroy(self.regions[slab])
        self.core.root.free_slab(self.core, self.starts[slab])

    def frame(self, slab: int, page: int = 0) -> int | None:
        """The frame of a page, if it has one."""
        address = self.starts[slab] + page * PAGE_SIZE
        found = self.core.root.next_frame(address, address + PAGE_SIZE)
        return None if found is None else found[1]

    def create(self, kind: type[T], slab: int, page: int) -> T:
        """An object at the start of a page."""
        frame = self.core.root.frame_at(self.core, self.starts[slab] + page * PAGE_SIZE, write=True)
        assert frame is not None
        created = self.core.create(kind, frame)
        assert isinstance(created, kind)
        return created

    def spawn(self, slab: int, *parts: Part) -> Thread:
        """Run a program of a slab's space until all is idle."""
        thread = self.machine.spawn(*parts, space=self.spaces[slab])
        self.machine.run()
        return thread

    def store(self, slab: int, page: int, number: int) -> Thread:
        """Have a program write the first word of a page."""
        return self.spawn(slab, ("li", "s2", number), ("store", "s2", "zero", HERE + page * PAGE_SIZE))

    def load(self, slab: int, page: int = 0) -> int:
        """What a program reads as the first word of a page."""
        thread = self.spawn(slab, ("load", "s2", "zero", HERE + page * PAGE_SIZE))
        assert self.machine.done(thread)
        return self.machine.register(thread, "s2")

    def loads(self, slab: int) -> list[int]:
        """The first words of all pages."""
        return [self.load(slab, page) for page in range(self.pages)]
