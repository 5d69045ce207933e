"""What only the scripted engine has: its assembler and its long steps."""

from __future__ import annotations

import pytest

from fluke_async.cpu.protocol import PAGE_SIZE, Cause
from fluke_async.cpu.scripted_cpu import Line, ScriptedCpu, assemble
from fluke_async.errors import FlukeError
from tests.cpu.machine import CODE, RAM_SIZE, Machine, Stop
from tests.resident import measures_memory, resident_bytes


def machine_for(*lines: Line) -> Machine:
    return Machine(ScriptedCpu(RAM_SIZE, {CODE: assemble(lines)}))


def test_long_step_is_as_many_instructions() -> None:
    machine = machine_for(("burn", 10**12), "end", ("ecall",))
    end = CODE + 4 * 10**12
    assert machine.run(limit=10**12 - 1) == Stop(Cause.LIMIT, end - 4, 0, 10**12 - 1)
    assert machine.run(end - 4, limit=2) == Stop(Cause.ECALL, end, 0, 1)


def test_labels_are_addresses_and_targets() -> None:
    machine = machine_for(("jump", "start"), "data", ("illegal",), "start", ("la", "a0", "data"), ("ecall",))
    assert machine.run() == Stop(Cause.ECALL, CODE + 12, 0, 2)
    assert machine["a0"] == CODE + 4


def test_branches() -> None:
    machine = machine_for(("beqz", "a0", "end"), ("ecall",), "end", ("ebreak",))
    assert machine.run().cause == Cause.BREAKPOINT
    machine["a0"] = 1
    assert machine.run().cause == Cause.ECALL


def test_programs_are_in_every_space() -> None:
    programs = {CODE: assemble([("ecall",)]), 0x50000: assemble([("burn", 1), ("ebreak",)])}
    machine = Machine(ScriptedCpu(RAM_SIZE, programs))
    machine.cpu.set_pages({})
    assert machine.run().cause == Cause.ECALL
    assert machine.run(0x50000) == Stop(Cause.BREAKPOINT, 0x50004, 0, 1)
    assert machine.run(0x50008).cause == Cause.FETCH_FAULT
    assert machine.run(0x50002).cause == Cause.FETCH_FAULT


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([("lli", "a0", 1)], "'lli'.* is not a step; the steps are add,"),
        ([("li", "a0")], "is not a step"),
        ([("li", "x10", 1)], "'x10' in"),
        ([("jump", "nowhere")], "'nowhere' in"),
        ([("burn", "a0")], "burns no number"),
        ([("burn", 0)], "burns no number"),
        (["here", "here"], "label 'here' is defined twice"),
    ],
)
def test_mistakes_in_a_program_are_named(lines: list[Line], message: str) -> None:
    with pytest.raises(FlukeError, match=message):
        assemble(lines)


def test_memory_is_whole_pages() -> None:
    with pytest.raises(FlukeError, match=f"ram_size is {PAGE_SIZE + 1}"):
        ScriptedCpu(PAGE_SIZE + 1, {})


@measures_memory
def test_memory_is_the_hosts_again_and_what_is_not_touched_was_never_given() -> None:
    """Also when the host's allocator has learnt that so much is asked for again and again."""
    size = 16 << 20
    for _ in range(3):
        ScriptedCpu(size, {}).close()
    before = resident_bytes()
    engines = [ScriptedCpu(size, {}) for _ in range(8)]
    assert all(engine.ram[size - 1] == 0 for engine in engines)
    assert resident_bytes() - before < size
    for engine in engines:
        engine.ram[::PAGE_SIZE] = b"\1" * (size // PAGE_SIZE)
        engine.close()
    del engines, engine
    assert resident_bytes() - before < size
