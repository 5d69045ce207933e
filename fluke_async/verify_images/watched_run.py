"""
A program in a kernel of its own, as the embedding runs it, and everything that the program could see of it.

That is what it has written, how it has ended, and each system call that came to its end: what it came to, and when, by
the process's own clock. What happened while the process stood still has no time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fluke_async.embedding.exit import Exit
from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.process import Process
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.kernel.trace import Event
from fluke_async.verify.closed_run import COMPLETIONS, Program
from fluke_async.verify.coverage import rows_of
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
        self.first_of_row: dict[str, int] = {}
        self.end = 1  # the process's own count at its end
        self.store: NotedStore | None = None
        driver.core.trace = self._note

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

    def watch_rows(self) -> None:
        """Note when each row of the coverage is passed first, by the process's own count."""
        self.driver.core.probe = self._probe

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
        elif event[1] is Event.EXIT:
            self.end = next((each.stillness.count for each in self.driver.present.values()), 1)
            self.seen.completions.append((self._clock(), event[4], event[5]))

    def _probe(self, point: Point, thread: Thread) -> bool:
        for process in self.driver.present.values():
            if process.loaded is not None:
                for row in rows_of(self.driver.core, point, thread, process.loaded.account.threads):
                    self.first_of_row.setdefault(row, process.stillness.count)
        return False


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
