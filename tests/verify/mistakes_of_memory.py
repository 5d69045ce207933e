"""Mistakes of the kernel in what it keeps of memory and of those who wait for it; see `mistakes`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluke_async.kernel import revocation
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects import thread_state
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread


def wanted_page_not_exported() -> None:
    """Which page a thread waits for is known to the kernel alone."""
    original = thread_state.export_bits

    def export_bits(thread: Thread) -> Any:
        return {**original(thread), "fault_access": 0, "fault_address": 0}

    thread_state.export_bits = export_bits


def keeper_not_exported() -> None:
    """A region that is read out does not name its keeper."""
    original = Region.export_link

    def export_link(self: Region, name: str) -> KernelObject | None:
        return None if name == "keeper" else original(self, name)

    Region.export_link = export_link  # type: ignore[method-assign,assignment]


def keeper_of_a_space_not_exported() -> None:
    """A space that is read out does not say who keeps its threads."""
    original = Space.export_link

    def export_link(self: Space, name: str) -> KernelObject | None:
        return None if name == "keeper" else original(self, name)

    Space.export_link = export_link  # type: ignore[method-assign,assignment]


def mistake_asked_about_not_exported() -> None:
    """That a thread waits for a keeper's word is exported, and not about which mistake."""
    original = thread_state.export_bits

    def export_bits(thread: Thread) -> Any:
        asks = isinstance(thread.question, thread_state.Mistake)
        return {**original(thread), **({"exception": 0, "exception_subcode": 0} if asks else {})}

    thread_state.export_bits = export_bits


def asker_of_a_working_keeper_not_exported() -> None:
    """A server that resolves a fault does not say for whom."""
    original = Thread.export_link

    def export_link(self: Thread, name: str) -> KernelObject | None:
        if name == "client" and self.client is not None and self.client.fault is not None:
            return None
        return original(self, name)

    Thread.export_link = export_link  # type: ignore[assignment, method-assign]


def pages_taken_from_one_space_alone() -> None:
    """What others have derived from a range that is taken away, they keep in their tables."""

    def _revoke(core: Core, pending: list[tuple[Space, int, int]]) -> None:
        for space, start, end in pending:
            core.tables.forget(space, start >> 12, end >> 12)

    revocation.__dict__["_revoke"] = _revoke


MISTAKES: tuple[Callable[[], None], ...] = (
    wanted_page_not_exported,
    keeper_not_exported,
    keeper_of_a_space_not_exported,
    mistake_asked_about_not_exported,
    asker_of_a_working_keeper_not_exported,
    pages_taken_from_one_space_alone,
)
