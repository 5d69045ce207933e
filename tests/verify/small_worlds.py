"""
Worlds of two or three threads and a few calls each, on the scripted engine: all of their interleavings are run.

A world makes its threads on a machine and returns a judge, who says at the end what is not as it must be under any
interleaving. What is there when the threads begin, such as others that wait, has been run before and is no part of it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from fluke_async.abi.codes import COPY_CHUNK_WORDS
from fluke_async.execution.configuration import Configuration
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.kernel.turns import Turns
from fluke_async.verify.explorer import UNLIMITED, Explored, Explorer, explore
from fluke_async.verify.invariants import check
from tests.kernel.machine import Machine, Part, Result, T
from tests.kernel.recreation import recreate

Judge = Callable[[], str]
MEMORY_BYTES = 1 << 20
SLICE, SLICES_MAX = 200_000, 40  # more than any of them needs
WINDOW = 0x5000_0000  # where a region of its own is mapped
LONG = COPY_CHUNK_WORDS + 6  # words: more than one chunk, in every configuration
HANDLER = "handler"
DRAWN_LENGTH = 3  # instructions


class Stage(Machine):
    """A machine on which everything can be created again while a world runs."""

    def __init__(self, configuration: Configuration) -> None:
        self.made: dict[KernelObject, int] = {}
        super().__init__(*configuration, effort=SLICE, memory_bytes=MEMORY_BYTES)

    def new(self, kind: type[T]) -> T:
        created = super().new(kind)
        self.made[created] = self.addresses[created]
        return created

    def now(self, target: T) -> T:
        """What stands where `target` was made: that itself, or what was created again in its place."""
        slot = self.made.get(target)
        found = None if slot is None else self.core.objects.get(self._physical(slot))
        return target if found is None or found.type is not target.type else found  # type: ignore[return-value]

    def result(self, thread: Thread) -> Result:
        return super().result(self.now(thread))

    def done(self, *threads: Thread) -> bool:
        return super().done(*map(self.now, threads))

    def register(self, thread: Thread, name: str) -> int:
        return super().register(self.now(thread), name)


@dataclass(frozen=True)
class World:
    """How a world is made; and how many instructions run between two choices, if no trap comes first."""

    make: Callable[[Stage], Judge]
    length: int = UNLIMITED

    @property
    def name(self) -> str:
        return self.make.__name__

    def attempt(self, configuration: Configuration, turns: Turns | None, *, remade: bool = False) -> str:
        """What is wrong under some turns, or nothing. `remade`: everything is created again at each point."""
        machine = Stage(configuration)
        core = machine.core
        judge = self.make(machine)

        def look() -> None:
            if core.current is not None and core.current.waiting_for is not None:
                core.current = None  # it has just come to wait
            check(core)

        taken: set[tuple[int, int, Point]] = set()

        def remake(point: Point, thread: Thread) -> bool:
            place = core.time, thread.hash, point
            if place in taken:
                return False  # it is the same one, which comes again
            taken.add(place)
            return bool(recreate(machine))

        if remade:
            core.probe = remake
        core.turns = turns
        if isinstance(turns, Explorer):
            turns.on_departure = look
        try:
            for _ in range(SLICES_MAX):
                if machine.step() is Outcome.IDLE:
                    check(core)
                    return judge()
        except Exception:  # noqa: BLE001  (whatever the kernel raises is wrong)
            return traceback.format_exc()
        return "it never ends"

    def turns(self, harts: int, seed: int) -> Turns:
        """Turns that are drawn, and are short for so small a world."""
        turns = Turns(harts, seed)
        turns.length = DRAWN_LENGTH
        return turns

    def explore(self, configuration: Configuration, harts: int, departures: int = UNLIMITED) -> Explored:
        """All interleavings, or those with so many departures."""
        return explore(lambda turns: self.attempt(configuration, turns), harts, departures, length=self.length)


def wrong(**facts: bool) -> str:
    """The names of what is not true."""
    return ", ".join(f"not {name}" for name, is_true in facts.items() if not is_true)


def breath(machine: Machine) -> list[Part]:
    """A call that does nothing but give others an occasion to run."""
    return [*machine.call("thread_self")]
