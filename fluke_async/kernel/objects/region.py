"""Regions: ranges of a space's addresses that can be mapped into other spaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, ObjectType
from fluke_async.abi.layouts import REGION_STATE
from fluke_async.kernel.checks import page_range, protection
from fluke_async.kernel.objects.base import KernelObject, Link, Links, StateBits
from fluke_async.kernel.translation import revoke_spaces

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
        self.mappings: set[Mapping] = set()

    def export_bits(self) -> StateBits:
        return {"hash": self.hash, "start_va": self.start, "size": self.size, "prot": self.prot}

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        if bits is not None:
            start, size = page_range(by, bits, "start_va", "size")
            prot = protection(by, bits)
        revoke_spaces(core, [mapping.space for mapping in self.mappings])
        if bits is not None:
            self.start, self.size, self.prot = start, size, prot
        if "space" in links:
            if self.space is not None:
                self.space.regions.discard(self)
            self.space = links["space"]  # type: ignore[assignment]  # the link's types say so
            if self.space is not None:
                self.space.regions.add(self)
        if "keeper" in links:
            self.keeper = links["keeper"]  # type: ignore[assignment]

    def on_destroy(self, core: Core) -> None:
        revoke_spaces(core, [mapping.space for mapping in self.mappings])
        for mapping in self.mappings:
            mapping.region = None
        self.mappings.clear()
        if self.space is not None:
            self.space.regions.discard(self)
            self.space = None
