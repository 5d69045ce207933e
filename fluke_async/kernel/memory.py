"""
Physical memory: frames, and the quota that pays for them and for every kernel object.

A frame is named by its address in RAM. Frames are zero when they are handed out. Everything that a program can make
the kernel allocate is charged first, so no program can exhaust the host.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Protocol

from fluke_async.abi.codes import PAGE_SIZE

ZERO_PAGE = bytes(PAGE_SIZE)


class Hardware(Protocol):
    """What the kernel asks of the engine: its memory, and that it forget code and translations."""

    ram: memoryview
    code_frames: set[int]

    def invalidate(self, frame_address: int, size: int) -> None:
        """Forget code translated from these bytes."""


class Quota:
    """Bytes that may be used, and bytes that are."""

    __slots__ = ("limit_bytes", "used_bytes")

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.used_bytes = 0

    def charge(self, size_bytes: int) -> bool:
        """Take `size_bytes`, or nothing and return False."""
        if self.used_bytes + size_bytes > self.limit_bytes:
            return False
        self.used_bytes += size_bytes
        return True

    def release(self, size_bytes: int) -> None:
        """Give `size_bytes` back."""
        assert size_bytes <= self.used_bytes
        self.used_bytes -= size_bytes


class Frames:
    """
    The frames of RAM, in use or free.

    `sharers` says of a frame that several pages of the root share, each until it is written, how many they are beside
    one; of a frame that has been shared, and whose last page has not been written since, that there are none.
    """

    __slots__ = ("_fresh", "_hardware", "_quota", "_returned", "sharers")

    def __init__(self, hardware: Hardware, quota: Quota) -> None:
        self._hardware = hardware
        self._quota = quota
        self._fresh = 0
        self._returned: list[int] = []
        self.sharers: Counter[int] = Counter()

    @property
    def in_use(self) -> int:
        """Frames handed out and not returned."""
        return self._fresh // PAGE_SIZE - len(self._returned)

    def allocate(self) -> int | None:
        """A zeroed frame, or None if the quota or the memory is used up."""
        ram = self._hardware.ram
        if self._returned:
            if not self._quota.charge(PAGE_SIZE):
                return None
            frame = self._returned.pop()
            ram[frame : frame + PAGE_SIZE] = ZERO_PAGE
            return frame
        if self._fresh + PAGE_SIZE > len(ram) or not self._quota.charge(PAGE_SIZE):
            return None
        frame = self._fresh
        self._fresh += PAGE_SIZE
        return frame

    def share(self, frames: Iterable[int]) -> None:
        """One page more has each of the frames, until it is written."""
        self.sharers.update(frames)

    def unshare(self, frame: int) -> int | None:
        """
        What a page that shares a frame gets for itself: a copy or, if it is the last, the frame.

        None, and nothing has happened, if there is no memory for the copy.
        """
        if not self.sharers[frame]:
            del self.sharers[frame]
            return frame
        copied = self.copy(frame)
        if copied is not None:
            self.release(frame)
        return copied

    def copy(self, frame: int) -> int | None:
        """Another frame with the same contents, or None if the quota or the memory is used up."""
        copied = self.allocate()
        if copied is not None:
            ram = self._hardware.ram
            ram[copied : copied + PAGE_SIZE] = ram[frame : frame + PAGE_SIZE]
        return copied

    def release(self, frame: int) -> bool:
        """A page gives the frame up; whether it was the last, and the frame is free: its code is forgotten."""
        sharers = self.sharers.pop(frame, 0)
        if sharers:
            self.sharers[frame] = sharers - 1
            return False
        if frame in self._hardware.code_frames:
            self._hardware.invalidate(frame, PAGE_SIZE)
        self._returned.append(frame)
        self._quota.release(PAGE_SIZE)
        return True
