"""
A process that stands still, and its time with it: from some moment on, until nobody needs it any more.

The moment may be a count of the process's own: how many instructions the kernel has executed while it did not stand
still; time over which the clock has jumped is none. So a program that is read out again and again is so at the same
counts as if nobody had read it out before, and one that sleeps is not read out again and again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import anyio

from fluke_async.errors import FlukeError

if TYPE_CHECKING:
    from fluke_async.embedding.driver import Driver
    from fluke_async.embedding.process import Process


class Alarm:
    """One entry in the kernel's timeline."""

    def __init__(self) -> None:
        self.is_open = True

    @property
    def is_awaited(self) -> bool:
        """Nobody goes on by it, so a kernel in which nothing else can happen does not wait for it."""
        return False


class Stop:
    """Somebody who needs a process to stand still: now, or with `every` at the next multiple of that count."""

    def __init__(self, process: Process, every: int | None = None) -> None:
        self._stillness = process.stillness
        self.every = every
        self.due = 0  # the process's own count at which it stands still
        self.has_come = False
        self.is_over = False
        self.reached = anyio.Event()

    async def wait(self) -> None:
        """
        Wait until the process stands still; it does until `go_on`.

        Raises:
            FlukeError: it has ended before that.
        """
        await self._stillness.driver.call(lambda: self._stillness.plan(self))
        await self.reached.wait()
        if not self.has_come:
            raise FlukeError(f"process {self._stillness.process.name!r} has ended: there is nothing left of it")

    @property
    def is_later(self) -> bool:
        """Whether there is something to be waited for."""
        return self.every is not None

    @property
    def clock_ns(self) -> int:
        """The kernel's clock at the moment from which the process stands still."""
        return self._stillness.clock_ns

    def go_on(self) -> None:
        """Need it no more, at the fixed point."""
        self.is_over = True
        self._stillness.leave(self)


class Stillness:
    """Of one process: who needs it to stand still. Everything but `over` is done at the fixed point."""

    def __init__(self, driver: Driver, process: Process) -> None:
        self.driver = driver
        self.process = process
        self.clock_ns = 0
        self._planned: list[Stop] = []
        self._holding: list[Stop] = []
        self._left_out = driver.core.time  # of the kernel's count, what the process was not there for
        self._since = 0  # the kernel's count when it came to stand still
        self._put_off: list[Callable[[int], None]] = []
        self._alarm = Alarm()
        self._over = anyio.Event()

    async def over(self) -> None:
        """Wait until the process does not stand still."""
        while self._holding:
            await self._over.wait()

    def put_off(self, action: Callable[[int], None]) -> None:
        """Do something when the process goes on; it is told for how many nanoseconds of its clock that stood still."""
        self._put_off.append(action)

    @property
    def count(self) -> int:
        """What the kernel has executed so far while the process did not stand still."""
        return (self._since if self._holding else self.driver.core.time) - self._left_out

    def plan(self, stop: Stop) -> None:
        """Have the process stand still when the moment has come; one that has ended never does."""
        process = self.process
        if process.loaded is None or (process.has_ended and stop.is_later):
            stop.reached.set()
        elif self._holding and not stop.is_later:
            self._come(stop)
        else:  # also if it is due: what it has asked devices for goes there before, in its own time
            self._planned.append(stop)
            stop.due = self.count if stop.every is None else (self.count // stop.every + 1) * stop.every
            self._arm()

    def disarm(self) -> None:
        """The kernel's clock may jump now, and its count with it: that is no moment to look at."""
        self._alarm.is_open = False

    def jumped(self, by: int) -> None:
        """The clock has jumped, or not: look again when it is time."""
        if not self._holding:
            self._left_out += by
            self._arm()

    def _arm(self) -> None:
        """Have the kernel look when the first moment comes that is planned."""
        self.disarm()
        if self._planned and not self._holding:
            self._alarm, core = Alarm(), self.driver.core
            core.at(core.time + min(stop.due for stop in self._planned) - self.count, self._look, self._alarm)

    def _look(self) -> None:
        """A moment has come: what devices answer at that same moment, they answer before, in the process's time."""
        count = self.count
        for stop in self._planned:
            if stop.due <= count:
                self._alarm = Alarm()
                self.driver.core.at(self.driver.core.time, self._take_in, self._alarm)
                return
        self._arm()

    def _take_in(self) -> None:
        count = self.count
        for stop in tuple(self._planned):
            if stop.due <= count:
                self._come(stop)
        self._arm()

    def _come(self, stop: Stop) -> None:
        if not self._holding:
            self.clock_ns, self._since = self.driver.now_ns(), self.driver.core.time
            self._over = anyio.Event()
            self.process.attached.timer.stop()
            self.driver.set_held(self.process, True)
        if stop in self._planned:
            self._planned.remove(stop)
        self._holding.append(stop)
        stop.has_come = True
        self.driver.tell(stop.reached)

    def leave(self, stop: Stop) -> None:
        """Let the process go on if nobody else needs it. Where the clock counts instructions, it has lost no time."""
        process, driver = self.process, self.driver
        if stop in self._planned:
            self._planned.remove(stop)
        if stop not in self._holding:
            return
        self._holding.remove(stop)
        if self._holding:
            return
        self._left_out += driver.core.time - self._since
        self._over.set()
        if process.loaded is not None:
            away_ns = 0 if driver.clock.is_real else driver.now_ns() - self.clock_ns
            process.attached.go_on(process.attached.timer.offset_ns - away_ns)
            driver.set_held(process, False)
            put_off, self._put_off = self._put_off, []
            for action in put_off:
                action(away_ns)
        self._arm()

    def end(self, *, is_gone: bool) -> None:
        """The process has ended, or its budget has stopped it, so that no count is reached: what was planned is off."""
        for stop in tuple(self._planned):
            if is_gone or stop.is_later:
                self._planned.remove(stop)
                stop.reached.set()
