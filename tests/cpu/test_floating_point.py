"""Floating-point files: lazily used, completely saved, never seen by another thread."""

from __future__ import annotations

import struct
from array import array

import pytest

from fluke_async.cpu.protocol import Cause
from tests.cpu import rv64
from tests.cpu.conftest import MachineFactory
from tests.cpu.machine import CODE, DATA, DATA_FRAME, Machine

ONE, THREE = (int.from_bytes(struct.pack("<d", value), "little") for value in (1.0, 3.0))
INEXACT, DIVISION_BY_ZERO, ROUND_DOWN = 1, 8, 2 << 5


def park(machine: Machine) -> tuple[array[int], array[int] | None]:
    return array("Q", machine.cpu.registers), machine.cpu.save_floating()


def file_of(**values: int) -> array[int]:
    file = array("Q", bytes(8 * 33))
    for name, value in values.items():
        file[32 if name == "fcsr" else int(name[1:])] = value
    return file


def test_thread_that_only_reads_has_no_file(unicorn_machine: MachineFactory) -> None:
    read = rv64.code(rv64.C_FSDSP, rv64.fmv_to_x("a0", 1), rv64.csrrs("a1", rv64.FCSR), rv64.ECALL)
    machine = unicorn_machine(read)
    machine.write(DATA_FRAME, b"\xff" * 8)
    machine["sp"], machine["a0"], machine["a1"] = DATA, 1, 1
    assert machine.run().cause == Cause.ECALL
    assert machine.read_word(DATA_FRAME) == machine["a0"] == machine["a1"] == 0
    assert machine.cpu.save_floating() is None


WRITES = {
    "fmv.d.x": (rv64.fmv_from_x(1, "a0"), file_of(f1=ONE)),
    "fld": (rv64.fld(2, "t0"), file_of(f2=THREE)),
    "c.fld": (rv64.C_FLD, file_of(f10=THREE)),
    "fdiv.d": (rv64.fdiv(3, 0, 0), file_of(f3=0x7FF8 << 48, fcsr=16)),
    "fsgnj.d": (0x2200_1253, file_of(f4=1 << 63)),  # fsgnjn.d f4, f0, f0
    "csrw frm": (rv64.csrrw("zero", rv64.FRM, "a1"), file_of(fcsr=ROUND_DOWN)),
    "csrw fflags": (rv64.csrrw("zero", rv64.FFLAGS, "a1"), file_of(fcsr=2)),
    "csrw fcsr": (rv64.csrrw("zero", rv64.FCSR, "a1"), file_of(fcsr=2)),
}


@pytest.mark.parametrize(("instruction", "expected"), WRITES.values(), ids=WRITES.keys())
def test_first_write_makes_a_file(unicorn_machine: MachineFactory, instruction: int, expected: array[int]) -> None:
    machine = unicorn_machine(rv64.code(instruction, rv64.ECALL))
    machine.write(DATA_FRAME, THREE.to_bytes(8, "little"))
    machine["a0"], machine["a1"], machine["t0"], machine["s0"] = ONE, 2, DATA, DATA
    assert machine.run().retired == 1
    assert machine.cpu.save_floating() == expected


def test_registers_rounding_mode_and_flags_survive_other_threads(
    unicorn_machine: MachineFactory,
) -> None:
    divide = rv64.fdiv(3, 1, 2)
    machine = unicorn_machine(rv64.code(divide, rv64.csrrs("a0", rv64.FCSR), rv64.ECALL))
    zeros = array("Q", bytes(8 * 32))
    downward = file_of(f1=ONE, f2=THREE, fcsr=ROUND_DOWN)
    by_zero = file_of(f1=ONE)
    parked: list[tuple[array[int], array[int] | None]] = [
        (zeros, downward),
        (zeros, by_zero),
        (zeros, None),
    ]
    for _ in range(3):
        for index, (registers, floating) in enumerate(parked):
            machine.cpu.load(registers, floating)
            assert machine.run().cause == Cause.ECALL
            parked[index] = park(machine)
    third, infinity = 0x3FD5_5555_5555_5555, 0x7FF0 << 48
    assert [registers[10] for registers, _ in parked] == [ROUND_DOWN | INEXACT, 8, 16]
    assert parked[0][1] == file_of(f1=ONE, f2=THREE, f3=third, fcsr=ROUND_DOWN | INEXACT)
    assert parked[1][1] == file_of(f1=ONE, f3=infinity, fcsr=DIVISION_BY_ZERO)
    assert parked[2][1] == file_of(f3=0x7FF8 << 48, fcsr=16)


def test_new_thread_sees_zeros_after_one_that_used_everything(
    unicorn_machine: MachineFactory,
) -> None:
    look = rv64.code(rv64.fmv_to_x("a0", 31), rv64.csrrs("a1", rv64.FCSR), rv64.ECALL)
    machine = unicorn_machine(look)
    used = array("Q", [THREE] * 32 + [ROUND_DOWN | INEXACT])
    machine.cpu.load(array("Q", bytes(8 * 32)), used)
    assert machine.cpu.save_floating() == used
    assert machine.run().cause == Cause.ECALL
    assert (machine["a0"], machine["a1"]) == (THREE, ROUND_DOWN | INEXACT)
    machine.cpu.load(array("Q", bytes(8 * 32)), None)
    assert machine.run().cause == Cause.ECALL
    assert (machine["a0"], machine["a1"]) == (0, 0)
    assert machine.cpu.save_floating() is None


def test_invalid_rounding_mode_is_illegal(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.fdiv(1, 1, 1), rv64.ECALL))
    machine.cpu.load(machine.cpu.registers, file_of(fcsr=7 << 5))
    stop = machine.run()
    assert (stop.cause, stop.pc, stop.retired) == (Cause.ILLEGAL, CODE, 0)
