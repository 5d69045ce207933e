"""Regions: ranges of a space's addresses that can be mapped into other spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, ObjectType
from fluke_async.abi.layouts import REGION_STATE
from fluke_async.abi.registers import A0, A1
from fluke_async.kernel.checks import check_protection, page_range, protection
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.base import KernelObject, Link, Links, StateBits
from fluke_async.kernel.revocation import revoke_region
from fluke_async.kernel.translation import WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.mapping import Mapping
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.space import Space
    from fluke_async.kernel.objects.thread import Thread


class Region(KernelObject):
    """`size` bytes of `space` from `start`, with at most the access `prot`."""

    __slots__ = ("keeper", "mappings", "prot", "size", "space", "start")

    type = ObjectType.REGION
    wrong_type = ExceptionCode.NOT_REGION
    layout = REGION_STATE
    links = (
        Link("space", frozenset({ObjectType.SPACE}), ExceptionCode.NOT_SPACE_REF),
        Link("keeper", frozenset({ObjectType.PORT}), ExceptionCode.NOT_PORT_REF),
    )

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.start = 0
        self.size = 0
        self.prot = 0
        self.space: Space | None = None
        self.keeper: Port | None = None
        self.mappings: dict[Mapping, None] = {}

    def export_bits(self) -> StateBits:
        return {"hash": self.hash, "start_va": self.start, "size": self.size, "prot": self.prot}

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        if bits is not None:
            start, size = page_range(by, bits, "start_va", "size")
            prot = protection(by, bits)
        if bits is not None or "space" in links:  # else what was looked up through it stays true
            revoke_region(core, self)
            if self.space is not None:
                self.space.regions.remove(self)
            if bits is not None:
                self.start, self.size, self.prot = start, size, prot
            if "space" in links:
                self.space = links["space"]  # type: ignore[assignment]  # the link's types say so
            if self.space is not None:
                self.space.regions.add(self)
        if "keeper" in links:
            before = self.keeper
            self.keeper = links["keeper"]  # type: ignore[assignment]
            if before is not None and before is not self.keeper:
                before.turn_questions_away(core)

    def on_destroy(self, core: Core) -> None:
        revoke_region(core, self)
        for mapping in self.mappings:
            mapping.region = None
        self.mappings.clear()
        if self.space is not None:
            self.space.regions.remove(self)
            self.space = None


def region_protect(core: Core, thread: Thread) -> int:
    """Set the greatest access; all that was derived from the region is looked up anew."""
    region = object_at(core, thread, thread.registers[A0], Region, WRITE)
    prot = check_protection(thread, thread.registers[A1])
    revoke_region(core, region)
    region.prot = prot
    return 0
