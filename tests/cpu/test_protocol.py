"""What every engine must do, played on both: the same little programs in steps and in RV64."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fluke_async.cpu.protocol import PAGE_SIZE, READ, Cause, Cpu
from fluke_async.cpu.scripted_cpu import Line, ScriptedCpu, assemble
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.errors import KernelBug
from tests.cpu import rv64
from tests.cpu.machine import CODE, DATA, DATA_FRAME, FREE_FRAME, RAM_SIZE, RW, Machine, Stop

Maker = Callable[[list[Line]], Machine]


def encode(lines: list[Line]) -> bytes:
    """The subset of the steps that is one RV64 instruction each."""
    labels: dict[str, int] = {}
    steps: list[tuple[Any, ...]] = []
    for line in lines:
        if isinstance(line, str):
            labels[line] = 4 * len(steps)
        else:
            steps.extend([("nop",)] * line[1] if line[0] == "burn" else [line])

    def encode_step(step: tuple[Any, ...], here: int) -> int:
        match step:
            case "li", str(d), int(value):
                return rv64.li(d, value)
            case "add", str(d), str(a), int(number):
                return rv64.addi(d, a, number)
            case "add", str(d), str(a), str(b):
                return rv64.add(d, a, b)
            case "load", str(d), str(a), int(offset):
                return rv64.load(d, a, offset)
            case "store", str(s), str(a), int(offset):
                return rv64.store(s, a, offset)
            case "lr", str(d), str(a):
                return rv64.load_reserved(d, a)
            case "sc", str(d), str(s), str(a):
                return rv64.store_conditional(d, s, a)
            case "time", str(d):
                return rv64.csrrs(d, rv64.TIME)
            case "fli", "f1", int():
                return rv64.fmv_from_x(1, "s11")
            case "fmv", str(d), "f1":
                return rv64.fmv_to_x(d, 1)
            case "bnez", str(a), str(label):
                return rv64.bne(a, "zero", labels[label] - here)
            case "jump", str(label):
                return rv64.jal(labels[label] - here)
            case "jr", str(a):
                return rv64.jalr(a)
        return {
            "nop": rv64.NOP,
            "ecall": rv64.ECALL,
            "illegal": 0xFFFF_FFFF,
            "ebreak": rv64.EBREAK,
        }[step[0]]

    return rv64.code(*[encode_step(step, 4 * index) for index, step in enumerate(steps)])


@pytest.fixture(params=["scripted", "unicorn"])
def make(request: pytest.FixtureRequest) -> Iterator[Maker]:
    engines: list[Cpu] = []

    def make_machine(lines: list[Line]) -> Machine:
        if request.param == "scripted":
            engines.append(ScriptedCpu(RAM_SIZE, {CODE: assemble(lines)}))
            return Machine(engines[-1])
        engines.append(UnicornCpu(RAM_SIZE))
        return Machine(engines[-1], encode(lines))

    yield make_machine
    for engine in engines:
        engine.close()


TRAPS = {
    "ecall": (("ecall",), Cause.ECALL, 0),
    "illegal": (("illegal",), Cause.ILLEGAL, 0),
    "breakpoint": (("ebreak",), Cause.BREAKPOINT, 0),
    "load": (("load", "a0", "t0", 8), Cause.LOAD_FAULT, 0x5008),
    "store": (("store", "a0", "t0", 8), Cause.STORE_FAULT, 0x5008),
    "read-only": (("store", "a0", "t1", 0), Cause.STORE_FAULT, DATA + PAGE_SIZE),
    "across": (("load", "a0", "t1", 0xFFC - 0x1000), Cause.LOAD_FAULT, DATA + PAGE_SIZE),
    "misaligned": (("lr", "a0", "t2"), Cause.MISALIGNED, 4),
}


@pytest.mark.parametrize(("step", "cause", "address"), TRAPS.values(), ids=TRAPS.keys())
@pytest.mark.parametrize("limits", [[1000], [1], [2, 3]])
def test_traps_are_precise(make: Maker, step: Line, cause: Cause, address: int, limits: list[int]) -> None:
    machine = make([("add", "s0", "s0", 1), ("burn", 6), step, ("add", "s0", "s0", 1)])
    if step[3:] == (0xFFC - 0x1000,):
        machine["t1"] = DATA + PAGE_SIZE
    elif cause == Cause.STORE_FAULT and step[2] == "t1":
        machine.map(DATA + PAGE_SIZE, FREE_FRAME, READ)
        machine["t1"] = DATA + PAGE_SIZE
    machine["t0"], machine["t2"], machine["a0"] = 0x5000, 4, 99
    assert machine.run_in_chunks(limits * 20) == Stop(cause, CODE + 28, address, 7)
    assert (machine["s0"], machine["a0"]) == (1, 99)
    assert not any(machine.cpu.ram[DATA_FRAME:])


def test_loop_with_memory_and_counters(make: Maker) -> None:
    lines: list[Line] = [
        ("li", "t0", 10),
        "again",
        ("load", "a0", "t1", 0),
        ("add", "a0", "a0", "t0"),
        ("store", "a0", "t1", 0),
        ("add", "t0", "t0", -1),
        ("bnez", "t0", "again"),
        ("time", "a1"),
        ("ecall",),
    ]
    for limits in ([1000], [1], [3], [5, 2]):
        machine = make(lines)
        machine["t1"] = DATA + 5
        assert machine.run_in_chunks(limits * 100) == Stop(Cause.ECALL, CODE + 28, 0, 52)
        assert machine.read_word(DATA_FRAME + 5) == 55
        assert machine["a1"] == 51


def test_zero_register_and_wrap_around(make: Maker) -> None:
    machine = make([("add", "zero", "zero", 5), ("add", "a0", "zero", -1), ("ecall",)])
    assert machine.run().cause == Cause.ECALL
    assert (machine["zero"], machine["a0"]) == (0, 2**64 - 1)


def test_jump_out_of_the_program(make: Maker) -> None:
    machine = make([("burn", 3), ("jr", "t0")])
    machine["t0"] = 0x7000_0001
    assert machine.run() == Stop(Cause.FETCH_FAULT, 0x7000_0000, 0x7000_0000, 4)


def test_reservation_outlives_a_limit_but_no_trap_and_no_switch(make: Maker) -> None:
    pair: list[Line] = [("lr", "a0", "t0"), ("sc", "a1", "a2", "t0"), ("ecall",)]
    machine = make([*pair, *pair[:1], ("ecall",), *pair[1:]])
    machine["t0"], machine["a1"], machine["a2"] = DATA, 9, 1
    assert machine.run_in_chunks([1] * 3).retired == 2
    assert machine["a1"] == 0
    assert machine.run(CODE + 12).retired == 1
    assert machine.run(CODE + 20).retired == 1
    assert machine["a1"] == 1
    assert machine.run(limit=1).cause == Cause.LIMIT
    machine.cpu.load(machine.cpu.registers, None)
    machine["a1"] = 9
    assert machine.run(CODE + 4).cause == Cause.ECALL
    assert machine["a1"] == 1


def test_threads_take_turns(make: Maker) -> None:
    machine = make([("fli", "f1", 7), ("jr", "t0"), ("burn", 1), ("fmv", "a0", "f1"), ("ecall",)])
    machine["t0"], machine["s11"] = CODE + 16, 7
    assert machine.cpu.save_floating() is None
    assert machine.run().cause == Cause.ECALL
    parked = array("Q", machine.cpu.registers), machine.cpu.save_floating()
    assert parked[1] is not None
    assert (parked[1][1], len(parked[1])) == (7, 33)
    machine.cpu.load(array("Q", range(100, 132)), None)
    assert (machine["zero"], machine["ra"], machine["t6"]) == (0, 101, 131)
    assert machine.run(CODE + 12).cause == Cause.ECALL
    assert machine["a0"] == 0
    assert machine.cpu.save_floating() is None
    machine.cpu.load(*parked)
    assert machine.run(CODE + 12).cause == Cause.ECALL
    assert machine["a0"] == 7


def test_address_spaces_take_turns(make: Maker) -> None:
    machine = make([("load", "a0", "t0", 0), ("add", "a0", "a0", 1), ("store", "a0", "t0", 0)])
    other = {**machine.pages, DATA // PAGE_SIZE: FREE_FRAME | RW}
    for pages in (machine.pages, other, machine.pages, other, other):
        machine.cpu.set_pages(pages)
        machine["t0"] = DATA
        assert machine.run(limit=3).cause == Cause.LIMIT
    assert machine.read_word(DATA_FRAME) == 2
    assert machine.read_word(FREE_FRAME) == 3


def test_views_are_live_and_typed(make: Maker) -> None:
    machine = make([("ecall",)])
    cpu = machine.cpu
    assert (cpu.ram.format, len(cpu.ram), cpu.ram.readonly) == ("B", RAM_SIZE, False)
    assert (cpu.registers.format, len(cpu.registers), cpu.registers.readonly) == ("Q", 32, False)


def test_frame_outside_of_memory_is_our_bug(make: Maker) -> None:
    machine = make([("load", "a0", "t0", 0)])
    machine.map(DATA, RAM_SIZE, RW)
    machine["t0"] = DATA
    with pytest.raises(KernelBug, match="outside of memory"):
        machine.run()
