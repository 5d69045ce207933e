"""
The kernel's clock, as devices see it: nanoseconds since the kernel started.

The virtual clock is the count of instructions, one a nanosecond; while everything is idle it jumps to what comes next.
The real clock is the host's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

from fluke_async.kernel.core import Core
from fluke_async.kernel.trace import Event


class Clock(Protocol):
    """Tells the time and does things in time; a real one goes on whatever the kernel waits for."""

    is_real: bool

    def now_ns(self) -> int:
        """Nanoseconds since the kernel started."""
        ...

    def call_at(self, instant_ns: int, action: Callable[[], None]) -> None:
        """Do `action` when the instant has come."""
        ...

    def collect(self) -> None:
        """Do what is due, where the core does not do it itself."""
        ...

    def idle_for(self) -> float | None:
        """Everything is idle: seconds of host time to wait for what comes next; 0: it is there; None: nothing comes."""
        ...


class VirtualClock:
    """Time is the core's count; the core itself does what is due, at the exact count."""

    is_real = False

    def __init__(self, core: Core) -> None:
        self._core = core

    def now_ns(self) -> int:
        return self._core.time

    def call_at(self, instant_ns: int, action: Callable[[], None]) -> None:
        self._core.at(instant_ns, action)

    def collect(self) -> None:
        pass

    def idle_for(self) -> float | None:
        core = self._core
        if core.next_action_time is None:
            return None
        if core.next_action_time > core.time:
            core.time = core.next_action_time
            if core.trace is not None:
                core.trace((core.time, Event.JUMP, 0, core.time))
        return 0.0


class RealClock:
    """The host's monotonic clock."""

    is_real = True

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()
        self._timeline: list[tuple[int, int, Callable[[], None]]] = []
        self._count = 0

    def now_ns(self) -> int:
        return time.monotonic_ns() - self._start_ns

    def call_at(self, instant_ns: int, action: Callable[[], None]) -> None:
        self._count += 1
        heappush(self._timeline, (instant_ns, self._count, action))

    def collect(self) -> None:
        while self._timeline and self._timeline[0][0] <= self.now_ns():
            heappop(self._timeline)[2]()

    def idle_for(self) -> float | None:
        if not self._timeline:
            return None
        return max(0.0, (self._timeline[0][0] - self.now_ns()) / 1e9)
