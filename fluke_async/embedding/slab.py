"""
A slab: the part of the root's memory that one space has for itself, and the objects in it.

The embedding works for the root of the memory tree. It lays memory and objects out in a slab, makes a region over the
slab, and maps the region's parts into the new space, each with the access that it needs. The objects that a parent
would keep (space, region, mappings, ports) live in the slab too, beyond what the space can see.

A program's memory ends far below what a space could have, so that another program can see all of it beside its own.
"""

from __future__ import annotations

from typing import TypeVar

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_END, Prot
from fluke_async.errors import FlukeError
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject, Links
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space

T = TypeVar("T", bound=KernelObject)

PROGRAM_END = USER_END // 4  # where a program's memory ends, and its parent's part of the slab begins


class OutOfMemory(FlukeError):
    """The kernel's memory is used up."""

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f'the kernel\'s memory of {limit_bytes} bytes is used up: give it more, such as memory="128M"')


class Slab:
    """
    Memory for one space. Addresses are those of the space; from `end` on they are the parent's.

    Every method may raise `OutOfMemory`; whoever builds then frees the slab, and nothing is left.
    """

    def __init__(self, core: Core, end: int = PROGRAM_END) -> None:
        self.core = core
        self.start = core.root.new_slab()
        self.end = end
        self._next_parent_slot = end
        self._parent_frames: dict[int, int] = {}  # of the pages that have the parent's objects

    def free(self) -> None:
        """Free the memory, with all objects in it."""
        self.core.root.free_slab(self.core, self.start)

    def new_space(self, hash_: int = 0) -> tuple[Space, Region]:
        """The space, with nothing mapped yet and by default a new hash, and the region over all of the slab."""
        space = self.parent_object(Space, hash_)
        region = self.parent_object(Region)
        self.give_access(region, {"space": self.core.root})
        return space, region

    def give_access(self, region: Region, links: Links) -> None:
        """Let a region be over all of the slab, with all access, and with these links."""
        bits = {"hash": 0, "start_va": self.start, "size": self.end, "prot": int(Prot.ALL)}
        region.import_state(self.core, None, bits, links)

    def map(self, space: Space, region: Region, start: int, end: int, prot: int) -> None:
        """Let the space see a part of its slab, at the same addresses."""
        if start >= end:
            return
        bits = {"hash": 0, "region_off": start, "start_va": start, "size": end - start, "prot": int(prot)}
        self.parent_object(Mapping).import_state(self.core, None, bits, {"region": region, "space": space})

    def store(self, address: int, data: bytes | memoryview) -> None:
        """Put bytes at an address."""
        done = 0
        while done < len(data):
            offset = (address + done) % PAGE_SIZE
            length = min(len(data) - done, PAGE_SIZE - offset)
            start = self.frame(address + done - offset) + offset
            self.core.hardware.ram[start : start + length] = data[done : done + length]
            done += length

    def parent_object(self, kind: type[T], hash_: int = 0) -> T:
        """Make one of the objects that the space cannot see."""
        made = self.parent_object_at(self._next_parent_slot, kind, hash_)
        self._next_parent_slot += SLOT_SIZE
        return made

    def parent_object_at(self, address: int, kind: type[T], hash_: int = 0) -> T:
        """Make one of them at a free slot of a page that has no others."""
        page = address // PAGE_SIZE * PAGE_SIZE
        frame = self._parent_frames.get(page)
        if frame is None:
            frame = self._parent_frames[page] = self.frame(page)
        return self._create(kind, frame + address - page, hash_)

    def offset_of(self, made: KernelObject) -> int:
        """Where in the slab one of these is."""
        inside = made.address % PAGE_SIZE
        return next(page + inside for page, frame in self._parent_frames.items() if frame == made.address - inside)

    def object_at(self, address: int, kind: type[T], hash_: int = 0) -> T:
        """Make an object at a free slot, by default with a new hash."""
        page = address // PAGE_SIZE * PAGE_SIZE
        return self._create(kind, self.frame(page) + address - page, hash_)

    def _create(self, kind: type[T], slot: int, hash_: int) -> T:
        created = self.core.create(kind, slot, hash_)
        if created is None:
            raise self._out_of_memory()
        assert isinstance(created, kind)
        return created

    def frame(self, page_address: int) -> int:
        """The frame of a page, to be written; it is zero at the first touch."""
        frame = self.core.root.frame_at(self.core, self.start + page_address, write=True)
        if frame is None:
            raise self._out_of_memory()
        return frame

    def _out_of_memory(self) -> OutOfMemory:
        return OutOfMemory(self.core.quota.limit_bytes)
