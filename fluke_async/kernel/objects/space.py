"""Spaces: address spaces, and the root of memory."""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, ObjectType
from fluke_async.abi.layouts import SPACE_STATE
from fluke_async.kernel.account import Account
from fluke_async.kernel.objects.base import KernelObject, Link, Links, StateBits
from fluke_async.kernel.params import SLAB_SIZE
from fluke_async.kernel.translation import revoke_spaces

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.mapping import Mapping
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.region import Region
    from fluke_async.kernel.objects.thread import Thread


def _start(mapping: Mapping) -> int:
    return mapping.start


def _start_and_size(mapping: Mapping) -> tuple[int, int]:
    return mapping.start, mapping.size  # an empty mapping comes before the one that it shares its start with


class Space(KernelObject):
    """
    An address space: mappings in order of address, and the page table that is filled from them on demand.

    `pages` maps a virtual page number to `frame | access`; what is in it can be used as it is. `account` bounds the
    instructions that the threads may still execute; a space has that of the program which made it.
    """

    __slots__ = ("_mappings", "account", "keeper", "pages", "regions")

    type = ObjectType.SPACE
    wrong_type = ExceptionCode.NOT_SPACE
    layout = SPACE_STATE
    links = (Link("keeper", frozenset({ObjectType.PORT}), ExceptionCode.NOT_PORT_REF),)
    is_root = False

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.pages: dict[int, int] = {}
        self.regions: set[Region] = set()
        self.keeper: Port | None = None
        self.account = Account()
        self._mappings: list[Mapping] = []

    def mapping_at(self, address: int) -> Mapping | None:
        """The mapping that covers `address`."""
        index = bisect_right(self._mappings, address, key=_start)
        if index == 0:
            return None
        mapping = self._mappings[index - 1]
        return mapping if address < mapping.start + mapping.size else None

    def overlapping(self, start: int, size: int, *, but: Mapping | None = None) -> Mapping | None:
        """A mapping other than `but` that covers part of the range."""
        first = max(0, bisect_right(self._mappings, start, key=_start) - 1)
        for mapping in self._mappings[first:]:
            if mapping.start >= start + size:
                break
            if mapping is not but and start < mapping.start + mapping.size:
                return mapping
        return None

    def insert(self, mapping: Mapping) -> None:
        """Add a mapping, which must not overlap another."""
        insort(self._mappings, mapping, key=_start_and_size)

    def remove(self, mapping: Mapping) -> None:
        """Take a mapping out."""
        index = bisect_left(self._mappings, mapping.start, key=_start)
        while self._mappings[index] is not mapping:  # empty mappings may share a start
            index += 1
        del self._mappings[index]

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        if "keeper" in links:
            self.keeper = links["keeper"]  # type: ignore[assignment]

    def on_destroy(self, core: Core) -> None:
        revoke_spaces(core, [self])
        for mapping in self._mappings:
            mapping.space = None
        self._mappings.clear()
        for region in tuple(self.regions):
            region.import_state(core, None, None, {"space": None})
        for thread in tuple(self.account.threads):  # those of all spaces of the program
            if thread.space is self:
                core.leave_space(thread)


class RootSpace(Space):
    """
    The root of the memory tree: owns the RAM, zero-filled on first touch.

    Its addresses fall into slabs, one for each program, so that a program's frames are found without a search.
    """

    __slots__ = ("_slabs",)

    is_root = True

    def __init__(self, hash_: int) -> None:
        super().__init__(-1, hash_)
        self._slabs: dict[int, dict[int, int]] = {}

    def new_slab(self) -> int:
        """The first address of an unused slab."""
        number = 0
        while number in self._slabs:
            number += 1
        self._slabs[number] = {}
        return number * SLAB_SIZE

    def frame_at(self, core: Core, address: int) -> int | None:
        """The frame behind an address, allocated at the first touch; None if the quota is used up."""
        slab = self._slabs.get(address // SLAB_SIZE)
        if slab is None:
            return None
        page = address // PAGE_SIZE
        frame = slab.get(page)
        if frame is None:
            frame = core.frames.allocate()
            if frame is not None:
                slab[page] = frame
        return frame

    def frames(self) -> Iterator[tuple[int, int]]:
        """Every address that has a frame, with it."""
        for slab in self._slabs.values():
            for page, frame in slab.items():
                yield page * PAGE_SIZE, frame

    def free_slab(self, core: Core, start: int) -> None:
        """Free all frames of a slab, with the objects that live in them."""
        frames = self._slabs.pop(start // SLAB_SIZE)
        for frame in frames.values():
            core.destroy_objects_in(frame)
        for frame in frames.values():
            core.frames.free(frame)
