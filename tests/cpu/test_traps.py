"""Every way for user code to stop, and where it stops: before the instruction, exactly."""

from __future__ import annotations

import pytest

from fluke_async.cpu.protocol import EXECUTE, PAGE_SIZE, READ, WRITE, Cause
from fluke_async.errors import KernelBug
from tests.cpu import rv64
from tests.cpu.conftest import MachineFactory
from tests.cpu.machine import CODE, CODE_FRAME, DATA, DATA_FRAME, FREE_FRAME, RW, RX, Stop, forever

PAGE_END = CODE + PAGE_SIZE


def test_ecall_is_neither_passed_nor_counted(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.li("a0", 7), rv64.ECALL))
    assert machine.run() == Stop(Cause.ECALL, CODE + 4, 0, 1)
    assert machine["a0"] == 7
    assert machine.run(CODE + 4) == Stop(Cause.ECALL, CODE + 4, 0, 0)


def test_ecall_at_a_halfword_boundary_and_across_pages(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.C_NOP, rv64.ECALL))
    assert machine.run() == Stop(Cause.ECALL, CODE + 2, 0, 1)
    ecall = rv64.code(rv64.ECALL)
    machine.write(CODE_FRAME + PAGE_SIZE - 2, ecall[:2])
    machine.write(FREE_FRAME, ecall[2:])
    machine.map(PAGE_END, FREE_FRAME, RX)
    assert machine.run(PAGE_END - 2) == Stop(Cause.ECALL, PAGE_END - 2, 0, 0)


@pytest.mark.parametrize("instruction", [rv64.EBREAK, rv64.C_EBREAK])
def test_breakpoint_is_at_itself(unicorn_machine: MachineFactory, instruction: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.NOP, rv64.C_NOP, instruction))
    assert machine.run() == Stop(Cause.BREAKPOINT, CODE + 6, 0, 2)


PRIVILEGED = {
    "uret": rv64.URET,
    "sret": rv64.SRET,
    "mret": rv64.MRET,
    "wfi": rv64.WFI,
    "sfence.vma": rv64.SFENCE_VMA,
    "sfence.vm": 0x1040_0073,
    "hfence.vvma": 0x2200_0073,
    "dret": 0x7B20_0073,
    "write mstatus": rv64.csrrw("zero", 0x300, "a0"),
    "read mstatus": rv64.csrrs("a0", 0x300),
    "write satp": rv64.csrrw("zero", 0x180, "a0"),
    "write mcounteren": rv64.csrrw("zero", 0x306, "a0"),
    "write scounteren": rv64.csrrw("zero", 0x106, "a0"),
    "read sstatus": rv64.csrrs("a0", 0x100),
    "read mhartid": rv64.csrrs("a0", 0xF14),
    "write cycle": rv64.csrrw("a0", rv64.CYCLE, "zero"),
    "set bits of time": rv64.csrrs("a0", rv64.TIME, "a1"),
    "clear bits of instret": rv64.csrrci("a0", rv64.INSTRET, 1),
    "read mcycle": rv64.csrrs("a0", 0xB00),
    "read hpmcounter3": rv64.csrrs("a0", 0xC03),
    "no such instruction": 0xFFFF_FFFF,
    "unknown atomic": 0xFFFF_B02F,
    "c.addiw to x0": rv64.Short(0x2001),
    "c.illegal": rv64.C_ILLEGAL,
}


@pytest.mark.parametrize("instruction", PRIVILEGED.values(), ids=PRIVILEGED.keys())
def test_privileged_and_unknown_instructions_are_illegal(unicorn_machine: MachineFactory, instruction: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.NOP, instruction, rv64.ECALL))
    machine["a0"] = machine["a1"] = 5
    assert machine.run() == Stop(Cause.ILLEGAL, CODE + 4, 0, 1)
    assert machine["a0"] == 5


def test_still_in_user_mode_after_hundreds_of_traps(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.MRET, rv64.csrrw("zero", 0x300, "a0"), rv64.ECALL))
    machine["a0"] = 2**64 - 1
    for _ in range(200):
        assert machine.run(CODE).cause == Cause.ILLEGAL
        assert machine.run(CODE + 4).cause == Cause.ILLEGAL
        assert machine.run(CODE + 8).cause == Cause.ECALL


@pytest.mark.parametrize("neighbour", [None, CODE - PAGE_SIZE])
def test_illegal_zero_at_the_start_of_a_page(unicorn_machine: MachineFactory, neighbour: int | None) -> None:
    machine = unicorn_machine(bytes(16))
    if neighbour is not None:
        machine.map(neighbour, FREE_FRAME, RW)
    assert machine.run() == Stop(Cause.ILLEGAL, CODE, 0, 0)


def test_illegal_zero_after_a_jump_from_another_page(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.NOP, rv64.jal(2 * PAGE_SIZE - 4)))
    machine.map(CODE + 2 * PAGE_SIZE, FREE_FRAME, RX)
    assert machine.run() == Stop(Cause.ILLEGAL, CODE + 2 * PAGE_SIZE, 0, 2)


@pytest.mark.parametrize("instruction", [rv64.amoadd("a0", "a1", "t0"), rv64.load_reserved("a0", "t0")])
def test_misaligned_atomic(unicorn_machine: MachineFactory, instruction: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.NOP, instruction))
    machine["t0"], machine["a0"] = DATA + 4, 3
    assert machine.run() == Stop(Cause.MISALIGNED, CODE + 4, DATA + 4, 1)
    assert machine["a0"] == 3


def test_misaligned_plain_access_works(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.store("a0", "t0"), rv64.load("a1", "t0"), rv64.ECALL))
    machine.map(DATA + PAGE_SIZE, FREE_FRAME, RW)
    machine["t0"], machine["a0"] = DATA + PAGE_SIZE - 3, 0x1122_3344_5566_7788
    assert machine.run().cause == Cause.ECALL
    assert machine["a1"] == 0x1122_3344_5566_7788
    assert bytes(machine.cpu.ram[FREE_FRAME : FREE_FRAME + 5]) == bytes.fromhex("5544332211")


NOWHERE = 0x30_0008
ACCESSES = {
    "load": (rv64.load("a0", "t0"), Cause.LOAD_FAULT, READ),
    "load reserved": (rv64.load_reserved("a0", "t0"), Cause.LOAD_FAULT, READ),
    "store": (rv64.store("a0", "t0"), Cause.STORE_FAULT, WRITE),
    "amo": (rv64.amoadd("a0", "a1", "t0"), Cause.STORE_FAULT, READ | WRITE),
}


@pytest.mark.parametrize(("instruction", "cause", "needs"), ACCESSES.values(), ids=ACCESSES.keys())
@pytest.mark.parametrize("has", [0, READ, WRITE, EXECUTE, RX])
def test_data_fault_changes_nothing_and_can_be_mended(
    unicorn_machine: MachineFactory, instruction: int, cause: Cause, needs: int, has: int
) -> None:
    machine = unicorn_machine(rv64.code(rv64.NOP, instruction, rv64.ECALL))
    machine["t0"], machine["a0"], machine["a1"] = NOWHERE, 3, 4
    if has:
        machine.map(NOWHERE & -PAGE_SIZE, FREE_FRAME, has)
    if needs & ~has:
        assert machine.run() == Stop(cause, CODE + 4, NOWHERE, 1)
        assert machine["a0"] == 3
        assert not any(machine.cpu.ram[FREE_FRAME : FREE_FRAME + PAGE_SIZE])
        machine.map(NOWHERE & -PAGE_SIZE, FREE_FRAME, needs)
    assert machine.run(CODE + 4) == Stop(Cause.ECALL, CODE + 8, 0, 1)


def test_store_conditional_that_would_succeed_faults_as_a_store(
    unicorn_machine: MachineFactory,
) -> None:
    pair = rv64.code(rv64.load_reserved("a0", "t0"), rv64.store_conditional("a1", "a2", "t0"))
    machine = unicorn_machine(pair)
    machine.map(DATA, DATA_FRAME, READ)
    machine["t0"] = DATA
    assert machine.run() == Stop(Cause.STORE_FAULT, CODE + 4, DATA, 1)


@pytest.mark.parametrize("second", [0, READ])
def test_store_across_pages_writes_both_or_nothing(unicorn_machine: MachineFactory, second: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.store("a0", "t0"), rv64.ECALL))
    if second:
        machine.map(DATA + PAGE_SIZE, FREE_FRAME, second)
    machine["t0"], machine["a0"] = DATA + PAGE_SIZE - 4, 2**64 - 1
    assert machine.run() == Stop(Cause.STORE_FAULT, CODE, DATA + PAGE_SIZE, 0)
    assert not any(machine.cpu.ram[DATA_FRAME : DATA_FRAME + PAGE_SIZE])
    machine.map(DATA + PAGE_SIZE, FREE_FRAME, RW)
    assert machine.run().cause == Cause.ECALL
    assert bytes(machine.cpu.ram[FREE_FRAME : FREE_FRAME + 5]) == b"\xff\xff\xff\xff\0"


@pytest.mark.parametrize("target", [0, 2, 0x30_0000, 2**38, 2**63, 2**64 - 2, 2**64 - PAGE_SIZE])
def test_jump_to_nowhere_faults_there(unicorn_machine: MachineFactory, target: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.NOP, rv64.jalr("t0")))
    machine["t0"] = target
    assert machine.run() == Stop(Cause.FETCH_FAULT, target, target, 2)
    assert machine.run(target) == Stop(Cause.FETCH_FAULT, target, target, 0)


def test_jump_to_data_faults(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.load("a0", "t0"), rv64.jalr("t0", rd="ra")))
    machine["t0"] = DATA
    assert machine.run() == Stop(Cause.FETCH_FAULT, DATA, DATA, 2)
    assert machine["ra"] == CODE + 8


def test_jump_to_an_odd_address_drops_the_bit(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.jalr("t0"), rv64.NOP, rv64.ECALL))
    machine["t0"] = CODE + 9
    assert machine.run() == Stop(Cause.ECALL, CODE + 8, 0, 1)
    assert machine.run(CODE + 9) == Stop(Cause.ECALL, CODE + 8, 0, 0)


def test_code_may_lie_at_address_0_and_at_the_top(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine()
    machine.map(0, FREE_FRAME, RX)
    machine.write(FREE_FRAME, rv64.code(rv64.li("a0", 9), rv64.ECALL))
    assert machine.run(0) == Stop(Cause.ECALL, 4, 0, 1)
    machine.map(2**64 - PAGE_SIZE, CODE_FRAME, RX)
    machine.write(CODE_FRAME + PAGE_SIZE - 4, rv64.code(rv64.NOP))
    assert machine.run(2**64 - 4) == Stop(Cause.ECALL, 4, 0, 2)
    machine.write(CODE_FRAME + PAGE_SIZE - 8, rv64.code(rv64.NOP, rv64.ECALL))
    machine.cpu.invalidate(CODE_FRAME, PAGE_SIZE)
    assert machine.run(2**64 - 8) == Stop(Cause.ECALL, 2**64 - 4, 0, 1)


@pytest.mark.parametrize("distance", [0, 1, 2, 40, 600, 1500])
@pytest.mark.parametrize("limits", [[1000_000], [1], [7, 2]])
def test_instruction_across_pages_faults_at_its_own_pc(
    unicorn_machine: MachineFactory, distance: int, limits: list[int]
) -> None:
    """The engine reports the beginning of the block, some instructions before."""
    add = rv64.code(rv64.addi("a0", "a0", 100))
    start = PAGE_END - 2 - 2 * distance
    machine = unicorn_machine()
    increment = rv64.code(rv64.Short(0x0505))  # c.addi a0, 1
    machine.write(CODE_FRAME + PAGE_SIZE - 2 - 2 * distance, increment * distance + add[:2])
    stop = machine.run_in_chunks(forever(*limits), start)
    assert stop == Stop(Cause.FETCH_FAULT, PAGE_END - 2, PAGE_END, distance)
    assert machine["a0"] == distance
    machine.map(PAGE_END, FREE_FRAME, RX)
    machine.write(FREE_FRAME, add[2:] + rv64.code(rv64.ECALL))
    assert machine.run(PAGE_END - 2) == Stop(Cause.ECALL, PAGE_END + 2, 0, 1)
    assert machine["a0"] == distance + 100


def test_trap_before_an_instruction_across_pages_comes_first(
    unicorn_machine: MachineFactory,
) -> None:
    machine = unicorn_machine()
    block = rv64.code(rv64.NOP, rv64.load("a0", "zero", 8), rv64.C_NOP, rv64.NOP)
    machine.write(CODE_FRAME + PAGE_SIZE - 12, block[:12])
    assert machine.run(PAGE_END - 12) == Stop(Cause.LOAD_FAULT, PAGE_END - 8, 8, 1)


def test_short_instruction_at_the_end_of_a_page_needs_no_next_page(
    unicorn_machine: MachineFactory,
) -> None:
    machine = unicorn_machine()
    machine.write(CODE_FRAME + PAGE_SIZE - 2, rv64.code(rv64.C_NOP))
    assert machine.run(PAGE_END - 2) == Stop(Cause.FETCH_FAULT, PAGE_END, PAGE_END, 1)


@pytest.mark.parametrize("frame", [0x10000, 0x11000, 2**40, -PAGE_SIZE])
@pytest.mark.parametrize("access", ["fetch", "load", "store"])
def test_frame_outside_memory_is_our_bug(unicorn_machine: MachineFactory, frame: int, access: str) -> None:
    instruction = {
        "fetch": rv64.jalr("t0"),
        "load": rv64.load("a0", "t0"),
        "store": rv64.store("a0", "t0"),
    }[access]
    machine = unicorn_machine(rv64.code(instruction, rv64.ECALL))
    machine.map(0x40000, frame, RX if access == "fetch" else RW)
    machine["t0"] = 0x40000
    with pytest.raises(KernelBug, match="0x40"):
        machine.run()


def test_exception_in_the_page_dictionary_comes_out_of_run(unicorn_machine: MachineFactory) -> None:
    class Angry(dict[int, int]):
        def get(self, key: int, default: object = None) -> int:
            raise ZeroDivisionError(f"page {key:#x}")

    machine = unicorn_machine(rv64.code(rv64.ECALL))
    machine.cpu.set_pages(Angry())
    with pytest.raises(ZeroDivisionError, match="page 0x10"):
        machine.run()
    machine.cpu.set_pages(machine.pages)
    assert machine.run().cause == Cause.ECALL
