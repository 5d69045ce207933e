"""Somebody who looks at memory again and again, by holds, while others write it; and whether each had its moment."""

from __future__ import annotations

from dataclasses import dataclass, field

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.core import Core
from fluke_async.kernel.hold import Hold

KEPT = 3  # holds at a time
TAKEN_MAX = 3  # pages of each, at one look


@dataclass(slots=True)
class Look:
    """A hold, a full copy of its moment, and what has been taken of it."""

    hold: Hold
    copy: dict[int, bytes]
    taken: dict[int, bytes] = field(default_factory=dict)


class Onlooker:
    """
    Holds `size` bytes of a slab at every look, and takes a few pages of all holds that there are.

    `told` counts the pages that were told to have changed. Raises AssertionError when something is not as it was.
    """

    def __init__(self, core: Core, start: int, size: int) -> None:
        self._core, self._start, self._size = core, start, size
        self._looks: list[Look] = []
        self.looks = self.told = 0

    def look(self) -> None:
        """Another moment; no engine may run."""
        core = self._core
        for each in self._looks:
            each.taken |= each.hold.take(core, 1 + self.looks % TAKEN_MAX)
        copy = self._contents()
        latest = Look(core.root.hold(core, self._start, self._size), copy)
        if self._looks:
            self._compare(self._looks[-1], latest)
        self._looks.append(latest)
        if len(self._looks) > KEPT:
            self._finish(self._looks.pop(0))
        self.looks += 1

    def end(self) -> None:
        """Take all that is left."""
        while self._looks:
            self._finish(self._looks.pop(0))

    def _contents(self) -> dict[int, bytes]:
        ram, start, end = self._core.hardware.ram, self._start, self._start + self._size
        frames = [(address, frame) for address, frame in self._core.root.frames() if start <= address < end]
        return {address - start: bytes(ram[frame : frame + PAGE_SIZE]) for address, frame in frames}

    def _compare(self, earlier: Look, later: Look) -> None:
        told = later.hold.changed_since(earlier.hold)
        changed = {offset for offset, content in later.copy.items() if earlier.copy.get(offset) != content}
        assert told is not None, "it is not known what has changed"
        assert changed <= told, f"of the pages at {sorted(changed - told)} nobody was told that they have changed"
        self.told += len(told)

    def _finish(self, look: Look) -> None:
        while not look.hold.is_done:
            look.taken |= look.hold.take(self._core, TAKEN_MAX)
        wrong = {offset for offset, content in look.copy.items() if look.taken.get(offset) != content}
        assert not wrong, f"the pages at {sorted(wrong)} are not those of their moment"
        assert look.taken.keys() == look.copy.keys()
        look.hold.end(self._core)
