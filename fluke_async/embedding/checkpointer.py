"""
Checkpoints, restored processes and forks: what the embedding does around the manager's work.

The process's time stands still while it is read out, and its threads with it, so a program that looks at the clock
cannot tell. Its pages are held as they are at that moment, and read while it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

import anyio
from anyio.lowlevel import checkpoint as breathe

from fluke_async.abi.devices import OrderKind
from fluke_async.embedding.device_states import console_state, describe_devices, take_over
from fluke_async.embedding.host_objects import Named, resolve
from fluke_async.embedding.manager import Manager, Order
from fluke_async.embedding.outside import Outside, Service
from fluke_async.embedding.process import Process
from fluke_async.embedding.reading import Reading
from fluke_async.embedding.slab import PROGRAM_END, OutOfMemory
from fluke_async.errors import FlukeError
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.image import Image
from fluke_async.image.manifest import OUTSIDE_TYPES, Device, Manifest, shown
from fluke_async.image.manifest import Mapping as MappedRange
from fluke_async.image.records import from_records, to_records
from fluke_async.kernel.hold import Hold
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.embedding.driver import Driver
    from fluke_async.embedding.processes import Processes

PAGES_AT_A_TIME = 64  # hashed between two turns of the event loop: some 0.4 ms
STORED_AT_A_TIME = 512  # put into memory at one fixed point: some 1 ms


@dataclass(frozen=True, slots=True)
class Still:
    """What was noted of a process while it stood still."""

    outside: Outside
    clock_ns: int
    budget: int | None
    devices: Mapping[str, Device]
    records: bytearray


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
        process.on_end = self._reached.set
        try:
            await driver.call(lambda: self._begin(count))
            await self._reached.wait()
        except BaseException:
            self.is_open = False
            await driver.ensure(self.go_on)
            raise
        finally:
            process.on_end = None
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
        self._driver.set_held(self._process, True)
        self._reached.set()

    def go_on(self) -> None:
        """Let it go on, at the fixed point. Where the kernel's clock counts instructions, no time has passed for it."""
        process, driver = self._process, self._driver
        if process.is_held:
            away_ns = 0 if driver.clock.is_real else driver.now_ns() - self.clock_ns
            process.attached.go_on(process.attached.timer.offset_ns - away_ns)
            process.resumed_count = driver.core.time
            driver.set_held(process, False)


class Checkpointer:
    """Of one kernel."""

    def __init__(self, driver: Driver, processes: Processes) -> None:
        self._driver = driver
        self._processes = processes
        self._turn = anyio.Lock()  # the manager does one thing at a time
        self._unborn: set[Outside] = set()  # of processes that are being made

    async def capture(self, process: Process, parent: Image | None = None, at: int | None = None) -> Image:
        """See `Process.checkpoint`; with `at`, when the kernel's count has reached that."""
        core = self._driver.core
        holds: list[Hold] = []
        readings = process.readings

        def hold(outside: Outside) -> None:
            holds.append(core.root.hold(core, outside.slab.start, PROGRAM_END))
            readings[holds[0]] = Reading(core, holds[0])

        try:
            still = await self._read_out(process, hold, at)
            builder = ImageBuilder(_manifest(process, still), parent)
            known, before = process.latest or (None, None)
            changed = holds[0].changed_since(before) if parent is not None and known == parent and before else None
            while pages := readings[holds[0]].take(PAGES_AT_A_TIME):
                builder.add(pages if changed is None else [page for page in pages if page[0] in changed])
                await breathe()
            image = builder.finish()
        except BaseException:
            for each in holds:
                each.end(core)
            raise
        finally:
            for each in holds:
                del readings[each]
        process.remember(core, image, holds[0])
        return image

    async def restore(
        self, image: Image, stdin: Any, services: Mapping[str, Named], budget: int | None, substitutes: Collection[str]
    ) -> Process:
        """See `Kernel.restore`."""
        driver, manifest = self._driver, image.manifest

        laid_out: list[Outside] = []

        def lay_out() -> None:
            given = {name: resolve(driver, target) for name, target in services.items()}
            take_over(manifest, given, substitutes, (*driver.outsides(), *self._unborn))
            laid_out.append(_outside(driver, [(each.start, each.end, each.prot) for each in manifest.mappings], given))
            self._unborn.update(laid_out)

        def records() -> bytearray:
            data, count = to_records(manifest, driver.core.stamp + 1)
            driver.core.stamp += count
            return bytearray(data)

        try:
            try:
                await driver.call(lay_out)
                pages = image.pages()
                while await driver.call(lambda: _store(laid_out[0], pages)):
                    pass
            except BaseException:
                for each in laid_out:
                    await driver.ensure(each.slab.free)
                raise
            left = manifest.budget if budget is None else budget
            still = Still(laid_out[0], manifest.clock_ns, left, manifest.devices, bytearray())
            return await self._make(manifest.program, manifest.arguments, still, records, stdin)
        finally:
            self._unborn.difference_update(laid_out)

    async def fork(self, process: Process, stdin: Sequence[Any]) -> list[Process]:
        """See `Process.fork`."""
        copies: list[Outside] = []

        def copy(outside: Outside) -> None:
            while len(copies) < len(stdin):
                copies.append(_copy(self._driver, outside))

        made: list[Process] = []
        try:
            still = await self._read_out(process, copy)
            for more in stdin:
                copied = replace(still, outside=copies.pop(0))
                made.append(await self._make(process.name, process.arguments, copied, lambda: still.records, more))
        except BaseException:
            for each in copies:
                await self._driver.ensure(each.slab.free)
            for branch in made:
                self._processes.abandon(branch, "the fork was cut off")
            raise
        return made

    # -- The manager's part -------------------------------------------------------------------------------------------

    async def _read_out(self, process: Process, keep: Callable[[Outside], None], at: int | None = None) -> Still:
        """Have the manager read a process out; `keep` is called while it stands still, and may refuse."""
        driver = self._driver
        noted: list[Still] = []

        def begin() -> Order:
            if process.loaded is None:
                raise FlukeError(f"process {process.name!r} has ended: there is nothing left of it")
            order = Order(OrderKind.CAPTURE, process.loaded, on_hold=note, on_running=stop.go_on)
            manager.take(order)
            return order

        def note() -> None:
            outside = order.outside
            clock_ns = stop.clock_ns + process.attached.timer.offset_ns
            devices = describe_devices(process.attached.console, outside.services)
            keep(outside)
            noted.append(Still(outside, clock_ns, outside.account.instructions_left, devices, order.records))

        async with self._turn:
            stop = Stop(driver, process)
            await stop.wait(at)
            try:
                manager = await self._manager()
                order = await driver.call(begin)
            except BaseException:
                await driver.ensure(stop.go_on)
                raise
            await self._end_of(order)
        return noted[0]

    async def _make(
        self, name: str, arguments: tuple[str, ...], still: Still, records: Callable[[], bytearray], stdin: Any
    ) -> Process:
        """Have the manager make a process in memory that is as it was; nothing is left if that fails."""
        driver, outside = self._driver, still.outside
        made: list[Process] = []

        def begin() -> Order:
            outside.account.is_held = True
            outside.account.instructions_left = still.budget
            order = Order(OrderKind.CREATE, outside, records(), on_made=outside.take_in, on_running=go_on)
            manager.take(order)
            return order

        def go_on() -> None:
            process = self._processes.adopt(name, arguments, outside, stdin, console_state(still.devices))
            made.append(process)
            process.attached.go_on(still.clock_ns - driver.now_ns())
            driver.set_held(process, False)
            if driver.core.trace is not None:
                driver.core.trace((driver.core.time, Event.SPAWN, 0, process.number, name))

        try:
            async with self._turn:
                manager = await self._manager()
                order = await driver.call(begin)
                await self._end_of(order)
        except BaseException:
            if made:
                self._processes.abandon(made[0], "making it was cancelled")
            else:
                await driver.ensure(outside.slab.free)
            raise
        return made[0]

    async def _manager(self) -> Manager:
        """The manager, which is started if there is none."""
        driver = self._driver

        def find() -> Manager:
            if driver.manager is None or not driver.manager.is_alive:
                driver.manager = Manager(driver.core)
                driver.manager.start(driver.post)
            return driver.manager

        return await driver.call(find)

    async def _end_of(self, order: Order) -> None:
        """Wait for the end of an order, also if cancelled: it is in the middle of a process. Raises what it came to."""
        await self._driver.outlast(order.done)
        if order.error is not None:
            raise order.error


def _manifest(process: Process, still: Still) -> Manifest:
    outside = still.outside
    records = from_records(bytes(still.records), outside.named)
    return Manifest(
        program=shown(process.name),
        arguments=tuple(map(shown, process.arguments)),
        clock_ns=still.clock_ns,
        budget=still.budget,
        memory_size=records.memory_size,
        mappings=tuple(MappedRange(*each) for each in outside.mappings),
        outside={name: OUTSIDE_TYPES.get(name, target.type.name.lower()) for name, target in outside.named.items()},
        objects=records.objects,
        running=records.running,
        devices=dict(still.devices),
        unsaved=(),
    )


def _outside(driver: Driver, mappings: list[tuple[int, int, int]], services: Mapping[str, Service]) -> Outside:
    """What a process has outside, around memory in which nothing is yet."""
    outside = Outside(driver.core)
    try:
        outside.make()
        for start, end, prot in mappings:
            outside.map(start, end, prot)
        outside.open(services)
    except BaseException:
        outside.slab.free()
        raise
    return outside


def _copy(driver: Driver, outside: Outside) -> Outside:
    """What a process has outside, and its memory as it is now, once more."""
    core = driver.core
    copy = _outside(driver, outside.mappings, outside.services)
    if not core.root.share(core, outside.slab.start, PROGRAM_END, copy.slab.start):
        copy.slab.free()
        raise OutOfMemory(core.quota.limit_bytes)
    return copy


def _store(outside: Outside, pages: Iterator[tuple[int, bytes]]) -> bool:
    """Put the next pages into memory; whether there are any."""
    some = list(islice(pages, STORED_AT_A_TIME))
    for offset, content in some:
        outside.slab.store(offset, content)
    return bool(some)
