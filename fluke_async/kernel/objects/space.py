"""Spaces: address spaces."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, ObjectType
from fluke_async.abi.layouts import SPACE_STATE
from fluke_async.kernel.account import Account
from fluke_async.kernel.objects.base import KernelObject, Link, Links, StateBits
from fluke_async.kernel.objects.thread_state import Mistake
from fluke_async.kernel.range_index import RangeIndex
from fluke_async.kernel.revocation import revoke_range

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.mapping import Mapping
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.region import Region
    from fluke_async.kernel.objects.thread import Thread


ADDRESS_END = 1 << 64


class Space(KernelObject):
    """
    An address space: mappings in order of address, and the page table that is filled from them on demand.

    `pages` maps a virtual page number to `frame | access`; what is in it can be used as it is. `account` bounds the
    instructions that the threads may still execute; a space has that of the program which made it.
    """

    __slots__ = ("_mappings", "_starts", "account", "keeper", "pages", "regions")

    type = ObjectType.SPACE
    wrong_type = ExceptionCode.NOT_SPACE
    layout = SPACE_STATE
    links = (Link("keeper", frozenset({ObjectType.PORT}), ExceptionCode.NOT_PORT_REF),)
    is_root = False

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.pages: dict[int, int] = {}
        self.regions: RangeIndex[Region] = RangeIndex()
        self.keeper: Port | None = None
        self.account = Account()
        self._mappings: list[Mapping] = []  # an empty one comes before the one that it shares its start with
        self._starts: list[int] = []

    @property
    def mappings(self) -> Sequence[Mapping]:
        """What is mapped here, in order of address."""
        return self._mappings

    def mapping_at(self, address: int) -> Mapping | None:
        """The mapping that covers `address`."""
        index = bisect_right(self._starts, address)
        if index == 0:
            return None
        mapping = self._mappings[index - 1]
        return mapping if address < mapping.start + mapping.size else None

    def next_start(self, address: int) -> int:
        """Where the first mapping begins that lies behind `address`."""
        index = bisect_right(self._starts, address)
        return self._starts[index] if index < len(self._starts) else ADDRESS_END

    def overlapping(self, start: int, size: int, *, but: Mapping | None = None) -> Mapping | None:
        """A mapping other than `but` that covers part of the range."""
        index = max(0, bisect_right(self._starts, start) - 1)
        while index < len(self._mappings) and self._starts[index] < start + size:
            mapping = self._mappings[index]
            if mapping is not but and start < mapping.start + mapping.size:
                return mapping
            index += 1
        return None

    def insert(self, mapping: Mapping) -> None:
        """Add a mapping, which must not overlap another."""
        place = bisect_left if mapping.size == 0 else bisect_right
        index = place(self._starts, mapping.start)
        self._starts.insert(index, mapping.start)
        self._mappings.insert(index, mapping)

    def remove(self, mapping: Mapping) -> None:
        """Take a mapping out."""
        index = bisect_left(self._starts, mapping.start)
        while self._mappings[index] is not mapping:  # empty mappings may share a start
            index += 1
        del self._starts[index], self._mappings[index]

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        if "keeper" in links:
            before = self.keeper
            self.keeper = links["keeper"]  # type: ignore[assignment]
            if before is not None and before is not self.keeper:
                before.turn_questions_away(core)

    def on_destroy(self, core: Core) -> None:
        revoke_range(core, self, 0, ADDRESS_END)
        for mapping in self._mappings:
            mapping.space = None
        self._mappings.clear()
        self._starts.clear()
        for region in tuple(self.regions):
            region.import_state(core, None, None, {"space": None})
        threads = [
            each for each in self.account.threads if each.space is self
        ]  # else it is in another of the program's
        for thread in sorted(threads, key=lambda thread: (thread.wait_order, thread.address)):
            core.leave_space(thread)
            if isinstance(thread.question, Mistake) and not thread.stopped:  # it has no keeper any more to ask
                thread.drop_call(core)
                core.wake(thread)
