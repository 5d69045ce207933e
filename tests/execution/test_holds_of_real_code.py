"""Threads that store on the real engine, on one hart or several: no engine goes on with what it could write before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.cpu import unicorn_engines
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.kernel.hold import Hold
from fluke_async.kernel.objects.space import Space
from tests.cpu import rv64
from tests.execution.real_code import RealMachine
from tests.kernel.invariants import check

COUNTING = [rv64.addi("t0", "t0", 1), rv64.store("t0", "s1"), rv64.jal(-8)]
INCREMENTING = [
    rv64.load_reserved("t0", "s1"),
    rv64.addi("t0", "t0", 1),
    rv64.store_conditional("t1", "t0", "s1"),
    rv64.bne("t1", "zero", -12),
    rv64.addi("s2", "s2", 1),
    rv64.jal(-20),
]
ADDING = [rv64.amoadd("t0", "s3", "s1"), rv64.addi("s2", "s2", 1), rv64.jal(-8)]
LOOPS = {"stores": COUNTING, "reservations": INCREMENTING, "atomic additions": ADDING}
THREADS, ROUNDS = 3, 12
DATA = 0x5000_0000  # where each sees its page

NewMachine = Callable[[int, int], RealMachine]


@pytest.fixture
def new_machine(model: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[NewMachine]:
    """Makes machines on which each space has an engine of its own at once."""
    monkeypatch.setattr(unicorn_engines, "FLUSHES_PER_ENGINE", 0)
    machines: list[RealMachine] = []

    def make(harts: int, seed: int) -> RealMachine:
        machines.append(RealMachine(model=model, harts=harts, seed=seed))
        return machines[-1]

    yield make
    for machine in machines:
        machine.close()


class Writers:
    """
    Threads that store for ever, each to a page of its own, and who holds their memory.

    Each is in a space of its own that sees little else, so that what it may write is taken from its table, and the
    table stays.
    """

    def __init__(self, machine: RealMachine, loop: list[int]) -> None:
        self.machine = machine
        self.pages = [machine.buffer([0]) for _ in range(THREADS)]
        place = machine.place(*loop)
        self.threads = []
        for page in self.pages:
            space = machine._parent(Space)
            machine.show_code(space)
            machine.map(space, machine.region, DATA, PAGE_SIZE, offset=page)
            self.threads.append(machine.thread(place, {"s1": DATA, "s3": 1}, space))

    def counters(self) -> list[int]:
        return [self.machine.word(page) for page in self.pages]

    def hold(self) -> Hold:
        machine = self.machine
        size = self.pages[-1] + PAGE_SIZE - self.pages[0]
        return machine.core.root.hold(machine.core, machine.slab + self.pages[0], size)

    def taken(self, hold: Hold) -> list[int]:
        """The counters, as they were at the moment."""
        contents: dict[int, bytes] = {}
        while not hold.is_done:
            contents |= hold.take(self.machine.core, 1)
        return [int.from_bytes(contents[page - self.pages[0]][:8], "little") for page in self.pages]

    def run(self, instructions: int) -> None:
        self.machine.run_for(instructions)
        check(self.machine.core)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("harts", "seed"), [(1, 0), (1, 3), (3, 0), (3, 5)])
def test_counters_are_those_of_the_moment(new_machine: NewMachine, harts: int, seed: int, loop: str) -> None:
    writers = Writers(new_machine(harts, seed), LOOPS[loop])
    writers.run(100_003)
    before = writers.counters()
    for number in range(ROUNDS):
        counters, hold = writers.counters(), writers.hold()
        writers.run(10_007 * (number % 4))
        assert writers.taken(hold) == counters
        hold.end(writers.machine.core)
        writers.run(1009)
    written = [later > earlier for later, earlier in zip(writers.counters(), before, strict=True)]
    assert all(written) or (harts == 1 and any(written))
    assert harts == 1 or writers.machine.engine_count == THREADS


@pytest.mark.parametrize("loop", ["reservations", "atomic additions"])
def test_no_addition_is_lost_or_made_twice(new_machine: NewMachine, loop: str) -> None:
    """Wherever in a loop the memory is held: the store that is noticed is made once."""
    writers = Writers(new_machine(2, 1), LOOPS[loop])
    for number in range(60):
        writers.run(1000 + number)
        writers.hold()
    writers.machine.hart.park_resident()
    for thread, counter in zip(writers.threads, writers.counters(), strict=True):
        rounds = writers.machine.register(thread, "s2")
        assert counter - rounds in (0, 1), "the last may not have been counted yet"
        assert rounds > 100


def flush_nothing(cpu: UnicornCpu, pages: dict[int, int]) -> None:
    """Leave the entries where they are."""


def flush_one(cpu: UnicornCpu, pages: dict[int, int]) -> None:
    """Forget only the entries of the engine that runs."""
    cpu._tlb.forget_entries()
    cpu._flush_current()


@pytest.mark.parametrize("flush", [flush_nothing, flush_one])
def test_missing_flush_would_be_seen(
    new_machine: NewMachine, flush: Callable[[UnicornCpu, dict[int, int]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    writers = Writers(new_machine(3, 0), COUNTING)
    writers.run(100_003)
    monkeypatch.setattr(UnicornCpu, "flush", flush)
    counters, hold = writers.counters(), writers.hold()
    writers.run(100_003)
    assert writers.taken(hold) != counters
