"""Mappings: parts of regions, made visible in a space."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, USER_END, USER_START, ExceptionCode, ObjectType
from fluke_async.abi.layouts import MAPPING_STATE
from fluke_async.abi.registers import A0, A1
from fluke_async.kernel.checks import ADDRESS_END, check_protection, mistake, number, page_range, protection
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.base import KernelObject, Link, Links, StateBits
from fluke_async.kernel.revocation import revoke_range
from fluke_async.kernel.translation import WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.region import Region
    from fluke_async.kernel.objects.space import Space
    from fluke_async.kernel.objects.thread import Thread


class Mapping(KernelObject):
    """`size` bytes of `region` from `offset` appear in `space` at `start`, with at most the access `prot`."""

    __slots__ = ("offset", "prot", "region", "size", "space", "start")

    type = ObjectType.MAPPING
    wrong_type = ExceptionCode.NOT_MAPPING
    layout = MAPPING_STATE
    links = (
        Link("region", frozenset({ObjectType.REGION}), ExceptionCode.NOT_REGION_REF),
        Link("space", frozenset({ObjectType.SPACE}), ExceptionCode.NOT_SPACE_REF),
    )

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.offset = 0
        self.start = 0
        self.size = 0
        self.prot = 0
        self.region: Region | None = None
        self.space: Space | None = None

    def export_bits(self) -> StateBits:
        return {
            "hash": self.hash,
            "region_off": self.offset,
            "start_va": self.start,
            "size": self.size,
            "prot": self.prot,
        }

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        start, size, offset, prot = self.start, self.size, self.offset, self.prot
        if bits is not None:
            start, size = page_range(by, bits, "start_va", "size")
            offset, prot = number(bits, "region_off"), protection(by, bits)
            if offset % PAGE_SIZE:
                raise mistake(by, ExceptionCode.NOT_ALIGNED, offset)
            if offset + size > ADDRESS_END:
                raise mistake(by, ExceptionCode.INVALID_ADDRESS, offset)
            if size and not USER_START <= start <= start + size <= USER_END:
                raise mistake(by, ExceptionCode.INVALID_ADDRESS, start)
        space: Space | None = links.get("space", self.space)  # type: ignore[assignment]
        if space is not None:
            if space.is_root:
                raise mistake(by, ExceptionCode.NOT_SPACE_REF, space.hash)
            overlapped = space.overlapping(start, size, but=self)
            if overlapped is not None:
                raise mistake(by, ExceptionCode.ADDRESS_OVERLAP, overlapped.start)

        self._leave_space(core)
        self.start, self.size, self.offset, self.prot = start, size, offset, prot
        self.space = space
        if space is not None:
            space.insert(self)
        if "region" in links:
            if self.region is not None:
                del self.region.mappings[self]
            self.region = links["region"]  # type: ignore[assignment]
            if self.region is not None:
                self.region.mappings[self] = None

    def on_destroy(self, core: Core) -> None:
        self._leave_space(core)
        self.space = None
        if self.region is not None:
            del self.region.mappings[self]
            self.region = None

    def revoke(self, core: Core) -> None:
        """Forget what was looked up through this mapping."""
        if self.space is not None and self.size:
            revoke_range(core, self.space, self.start, self.size)

    def _leave_space(self, core: Core) -> None:
        if self.space is not None:
            self.revoke(core)
            self.space.remove(self)


def mapping_protect(core: Core, thread: Thread) -> int:
    """Set the access that the mapping asks for."""
    mapping = object_at(core, thread, thread.registers[A0], Mapping, WRITE)
    prot = check_protection(thread, thread.registers[A1])
    mapping.revoke(core)
    mapping.prot = prot
    return 0
