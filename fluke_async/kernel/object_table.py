"""Which object lives at which physical slot; the one index by which objects are found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from fluke_async.abi.codes import SLOT_SIZE
from fluke_async.kernel.translation import FRAME_MASK, OFFSET_MASK

if TYPE_CHECKING:
    from fluke_async.kernel.objects.base import KernelObject


class ObjectTable(dict[int, "KernelObject"]):
    """Objects by their addresses, and which slots of each frame have some."""

    def __init__(self) -> None:
        super().__init__()
        self._slots: dict[int, int] = {}  # a bit for each, by frame

    def enter(self, target: KernelObject) -> bool:
        """Add an object, at its address; whether it is the first of its frame."""
        assert target.address not in self
        assert target.address % SLOT_SIZE == 0
        self[target.address] = target
        frame = target.address & FRAME_MASK
        slots = self._slots.get(frame, 0)
        self._slots[frame] = slots | _slot(target)
        return not slots

    def leave(self, target: KernelObject) -> bool:
        """Take an object out; whether it was the last of its frame."""
        del self[target.address]
        frame = target.address & FRAME_MASK
        self._slots[frame] ^= _slot(target)
        if self._slots[frame]:
            return False
        del self._slots[frame]
        return True

    def are_in(self, frame: int) -> bool:
        """Whether a frame holds objects."""
        return frame in self._slots

    def in_frame(self, frame: int) -> Iterator[KernelObject]:
        """The objects of a frame, in order; the caller may take each out as it comes."""
        slots = self._slots.get(frame, 0)
        while slots:
            first = slots & -slots
            slots ^= first
            yield self[frame + (first.bit_length() - 1) * SLOT_SIZE]


def _slot(target: KernelObject) -> int:
    """The bit of the slot in which an object lives."""
    return 1 << (target.address & OFFSET_MASK) // SLOT_SIZE
