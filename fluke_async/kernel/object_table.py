"""Which object lives at which physical slot; the one index by which objects are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE
from fluke_async.kernel.translation import FRAME_MASK

if TYPE_CHECKING:
    from fluke_async.kernel.objects.base import KernelObject


class ObjectTable(dict[int, "KernelObject"]):
    """Objects by their addresses, and how many there are in each frame."""

    def __init__(self) -> None:
        super().__init__()
        self._count_in_frame: dict[int, int] = {}

    def enter(self, target: KernelObject) -> None:
        """Add an object, at its address."""
        assert target.address not in self
        assert target.address % SLOT_SIZE == 0
        self[target.address] = target
        frame = target.address & FRAME_MASK
        self._count_in_frame[frame] = self._count_in_frame.get(frame, 0) + 1

    def leave(self, target: KernelObject) -> None:
        """Take an object out."""
        del self[target.address]
        frame = target.address & FRAME_MASK
        self._count_in_frame[frame] -= 1
        if not self._count_in_frame[frame]:
            del self._count_in_frame[frame]

    def are_in(self, frame: int) -> bool:
        """Whether a frame holds objects."""
        return frame in self._count_in_frame

    def in_frame(self, frame: int) -> Iterator[KernelObject]:
        """The objects of a frame; the caller may take them out as it goes."""
        if frame in self._count_in_frame:
            for address in range(frame, frame + PAGE_SIZE, SLOT_SIZE):
                if address in self:
                    yield self[address]
