"""Several harts on the real engine: what a call does to running threads is done when it returns."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, Prot
from fluke_async.cpu import unicorn_engines
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_state import Mistake
from tests.cpu import rv64
from tests.execution.real_code import RealMachine, wait

DATA = 0x5000_0000  # where a mapping shows the counter that can be taken away
SEEDS = range(6)
COUNTING = [rv64.addi("t0", "t0", 1), rv64.store("t0", "s1"), rv64.jal(-8)]
BEHIND = [0, 1, 0]  # how far the counter is behind the register, on each of these
PAUSES = (1000, 7001, 23456)  # rounds after which the call is made
LATER = 20_000  # rounds after which the counter is looked at again

NewMachine = Callable[[int, int], RealMachine]  # with so many harts and a seed


@pytest.fixture(params=[False, True], ids=["one space", "two spaces"])
def apart(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the threads run in two spaces, each of which has an engine of its own."""
    monkeypatch.setattr(unicorn_engines, "FLUSHES_PER_ENGINE", 0)
    is_apart: bool = request.param
    return is_apart


@pytest.fixture
def new_machine(model: str) -> Iterator[NewMachine]:
    """Makes machines, which the test need not close."""
    machines: list[RealMachine] = []

    def make(harts: int, seed: int) -> RealMachine:
        machines.append(RealMachine(model=model, harts=harts, seed=seed))
        return machines[-1]

    yield make
    for machine in machines:
        machine.close()


class Attack:
    """A thread that stores a counter for ever, and another that makes a call against it, and looks what comes of it."""

    def __init__(self, machine: RealMachine, *, apart: bool) -> None:
        self.machine = machine
        self.counter = machine.buffer(PAGE_SIZE // 8)
        self.mapping = machine.new(Mapping)
        self.space = machine.new_space() if apart else machine.space
        if apart:
            machine.show_code(self.space)
        bits = {"region_off": self.counter, "start_va": DATA, "size": PAGE_SIZE, "prot": int(Prot.ALL)}
        machine.load(self.mapping, bits, region=machine.region, space=self.space)
        self.loop = machine.place(*COUNTING)
        self.victim = machine.thread(self.loop, {"s1": DATA}, self.space)

    def make(self, pause: int, name: str, **operands: Any) -> tuple[int, int]:
        """Make the call: what the counter is when it returns, and later."""
        machine = self.machine
        look = [rv64.load("t0", "s1"), *wait("s3"), rv64.load("t1", "s1")]
        pc = machine.place(*wait("s2"), rv64.ECALL, *look, rv64.EBREAK)
        registers = {"s1": self.counter, "s2": pause, "s3": LATER} | machine.operands(name, **operands)
        caller = machine.thread(pc, registers)
        while caller.exception is None:
            machine.run_for(100_000)
        machine.hart.park_resident()
        assert machine.done(caller), caller.exception
        return machine.register(caller, "t0"), machine.register(caller, "t1")


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("harts", [2, 4])
def test_thread_that_is_stopped_does_nothing_more(new_machine: NewMachine, apart: bool, harts: int, seed: int) -> None:
    for pause in PAUSES:
        machine = new_machine(harts, seed)
        attack = Attack(machine, apart=apart)
        at_once, later = attack.make(
            pause, "thread_get_state", thread=attack.victim, state=machine.buffer(PAGE_SIZE // 8)
        )
        victim = attack.victim
        assert victim.stopped
        assert at_once == later > 0
        assert at_once == machine.register(victim, "t0") - BEHIND[(victim.pc - attack.loop) // 4]
        assert machine.engine_count == 1 + apart


def what_is_written_later(machine: RealMachine, pause: int, *, apart: bool, call: str) -> int:
    """How much a thread stores by a mapping after a call that takes that away has returned."""
    attack = Attack(machine, apart=apart)
    operands = {"prot": int(Prot.READ)} if call == "mapping_protect" else {}
    at_once, later = attack.make(pause, call, mapping=attack.mapping, **operands)
    assert at_once > 0
    if at_once == later:
        assert attack.victim.exception == Mistake(ExceptionCode.STORE_FAULT, DATA)
    assert machine.engine_count == 1 + apart
    return later - at_once


CALLS = ("mapping_destroy", "mapping_protect")


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("harts", [2, 4])
def test_store_does_not_get_through_to_what_was_taken_away(
    new_machine: NewMachine, apart: bool, harts: int, seed: int, call: str
) -> None:
    for pause in PAUSES:
        assert what_is_written_later(new_machine(harts, seed), pause, apart=apart, call=call) == 0


def flush_nothing(cpu: UnicornCpu, pages: dict[int, int]) -> None:
    """Leave the entries where they are."""


def flush_one(cpu: UnicornCpu, pages: dict[int, int]) -> None:
    """Forget only the entries of the engine that runs."""
    cpu._tlb.forget_entries()
    cpu._flush_current()


@pytest.mark.parametrize("call", CALLS)
def test_missing_flush_would_be_seen(
    new_machine: NewMachine, apart: bool, call: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(UnicornCpu, "flush", flush_one if apart else flush_nothing)
    assert what_is_written_later(new_machine(2, 0), PAUSES[0], apart=apart, call=call) > 0


ADDITIONS, CROWD = 150, 3
ADD = [rv64.load("t0", "s1"), rv64.addi("t0", "t0", 1), rv64.store("t0", "s1")]
ADD_IF_RESERVED = [
    rv64.load_reserved("t0", "s1"),
    rv64.addi("t0", "t0", 1),
    rv64.store_conditional("t1", "t0", "s1"),
    rv64.bne("t1", "zero", -12),
]
ADD_AT_ONCE = [rv64.amoadd("zero", "s3", "s1")]


def count_together(machine: RealMachine, addition: list[int], *, apart: bool) -> int:
    """What a counter comes to, to which threads add at the same time; in two spaces, if they are apart."""
    counter = machine.buffer([0])
    other = machine.new_space()
    machine.show_code(other)
    back = -4 * (len(addition) + 1)
    pc = machine.place(*addition, rv64.addi("s2", "s2", -1), rv64.bne("s2", "zero", back), rv64.EBREAK)
    threads: list[Thread] = [
        machine.thread(pc, {"s1": counter, "s2": ADDITIONS, "s3": 1}, other if apart and index % 2 else None)
        for index in range(CROWD)
    ]
    machine.run()
    assert machine.done(*threads)
    assert machine.engine_count == 1 + apart
    return machine.word(counter)


@pytest.mark.parametrize("addition", [ADD_IF_RESERVED, ADD_AT_ONCE], ids=["lr, sc", "amoadd"])
@pytest.mark.parametrize("harts", [1, 2, 4])
def test_atomic_additions_are_exact(new_machine: NewMachine, apart: bool, harts: int, addition: list[int]) -> None:
    for seed in range(30):
        assert count_together(new_machine(harts, seed), addition, apart=apart) == CROWD * ADDITIONS


@pytest.mark.parametrize("harts", [2, 4])
def test_additions_that_are_not_atomic_get_lost(new_machine: NewMachine, apart: bool, harts: int) -> None:
    counts = {count_together(new_machine(harts, seed), ADD, apart=apart) for seed in range(1, 6)}
    assert len(counts) > 1
    assert max(counts) < CROWD * ADDITIONS


def test_one_hart_without_a_seed_loses_nothing(new_machine: NewMachine, apart: bool) -> None:
    assert count_together(new_machine(1, 0), ADD, apart=apart) == CROWD * ADDITIONS
