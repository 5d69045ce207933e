"""The count is exact, and how a run is chunked makes no difference to anything."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluke_async.cpu.protocol import PAGE_SIZE, Cause
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from tests.cpu import rv64
from tests.cpu.conftest import MachineFactory
from tests.cpu.machine import (
    CODE,
    CODE_FRAME,
    DATA,
    DATA_FRAME,
    FREE_FRAME,
    RAM_SIZE,
    RWX,
    RX,
    Machine,
    Stop,
    forever,
)

COUNTERS = [rv64.CYCLE, rv64.TIME, rv64.INSTRET]


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 100, 12_345])
def test_limit_is_exact(unicorn_machine: MachineFactory, limit: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.addi("a0", "a0", 1), rv64.jal(-4)))
    assert machine.run(limit=limit) == Stop(Cause.LIMIT, CODE + limit % 2 * 4, 0, limit)
    assert machine["a0"] == (limit + 1) // 2


def test_trap_just_inside_the_limit_and_just_outside(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.NOP, rv64.NOP, rv64.ECALL))
    assert machine.run(limit=3) == Stop(Cause.ECALL, CODE + 8, 0, 2)
    assert machine.run(limit=2) == Stop(Cause.LIMIT, CODE + 8, 0, 2)


def test_limit_comes_before_the_fault_of_the_next_instruction(
    unicorn_machine: MachineFactory,
) -> None:
    machine = unicorn_machine(rv64.code(rv64.NOP, rv64.jal(0x40000)))
    assert machine.run(limit=2) == Stop(Cause.LIMIT, CODE + 0x40004, 0, 2)
    assert machine.run(limit=3) == Stop(Cause.FETCH_FAULT, CODE + 0x40004, CODE + 0x40004, 2)


@pytest.mark.parametrize("csr", COUNTERS)
def test_counters_read_the_instructions_before_them(unicorn_machine: MachineFactory, csr: int) -> None:
    read = rv64.csrrs("a0", csr)
    program = rv64.code(rv64.NOP, read, rv64.csrrci("a1", csr), rv64.NOP, rv64.ECALL)
    machine = unicorn_machine(program)
    machine.cpu.time = 1000
    assert machine.run() == Stop(Cause.ECALL, CODE + 16, 0, 4)
    assert (machine["a0"], machine["a1"]) == (1001, 1002)


@pytest.mark.parametrize("csr", COUNTERS)
def test_counter_read_counts_against_the_limit(unicorn_machine: MachineFactory, csr: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.csrrs("a0", csr), rv64.csrrs("zero", csr), rv64.ECALL))
    assert machine.run(limit=1) == Stop(Cause.LIMIT, CODE + 4, 0, 1)
    assert machine.run(CODE + 4, limit=1) == Stop(Cause.LIMIT, CODE + 8, 0, 1)
    assert machine["zero"] == 0


def test_counter_read_across_pages(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine()
    read = rv64.code(rv64.csrrs("a0", rv64.CYCLE), rv64.ECALL)
    machine.write(CODE_FRAME + PAGE_SIZE - 2, read[:2])
    machine.write(FREE_FRAME, read[2:])
    machine.map(CODE + PAGE_SIZE, FREE_FRAME, RX)
    machine.cpu.time = 77
    assert machine.run(CODE + PAGE_SIZE - 2).retired == 1
    assert machine["a0"] == 77


def test_counter_read_keeps_the_reservation(unicorn_machine: MachineFactory) -> None:
    """The counters are served behind the program's back, so nothing may show."""
    program = rv64.code(
        rv64.load_reserved("a0", "t0"),
        rv64.csrrs("a1", rv64.CYCLE),
        rv64.store_conditional("a2", "a1", "t0"),
        rv64.ECALL,
    )
    machine = unicorn_machine(program)
    machine["t0"], machine["a2"] = DATA, 9
    assert machine.run().cause == Cause.ECALL
    assert machine["a2"] == 0


def test_reservation_ends_at_a_trap_and_with_the_thread(unicorn_machine: MachineFactory) -> None:
    reserve, store = rv64.load_reserved("a0", "t0"), rv64.store_conditional("a1", "t0", "t0")
    switches: list[Callable[[Machine], object]] = [
        lambda machine: machine.run(CODE + 4),
        lambda machine: machine.cpu.load(machine.cpu.registers, None),
        lambda machine: machine.cpu.set_pages(dict(machine.pages)),
        lambda machine: machine.cpu.set_pages(machine.pages),
    ]
    for switch in switches:
        machine = unicorn_machine(rv64.code(reserve, rv64.ECALL, store, rv64.ECALL))
        machine["t0"] = DATA
        assert machine.run(limit=1).cause == Cause.LIMIT
        switch(machine)
        assert machine.run(CODE + 8).cause == Cause.ECALL
        assert machine["a1"] == 1
        assert machine.read_word(DATA_FRAME) == 0


def test_lock_free_loop_makes_progress_with_a_limit_of_one(unicorn_machine: MachineFactory) -> None:
    program = rv64.code(
        rv64.load_reserved("a0", "t0"),
        rv64.addi("a0", "a0", 1),
        rv64.store_conditional("a1", "a0", "t0"),
        rv64.bne("a1", "zero", -12),
        rv64.ECALL,
    )
    machine = unicorn_machine(program)
    machine["t0"] = DATA
    assert machine.run_in_chunks(forever(1)) == Stop(Cause.ECALL, CODE + 16, 0, 4)
    assert machine.read_word(DATA_FRAME) == 1


ENDLESS = rv64.code(
    # A bit of everything, for ever: atomics, stores, counters, calls, branches, two pages.
    rv64.addi("s0", "s0", 1),
    rv64.amoadd("a0", "s0", "t0"),
    rv64.load_reserved("a1", "t0"),
    rv64.C_NOP,
    rv64.add("a1", "a1", "a0"),
    rv64.store_conditional("a2", "a1", "t0"),
    rv64.csrrs("a3", rv64.CYCLE),
    rv64.add("a1", "a1", "a3"),
    rv64.store("a1", "t0", 16),
    rv64.csrrs("a4", rv64.TIME),
    rv64.load("a5", "t0", 20),
    rv64.bne("a2", "zero", 8),
    rv64.store("a5", "t1", 0),
    rv64.jal(-50),
)


def run_endless(total: int, limits: list[int], flush: bool = False) -> tuple[object, ...]:
    cpu = UnicornCpu(RAM_SIZE)
    machine = Machine(cpu)
    start = CODE + PAGE_SIZE - 20
    machine.map(CODE + PAGE_SIZE, FREE_FRAME, RX)
    machine.write(CODE_FRAME + PAGE_SIZE - 20, ENDLESS[:20])
    machine.write(FREE_FRAME, ENDLESS[20:])
    machine["t0"], machine["t1"] = DATA, DATA + 256
    pc, retired = start, 0
    for limit in itertools.cycle(limits):
        stop = machine.run(pc, min(limit, total - retired))
        assert stop.cause == Cause.LIMIT, stop
        pc = stop.pc
        retired += stop.retired
        cpu.time = retired
        if flush:
            cpu.flush(machine.pages)
        if retired == total:
            break
    state = bytes(cpu.registers), bytes(cpu.ram), pc
    cpu.close()
    return state


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(
    total=st.integers(1, 3000),
    limits=st.lists(st.integers(1, 60), min_size=1, max_size=8),
    flush=st.booleans(),
)
def test_chunks_are_invisible(total: int, limits: list[int], flush: bool) -> None:
    assert run_endless(total, limits, flush) == run_endless(total, [total])


SELF_MODIFYING = rv64.code(
    # Increments the immediate of the addi three instructions on, executes it, and starts again.
    rv64.load("a1", "t0", 12, size=4),
    rv64.add("a1", "a1", "t1"),
    rv64.store("a1", "t0", 12, size=4),
    rv64.addi("a0", "a0", 0),
    rv64.addi("s0", "s0", -1),
    rv64.bne("s0", "zero", -20),
    rv64.ECALL,
)


@pytest.mark.parametrize("limits", [[10_000], [1], [2], [3, 1], [5], [7, 4]])
def test_code_that_changes_its_next_instruction(unicorn_machine: MachineFactory, limits: list[int]) -> None:
    machine = unicorn_machine(SELF_MODIFYING, code_permissions=RWX)
    machine["t0"], machine["t1"], machine["s0"] = CODE, 1 << 20, 10
    assert machine.run_in_chunks(forever(*limits)) == Stop(Cause.ECALL, CODE + 24, 0, 60)
    assert machine["a0"] == sum(range(1, 11))


def test_thousand_random_traps_at_the_same_counts(unicorn_machine: MachineFactory) -> None:
    """Ecalls, faults and breakpoints in a loop: the sum of the counts does not depend on chunks."""
    program = rv64.code(rv64.addi("a0", "a0", 1), rv64.ECALL, rv64.load("a1", "t0"), rv64.C_EBREAK, rv64.jal(-14))

    def play(generator: random.Random) -> list[tuple[Cause, int, int]]:
        machine = unicorn_machine(program)
        machine["t0"] = 0x5000
        pc = CODE
        history: list[tuple[Cause, int, int]] = []
        total = 0
        while len(history) < 1000:
            stop = machine.run(pc, generator.randint(1, 4))
            total += stop.retired
            pc = stop.pc
            if stop.cause == Cause.LIMIT:
                continue
            history.append((stop.cause, stop.pc, total))
            pc += 2 if stop.cause == Cause.BREAKPOINT else 4
        return history

    first = play(random.Random(1))
    assert first == play(random.Random(2))
    assert first[:3] == [
        (Cause.ECALL, CODE + 4, 1),
        (Cause.LOAD_FAULT, CODE + 8, 1),
        (Cause.BREAKPOINT, CODE + 12, 1),
    ]
    assert first[3] == (Cause.ECALL, CODE + 4, 3)


def play_garbage(seed: int, chunked: bool) -> tuple[object, ...]:
    """Execute random bytes that may overwrite themselves, going on after every trap."""
    generator, chunks = random.Random(seed), random.Random(seed + 1)
    cpu = UnicornCpu(RAM_SIZE)
    machine = Machine(cpu, generator.randbytes(PAGE_SIZE), RWX)
    machine.map(CODE + PAGE_SIZE, FREE_FRAME, RWX)
    machine.map(DATA + PAGE_SIZE, CODE_FRAME, RWX)
    for number in range(1, 32):
        cpu.registers[number] = generator.choice([CODE, DATA]) + generator.randrange(2 * PAGE_SIZE)
    history: list[tuple[Cause, int, int, int]] = []
    pc = CODE
    while len(history) < 200 and cpu.time < 2000:
        left = 2000 - cpu.time
        stop = machine.run(pc, min(chunks.randint(1, 5), left) if chunked else left)
        cpu.time += stop.retired
        pc = stop.pc
        if stop.cause != Cause.LIMIT:
            history.append((stop.cause, stop.pc, stop.address, cpu.time))
            pc = CODE + generator.randrange(0, PAGE_SIZE, 2)
    state = history, bytes(cpu.registers), bytes(cpu.ram), cpu.save_floating()
    cpu.close()
    return state


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(seed=st.integers(0, 2**32))
def test_chunks_are_invisible_to_random_bytes(seed: int) -> None:
    assert play_garbage(seed, chunked=True) == play_garbage(seed, chunked=False)
