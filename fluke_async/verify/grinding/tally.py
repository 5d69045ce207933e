"""What became of the calls: counts for each entry point, from the events of the trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.kernel.trace import Event

HEADINGS = ("calls", "success", "other status", "exceptions", "waits")


class Tally:
    """Counts by the call that a thread had made; what a call returns in `a0` counts as its status."""

    def __init__(self) -> None:
        self.counts: Counter[tuple[str, str]] = Counter()
        self.exceptions: Counter[str] = Counter()
        self._making: dict[int, str] = {}  # by the hash of the thread

    def note(self, event: tuple[Any, ...]) -> None:
        """Take note of an event."""
        _, kind, thread, *fields = event
        if kind is Event.TRAP:
            self._making[thread] = fields[0]
            self.counts[fields[0], "calls"] += 1
        elif kind is Event.FINISH or kind is Event.COMPLETE:
            name = self._making.get(thread, fields[0])
            self.counts[name, "other status" if fields[1] else "success"] += 1
        elif kind is Event.EXCEPTION:
            self.exceptions[ExceptionCode(fields[0]).name] += 1
            if thread in self._making:
                self.counts[self._making[thread], "exceptions"] += 1
        elif kind is Event.WAIT and thread in self._making:
            self.counts[self._making[thread], "waits"] += 1

    def add(self, other: Tally) -> None:
        """Take another's counts in."""
        self.counts += other.counts
        self.exceptions += other.exceptions

    @property
    def shallow(self) -> list[str]:
        """The calls that nobody has made, or that have only come to exceptions: of them little has been seen."""
        return [
            entry.name
            for entry in ENTRY_POINTS
            if not any(self.counts[entry.name, heading] for heading in ("success", "other status", "waits"))
        ]

    def lines(self) -> Iterator[str]:
        """A table."""
        yield f"{'entry point':45}" + "".join(f"{heading:>14}" for heading in HEADINGS)
        for entry in ENTRY_POINTS:
            yield f"{entry.name:45}" + "".join(f"{self.counts[entry.name, heading]:14,}" for heading in HEADINGS)
        yield "exceptions: " + ", ".join(f"{name} {count:,}" for name, count in self.exceptions.most_common())
