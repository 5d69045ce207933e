"""
The kernel's clock, as devices see it: nanoseconds since the kernel started.

The virtual clock is the count of instructions, one a nanosecond; while everything is idle it jumps to what comes next.
The real clock is the host's.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from fluke_async.kernel.core import Core
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.timeline import Timeline
from fluke_async.kernel.trace import Event


class Clock(Protocol):
    """Tells the time and does things in time; a real one goes on whatever the kernel waits for."""

    is_real: bool

    def now_ns(self) -> int:
        """Nanoseconds since the kernel started."""
        ...

    def call_at(self, instant_ns: int, action: Callable[[], None], request: DeviceRequest) -> None:
        """Do `action` when the instant has come, if `request` is still open then."""
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

    def call_at(self, instant_ns: int, action: Callable[[], None], request: DeviceRequest) -> None:
        self._core.at(instant_ns, action, request)

    def collect(self) -> None:
        pass

    def idle_for(self) -> float | None:
        core = self._core
        next_time = core.timeline.next_time
        # For nobody but stopped programs the clock does not jump: they would find that time had passed.
        if next_time is None or not core.timeline.is_awaited:
            return None
        if next_time > core.time:
            core.time = next_time
            if core.trace is not None:
                core.trace((core.time, Event.JUMP, 0, core.time))
        return 0.0


class RealClock:
    """The host's monotonic clock."""

    is_real = True

    def __init__(self) -> None:
        self._start_ns = time.monotonic_ns()
        self._timeline = Timeline()

    def now_ns(self) -> int:
        return time.monotonic_ns() - self._start_ns

    def call_at(self, instant_ns: int, action: Callable[[], None], request: DeviceRequest) -> None:
        self._timeline.add(instant_ns, action, request)

    def collect(self) -> None:
        self._timeline.act(self.now_ns())

    def idle_for(self) -> float | None:
        next_time = self._timeline.next_time
        return None if next_time is None else max(0.0, (next_time - self.now_ns()) / 1e9)
