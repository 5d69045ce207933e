"""
A program in a kernel of its own, as the embedding runs it, and everything that the program could see of it.

That is what it has written, how it has ended, and each system call that came to its end: what it came to, and when, by
the process's own clock. What happened while the process stood still has no time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio

from fluke_async.embedding.exit import Exit
from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.process import Process
from fluke_async.embedding.stillness import Stop
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.kernel.trace import Event
from fluke_async.verify import coverage
from fluke_async.verify.closed_run import COMPLETIONS, Program
from fluke_async.verify_images.moments import KINDS, Sight
from fluke_async.verify_images.rows import rows_of
from fluke_async.verify_images.stores import NotedStore, store_for

if TYPE_CHECKING:
    from fluke_async.embedding.driver import Driver
    from fluke_async.image.image import Image

MEMORY = "16M"
CHOSEN = "ref_hash"  # the hash of an object that was made later: the kernel has chosen others meanwhile
Completion = tuple[int | None, str, int]
"""When, which call, and its status."""


@dataclass(slots=True)
class Seen:
    """What a program could see; `completions` are in order, the end of the process among them."""

    output: bytes = b""
    exit: Exit | None = None
    completions: list[Completion] = field(default_factory=list)


class WatchedRun:
    """One kernel with one process."""

    def __init__(self, kernel: Kernel, driver: Driver, program: Program) -> None:
        self.kernel = kernel
        self.driver = driver
        self.program = program
        self.seen = Seen()
        self.passed: set[str] = set()  # rows of the coverage
        self.sights: list[Sight] = []
        self.end = 1  # the process's own count at its end
        self.store: NotedStore | None = None
        driver.core.trace = self._note
        self._known: dict[frozenset[str], frozenset[str]] = {}  # each set of rows once
        self._points_left = 0
        self._stands_still = anyio.Event()
        self._stop: Stop | None = None

    async def start(self) -> Process:
        """The program from its beginning."""
        program = self.program
        services = self._services(store_for(program.name))
        return await self.kernel.spawn(program.elf, program.arguments, stdin=program.stdin, services=services)

    async def restore(self, image: Image, store: NotedStore | None) -> Process:
        """The program from an image, with the store as it was; what was not read of its input is in the image."""
        return await self.kernel.restore(image, services=self._services(store))

    async def to_the_end(self, process: Process) -> Seen:
        """All that it has written, and how it has ended."""
        self.seen.output = await process.stdout.read_all()
        self.seen.exit = await process.wait()
        return self.seen

    def watch(self) -> None:
        """From the beginning, note which rows are passed, and what threads are in the middle of at each point."""
        self.driver.core.probe = self._watch

    def stop_at(self, point: int) -> None:
        """From the beginning, count points, and have the process stand still at that one."""
        self._points_left = point
        self.driver.core.probe = self._count_down

    async def standing_still(self, process: Process) -> Stop:
        """Wait until it does, at the point; from then on it does by the stop alone."""
        await self._stands_still.wait()
        assert self._stop is not None
        await self._stop.reached.wait()
        await process.resume()
        return self._stop

    def _services(self, store: NotedStore | None) -> Mapping[str, Any]:
        self.store = store
        if store is None:
            return {}
        store.clock = self._clock
        return {"store": self.kernel.plug_in(store)}

    def _clock(self) -> int | None:
        """The process's own time; None while it stands still."""
        for process in self.driver.present.values():
            if not process.is_held:
                return self.driver.core.time + int(process.attached.timer.offset_ns)
        return None

    def _note(self, event: tuple[Any, ...]) -> None:
        if event[1] in COMPLETIONS:
            manager = self.driver.manager
            if manager is None or event[2] not in manager.hashes:
                status = 0 if event[3] == CHOSEN else event[4]
                self.seen.completions.append((self._clock(), event[3], status))
        elif event[1] is Event.PREEMPT and self.sights:  # at a marked point, which is past
            self.sights[-1] = _without_marks(self.sights[-1])
        elif event[1] is Event.EXIT:
            self.end = next((each.stillness.count for each in self.driver.present.values()), 1)
            self.seen.completions.append((self._clock(), event[4], event[5]))

    def _watch(self, point: Point, thread: Thread) -> bool:
        core = self.driver.core
        for process in self.driver.present.values():
            if process.loaded is not None:
                threads = process.loaded.account.threads
                self.passed.update(coverage.rows_of(core, point, thread, threads))
                if point in KINDS and thread is core.current:
                    asking = [request.thread for request in core.requests]  # a device may answer at once
                    found = {row for each in threads if each not in asking for row in rows_of(each)}
                    if point is Point.MARKED:
                        found.update(rows_of(thread, is_cut=True))
                    rows = frozenset(found)
                    self.sights.append(Sight(process.stillness.count, self._known.setdefault(rows, rows)))
        return False

    def _count_down(self, point: Point, thread: Thread) -> bool:
        driver = self.driver
        if point in KINDS and thread is driver.core.current:
            for process in driver.present.values():
                self._points_left -= 1
                if self._points_left < 0:
                    driver.core.probe = None
                    driver.core.attention = True
                    driver.hart.dispatcher.points_left = 0  # a call is cut off there
                    driver.post(partial(self._stand_still, process))
        return False

    def _stand_still(self, process: Process) -> None:
        """At the fixed point: where a call was cut off it does not go on before."""
        self._stop = Stop(process)
        self.driver.set_suspended(process, True)
        process.stillness.plan(self._stop)
        self._stands_still.set()


def _without_marks(sight: Sight) -> Sight:
    return sight._replace(rows=frozenset(row for row in sight.rows if not row.endswith(" marked")))


@asynccontextmanager
async def watched_run(program: Program, model: str, preemption: str) -> AsyncIterator[WatchedRun]:
    """A kernel for a program, with nothing in it yet."""
    kernel = Kernel(model=model, preemption=preemption, cpus=program.harts, seed=program.seed, memory=MEMORY)
    async with kernel:
        yield WatchedRun(kernel, kernel._running_driver(), program)  # noqa: SLF001  (what happens in it is for us alone)


def difference(expected: Seen, actual: Seen, *, written: int, clock_ns: int, exact: bool) -> str:
    """
    What differs of a run that began with so many bytes written, at that time, from the whole one; nothing: "".

    Where it is not `exact`, only how the process ended and what it has written are compared.
    """
    if actual.exit != expected.exit:
        return f"the process ended as {actual.exit}, undisturbed as {expected.exit}"
    if actual.output != expected.output[written:]:
        return _first(actual.output.splitlines(), expected.output[written:].splitlines(), "output")
    if not exact:
        return ""
    skipped = len(expected.completions) - len(actual.completions)
    before, after = expected.completions[: max(0, skipped)], expected.completions[max(0, skipped) :]
    if skipped < 0 or (before and (before[-1][0] or 0) > clock_ns):
        return f"{len(actual.completions)} calls came to their ends, undisturbed {len(expected.completions)} in all"
    for number, (mine, theirs) in enumerate(zip(actual.completions, after, strict=True)):
        if mine[1:] != theirs[1:] or mine[0] not in {None, theirs[0]}:
            return f"call {number} is {mine}, undisturbed {theirs}"
    return ""


def _first(mine: list[bytes], theirs: list[bytes], what: str) -> str:
    for number, (left, right) in enumerate(zip(mine, theirs, strict=False)):
        if left != right:
            return f"{what}: line {number} is {left!r}, undisturbed {right!r}"
    return f"{what}: {len(mine)} lines, undisturbed {len(theirs)}"
