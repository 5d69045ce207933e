"""The engine as an object of the host: creation, closing, threads, memory, interruptions."""

from __future__ import annotations

import gc
import signal
import threading

import pytest

from fluke_async.cpu import unicorn_binding
from fluke_async.cpu.protocol import PAGE_SIZE, Cause
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.errors import FlukeError
from tests.cpu import rv64
from tests.cpu.conftest import MachineFactory
from tests.cpu.machine import CODE, DATA, RAM_SIZE, RW, Machine, Stop
from tests.resident import measures_memory, resident_bytes


@pytest.mark.parametrize("size", [0, -PAGE_SIZE, 100, PAGE_SIZE + 1])
def test_memory_is_whole_pages(size: int) -> None:
    with pytest.raises(FlukeError, match=f"ram_size is {size}"):
        UnicornCpu(size)


def test_more_memory_than_there_is() -> None:
    with pytest.raises(FlukeError, match="use less memory"):
        UnicornCpu(2**62)


@measures_memory
def test_memory_costs_the_host_only_what_is_touched() -> None:
    UnicornCpu(PAGE_SIZE).close()
    before = resident_bytes()
    cpu = UnicornCpu(4 << 30)
    assert len(cpu.ram) == 4 << 30
    assert resident_bytes() - before < 8 << 20
    cpu.close()


@measures_memory
def test_engines_leave_nothing_behind() -> None:
    def live_once() -> None:
        cpu = UnicornCpu(RAM_SIZE)
        machine = Machine(cpu, rv64.code(rv64.load("a0", "t0"), rv64.ECALL))
        machine["t0"] = DATA
        assert machine.run().cause == Cause.ECALL
        cpu.close()

    for _ in range(10):
        live_once()
    gc.collect()
    before = resident_bytes()
    for _ in range(50):
        live_once()
    gc.collect()
    assert resident_bytes() - before < 4 << 20


def test_closed_engine_refuses_and_closing_twice_is_harmless() -> None:
    cpu = UnicornCpu(RAM_SIZE)
    registers, part, pages = cpu.registers, cpu.ram[:8], dict[int, int]()
    cpu.set_pages(pages)
    cpu.close()
    cpu.close()
    assert bytes(part) == bytes(8)
    with pytest.raises(ValueError, match="released"):
        registers[1] = 0
    with pytest.raises(FlukeError, match="closed"):
        cpu.run(CODE, 1)
    with pytest.raises(FlukeError, match="closed"):
        cpu.flush(pages)


def test_forgotten_engine_is_collected() -> None:
    (finalizer,) = UnicornCpu(RAM_SIZE)._engines._finalizers
    gc.collect()
    assert not finalizer.alive


def test_engines_do_not_know_of_each_other(unicorn_machine: MachineFactory) -> None:
    program = rv64.code(rv64.addi("a0", "a0", 1), rv64.store("a0", "t0"), rv64.ECALL)
    machines = [unicorn_machine(program) for _ in range(3)]
    for index, machine in enumerate(machines):
        machine["t0"], machine["a0"] = DATA, index * 10
    for _ in range(5):
        for machine in machines:
            assert machine.run().cause == Cause.ECALL
    assert [machine["a0"] for machine in machines] == [5, 15, 25]


def test_two_engines_run_in_two_host_threads() -> None:
    program = rv64.code(
        rv64.addi("a0", "a0", 1),
        rv64.amoadd("zero", "a0", "t0"),
        rv64.csrrs("a1", rv64.CYCLE),
        rv64.jal(-12),
    )
    results: dict[int, tuple[bytes, bytes]] = {}

    def work(number: int) -> None:
        cpu = UnicornCpu(RAM_SIZE)
        machine = Machine(cpu, program)
        machine["t0"] = DATA
        pc = CODE
        for limit in range(1, 300):
            pc = machine.run(pc, limit).pc
            if limit % 50 == 0:
                cpu.set_pages(dict(machine.pages))
        results[number] = bytes(cpu.registers), bytes(cpu.ram)
        cpu.close()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    assert len(set(results.values())) == 1


def test_a_host_thread_may_take_over_an_engine(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.addi("a0", "a0", 1), rv64.ECALL))
    for _ in range(5):
        thread = threading.Thread(target=machine.run)
        thread.start()
        thread.join()
    assert machine["a0"] == 5


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="sends a signal to itself")
def test_interruption_while_pages_are_looked_up_is_not_lost(
    unicorn_machine: MachineFactory,
) -> None:
    class Interrupting(dict[int, int]):
        def get(self, key: int, default: int = 0) -> int:  # type: ignore[override]
            if key == DATA // PAGE_SIZE:
                signal.raise_signal(signal.SIGINT)
            return super().get(key, default)

    machine = unicorn_machine(rv64.code(rv64.load("a0", "t0"), rv64.ECALL))
    machine["t0"] = DATA
    machine.cpu.set_pages(Interrupting(machine.pages))
    with pytest.raises(KeyboardInterrupt):
        machine.run()


def test_working_set_larger_than_the_tlb(unicorn_machine: MachineFactory) -> None:
    """3000 pages, all one frame: the TLB is grown on the way, and nothing is lost."""
    program = rv64.code(
        rv64.load("a0", "t0"),
        rv64.addi("a0", "a0", 1),
        rv64.store("a0", "t0"),
        rv64.add("t0", "t0", "t1"),
        rv64.addi("t2", "t2", -1),
        rv64.bne("t2", "zero", -20),
        rv64.ECALL,
    )
    machine = unicorn_machine(program)
    for page in range(3000):
        machine.map(0x100_0000 + page * PAGE_SIZE, 0x8000, RW)
    for _ in range(3):
        machine["t0"], machine["t1"], machine["t2"] = 0x100_0000, PAGE_SIZE, 3000
        pc = CODE
        while (stop := machine.run(pc, 5000)).cause == Cause.LIMIT:
            pc = stop.pc
        assert stop.cause == Cause.ECALL
    assert machine.read_word(0x8000) == 9000


def test_more_code_than_the_translation_buffer_holds(unicorn_machine: MachineFactory) -> None:
    """Ever new aliases of a page of code make translations until the engine drops them all."""
    machine = unicorn_machine(rv64.code(*[rv64.addi("a0", "a0", 1)] * 1000, rv64.ECALL))
    for page in range(1000):
        address = 0x100_0000 + page * PAGE_SIZE
        machine.map(address, 0x1000, 5)
        assert machine.run(address) == Stop(Cause.ECALL, address + 4000, 0, 1000)
    assert machine["a0"] == 1_000_000


def test_layout_is_measured_once() -> None:
    assert unicorn_binding.layout() is unicorn_binding.layout()
