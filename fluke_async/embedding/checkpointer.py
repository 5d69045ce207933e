"""
Checkpoints, restored processes and forks: what the embedding does around the manager's work.

The process's time stands still while it is read out, and its threads with it, so a program that looks at the clock
cannot tell. Its pages are held as they are at that moment, and read while it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import anyio

from fluke_async.abi.orders import OrderKind
from fluke_async.embedding.apart import apart
from fluke_async.embedding.device_states import describe_devices, take_over
from fluke_async.embedding.host_objects import Named, resolve
from fluke_async.embedding.host_queue import STOPPED
from fluke_async.embedding.manager import Manager, Order
from fluke_async.embedding.outside import Outside
from fluke_async.embedding.process import Process
from fluke_async.embedding.reading import Reading
from fluke_async.embedding.restoring import check_fits, fill
from fluke_async.embedding.still import Still
from fluke_async.embedding.stillness import Stop
from fluke_async.errors import FlukeError
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.image import Image
from fluke_async.image.records import to_records
from fluke_async.kernel.params import STAMP_LEAD_MAX
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.embedding.driver import Driver
    from fluke_async.embedding.processes import Processes

INPUT_TO_COME = "what its input stream had not delivered: give the rest when it is restored"


class Checkpointer:
    """Of one kernel."""

    def __init__(self, driver: Driver, processes: Processes) -> None:
        self._driver = driver
        self._processes = processes
        self._turn = anyio.Lock()  # the manager does one thing at a time
        self._unborn: set[Outside] = set()  # of processes that are being made

    async def capture(self, process: Process, parent: Image | None = None, every: int | None = None) -> Image:
        """See `Process.checkpoint`; with `every`, when that has come: see `Stop`."""
        if not isinstance(parent, Image | None):
            raise FlukeError(f"the parent {parent!r} is no image: give one of this process, or none")
        readings: list[Reading] = []
        image: Image | None = None

        def begin(_: Still) -> None:
            readings.append(Reading(self._driver.core, process, parent))

        try:
            still = await self._read_out(process, OrderKind.CAPTURE, begin, Stop(process, every))
            manifest = await apart(len(still.records), lambda: still.manifest(process.name, process.arguments))
            builder = ImageBuilder(manifest, parent)
            async for pages in readings[0].pages():
                builder.add(pages)
            image = await apart(len(still.records) + builder.table_bytes, builder.finish)
        finally:
            for reading in readings:
                reading.end(image)
        return image

    async def restore(
        self, image: Image, stdin: Any, services: Mapping[str, Named], budget: int | None, substitutes: Collection[str]
    ) -> Process:
        """See `Kernel.restore`."""
        driver, manifest = self._driver, image.manifest
        check_fits(manifest)
        laid_out: list[Outside] = []

        def lay_out() -> None:
            given = {name: resolve(driver, target) for name, target in services.items()}
            take_over(manifest, given, substitutes, (*driver.outsides(), *self._unborn))
            mappings = [(each.start, each.end, each.prot) for each in manifest.mappings]
            hashes = {name: each.hash for name, each in manifest.outside.items()}
            driver.core.leave_out_hashes(each.word("hash") for each in manifest.objects if each.state)
            driver.core.leave_out_hashes(hashes.values())
            laid_out.append(Outside.around(driver.core, mappings, hashes, given))
            self._unborn.update(laid_out)

        def records() -> bytearray:
            core = driver.core
            if manifest.last_stamp <= core.stamp + STAMP_LEAD_MAX:
                core.stamp = max(core.stamp, manifest.last_stamp)
                return bytearray(unchanged)
            data, count = to_records(manifest, core.stamp + 1)
            core.stamp += count
            return bytearray(data)

        try:
            unchanged, _ = await apart(len(image.encoded), lambda: to_records(manifest, None))
            try:
                await driver.surely(lay_out)
                await fill(driver, laid_out[0].slab, image)
            except BaseException:
                for outside in laid_out:
                    await driver.ensure(outside.slab.free)
                raise
            left = manifest.budget if budget is None else budget
            still = Still(laid_out[0], manifest.clock_ns, manifest.last_stamp, left, manifest.devices, bytearray())
            return await self._make(manifest.program, manifest.arguments, still, records, stdin)
        finally:
            self._unborn.difference_update(laid_out)

    async def fork(self, process: Process, stdin: Sequence[Any]) -> list[Process]:
        """See `Process.fork`. The manager is told of everything at once: what it has read out it makes again."""
        copies: list[Outside] = []  # that have no process yet
        made: list[Process] = []

        def copy(still: Still) -> Order | None:
            try:
                for _ in stdin:
                    copies.append(still.outside.copy())
                    copies[-1].open_window()
            except FlukeError:  # before it goes on, which may need memory
                while copies:
                    copies.pop().slab.free()
                raise
            first: Order | None = None
            for outside, more in zip(reversed(copies), reversed(stdin), strict=True):
                copied = replace(still, outside=outside)
                order = self._making(OrderKind.BRANCH, process.name, process.arguments, copied, more, take)
                order.then, first = first, order
            return first

        def take(branch: Process) -> None:
            made.append(branch)
            copies.pop(0)

        try:
            await self._read_out(process, OrderKind.FORK, copy, Stop(process))
        except BaseException:
            for outside in copies:
                await self._driver.ensure(outside.slab.free)
            for branch in made:
                self._processes.abandon(branch, "the fork was cut off")
            raise
        return made

    # -- The manager's part -------------------------------------------------------------------------------------------

    async def _read_out(
        self, process: Process, kind: OrderKind, keep: Callable[[Still], Order | None], stop: Stop
    ) -> Still:
        """
        Have the manager read a process out.

        `keep` is called while it stands still. It may refuse; or it returns what is to be done then.
        """
        driver = self._driver
        noted: list[Still] = []

        def begin() -> Order:
            if process.loaded is None:
                raise FlukeError(f"process {process.name!r} has ended: there is nothing left of it")
            return Order(kind, process.loaded, on_hold=note, on_running=stop.go_on)

        def leave() -> None:
            manager = driver.manager
            if manager is not None and process.loaded is not None and manager.is_at(process.loaded):
                manager.end(f"process {process.name!r} has ended while it was read out")

        def note(order: Order) -> None:
            outside = order.outside
            clock_ns = stop.clock_ns + process.attached.timer.offset_ns
            devices = describe_devices(process.attached.console, outside.services)
            left = outside.account.instructions_left
            unsaved = (INPUT_TO_COME,) if process.attached.console.expects_input else ()
            noted.append(Still(outside, clock_ns, driver.core.stamp, left, devices, order.records, unsaved))
            order.then = keep(noted[0])

        try:
            if stop.is_later:  # that may take long, and others have their turn
                await stop.wait()
            async with self._turn:
                if not stop.is_later:
                    await stop.wait()
                process.on_end.append(leave)
                try:
                    await self._carry_out(begin)
                finally:
                    process.on_end.remove(leave)
        finally:
            if not stop.is_over:  # the manager has not come so far
                await driver.ensure(stop.go_on)
        return noted[0]

    async def _make(
        self, name: str, arguments: tuple[str, ...], still: Still, records: Callable[[], bytearray], stdin: Any
    ) -> Process:
        """Have the manager make a process in memory that is as it was; nothing is left if that fails."""
        driver, outside = self._driver, still.outside
        made: list[Process] = []

        def begin() -> Order:
            recorded = replace(still, records=records())
            return self._making(OrderKind.CREATE, name, arguments, recorded, stdin, made.append)

        try:
            async with self._turn:
                await self._carry_out(begin)
        except BaseException:
            if made:
                self._processes.abandon(made[0], "making it was cancelled")
            else:
                await driver.ensure(outside.slab.free)
            raise
        return made[0]

    def _making(
        self,
        kind: OrderKind,
        name: str,
        arguments: tuple[str, ...],
        still: Still,
        stdin: Any,
        take: Callable[[Process], None],
    ) -> Order:
        """The order to make a process, which is handed to `take` when it runs."""
        driver, outside = self._driver, still.outside
        outside.account.is_held = True
        outside.account.instructions_left = still.budget

        def go_on() -> None:
            process = self._processes.adopt(name, arguments, outside, stdin, still.devices["console"].state)
            take(process)
            process.attached.go_on(still.clock_ns - driver.now_ns())
            driver.set_held(process, False)
            if driver.core.trace is not None:
                driver.core.trace((driver.core.time, Event.SPAWN, 0, process.number, name))

        return Order(kind, outside, still.records, on_made=outside.take_in, on_running=go_on)

    async def _carry_out(self, begin: Callable[[], Order]) -> None:
        """
        Have the manager, which is started if there is none, carry out an order and those after it; raises their error.

        If this is cancelled, the order is carried out all the same: it is in the middle of a process.
        """
        driver = self._driver
        given: list[Order] = []

        def give() -> None:
            if driver.manager is None or not driver.manager.is_alive:
                driver.manager = Manager(driver.core)
                driver.manager.start(driver)
            order = begin()
            driver.manager.take(order)
            given.append(order)

        try:
            await driver.surely(give)
        finally:
            for order in given:
                await driver.outlast(order.done)
                if order.then is not None:
                    given.append(order.then)
        for order in given:
            if order.error is not None:
                raise order.error
        if driver.manager is not None and driver.manager.has_order:  # the loop has ended before
            raise FlukeError(STOPPED)
