"""Letting a process stand still, at an exact count if that is wanted, so that it can be read out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio

from fluke_async.errors import FlukeError
from fluke_async.kernel.device_request import DeviceRequest

if TYPE_CHECKING:
    from fluke_async.embedding.driver import Driver
    from fluke_async.embedding.process import Process


class Stop:
    """A process stands still, and its clock with it, from a moment on until it is told to go on."""

    def __init__(self, driver: Driver, process: Process) -> None:
        self._driver = driver
        self._process = process
        self._reached = anyio.Event()
        self.clock_ns = 0  # the kernel's clock at that moment
        self.is_open = True  # it has not come

    @property
    def is_awaited(self) -> bool:
        """Nobody goes on by it, so a kernel in which nothing else can happen does not wait for it."""
        return False

    async def wait(self, count: int | None) -> None:
        """
        Wait until the kernel's count has been reached, by default not at all, and the process stands still.

        Raises:
            FlukeError: it has ended before that.
        """
        driver, process = self._driver, self._process
        process.on_end.append(self._reached.set)
        try:
            await driver.call(lambda: self._begin(count))
            await self._reached.wait()
        except BaseException:
            self.is_open = False
            await driver.ensure(self.go_on)
            raise
        finally:
            process.on_end.remove(self._reached.set)
        if process.loaded is None:
            raise FlukeError(f"process {process.name!r} has ended: there is nothing left of it")

    def _begin(self, count: int | None) -> None:
        if self._process.loaded is None:
            self._reached.set()
        elif count is None or count <= self._driver.core.time:
            self._come()
        else:
            self._driver.core.at(count, self._come, self)

    def _come(self) -> None:
        self.is_open = False
        self.clock_ns = self._driver.now_ns()
        self._process.attached.timer.stop()
        self._ask_again()
        self._driver.set_held(self._process, True)
        self._reached.set()

    def _ask_again(self) -> None:
        """Sleeps end by the process's clock, which stands: they are asked for anew, and wait with the timer."""
        loaded, core = self._process.loaded, self._driver.core
        assert loaded is not None
        sleepers = [thread for thread in loaded.account.threads if thread.waiting_for is loaded.timer]
        for thread in sorted(sleepers, key=lambda thread: thread.wait_order):
            if thread.request is not None:
                thread.request = DeviceRequest(loaded.timer, thread, thread.request.words)
                core.request(thread.request)

    @property
    def process_clock_ns(self) -> int:
        """The process's clock: where it stood, and what devices that have answered since have cost."""
        loaded = self._process.loaded
        cost = 0 if loaded is None else loaded.account.answered_cost
        offset_ns: int = self._process.attached.timer.offset_ns
        return self.clock_ns + offset_ns + cost

    def go_on(self) -> None:
        """
        Let it go on, at the fixed point, if it does not yet.

        Where the kernel's clock counts instructions, no time has passed for it.
        """
        process, driver = self._process, self._driver
        if process.is_held:
            offset_ns = process.attached.timer.offset_ns
            process.attached.go_on(offset_ns if driver.clock.is_real else self.process_clock_ns - driver.now_ns())
            process.resumed_count = driver.core.time
            driver.set_held(process, False)
