"""Address spaces with engines of their own: nothing of it can be seen but the time it saves."""

from __future__ import annotations

import random
from array import array

import pytest

from fluke_async.cpu import unicorn_engines
from fluke_async.cpu.protocol import PAGE_SIZE, READ, Cause
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.cpu.unicorn_engines import ENGINES_MAX, FLUSHES_PER_ENGINE, SPACES_COUNTED
from tests.cpu import rv64
from tests.cpu.conftest import MachineFactory
from tests.cpu.machine import CODE, CODE_FRAME, DATA, DATA_FRAME, FREE_FRAME, RW, RWX, RX, Machine

INVALID, INEXACT = 16, 1
Pages = dict[int, int]


def engine_count(machine: Machine) -> int:
    cpu = machine.cpu
    assert isinstance(cpu, UnicornCpu)
    return len(cpu._engines)


def space(*mapped: tuple[int, int]) -> Pages:
    return {address // PAGE_SIZE: entry for address, entry in mapped}


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new engine for each new address space, as long as there may be one more."""
    monkeypatch.setattr(unicorn_engines, "FLUSHES_PER_ENGINE", 0)


def test_one_space_has_one_engine_however_often_it_is_entered(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.ECALL))
    for _ in range(3 * FLUSHES_PER_ENGINE):
        machine.cpu.set_pages(machine.pages)
        machine.cpu.flush(machine.pages)
        assert machine.run().cause == Cause.ECALL
    assert engine_count(machine) == 1


def test_engines_are_opened_for_those_who_take_turns_and_not_without_end(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.ECALL))
    spaces = [space((CODE, CODE_FRAME | RX)) for _ in range(2)]
    counts = []
    for turn in range(4 * FLUSHES_PER_ENGINE):
        machine.cpu.set_pages(spaces[turn % 2])
        assert machine.run().cause == Cause.ECALL
        counts.append(engine_count(machine))
    assert (counts[0], counts[-1]) == (1, 2)
    spaces = [space((CODE, CODE_FRAME | RX)) for _ in range(ENGINES_MAX + 4)]
    for turn in range(3 * FLUSHES_PER_ENGINE * len(spaces)):
        machine.cpu.set_pages(spaces[turn % len(spaces)])
        if turn % 97 == 0:
            assert machine.run().cause == Cause.ECALL
    assert engine_count(machine) == ENGINES_MAX


def test_a_crowd_of_spaces_shares_one_engine(unicorn_machine: MachineFactory) -> None:
    """Nothing would be saved by more: each of them comes when it has been forgotten."""
    machine = unicorn_machine(rv64.code(rv64.ECALL))
    spaces = [space((CODE, CODE_FRAME | RX)) for _ in range(SPACES_COUNTED + 1)]
    for turn in range(2 * FLUSHES_PER_ENGINE * len(spaces)):
        machine.cpu.set_pages(spaces[turn % len(spaces)])
        if turn % 97 == 0:
            assert machine.run().cause == Cause.ECALL
    assert engine_count(machine) == 1


@pytest.mark.usefixtures("eager")
def test_many_spaces_run_as_if_each_were_alone(unicorn_machine: MachineFactory) -> None:
    program = rv64.code(rv64.load("a0", "t0"), rv64.add("a0", "a0", "a1"), rv64.store("a0", "t0"), rv64.ECALL)
    machine = unicorn_machine(program)
    spaces = [
        space((CODE, CODE_FRAME | RX), (DATA, DATA_FRAME + index % 4 * PAGE_SIZE | RW))
        for index in range(ENGINES_MAX + 3)
    ]
    expected = [0] * 4
    choices = random.Random(7)
    for step in range(1_000):
        index = choices.randrange(len(spaces))
        machine.cpu.set_pages(spaces[index])
        machine.cpu.load(array("Q", bytes(8 * 32)), None)
        machine["t0"], machine["a1"] = DATA, step
        assert machine.run().cause == Cause.ECALL
        expected[index % 4] += step
        assert machine["a0"] == expected[index % 4]
    assert engine_count(machine) == ENGINES_MAX


@pytest.mark.usefixtures("eager")
def test_code_that_one_space_writes_is_what_another_runs(unicorn_machine: MachineFactory) -> None:
    """Both ways round, and often: what one engine has translated, the other changes."""
    machine = unicorn_machine(rv64.code(rv64.store("a1", "t0", size=4), rv64.ECALL))
    writer = space((CODE, CODE_FRAME | RX), (DATA, FREE_FRAME | RW))
    runner = space((DATA, FREE_FRAME | RX))
    machine.write(FREE_FRAME, rv64.code(rv64.li("a0", 0), rv64.ECALL))
    for value in range(20):
        machine.cpu.set_pages(writer)
        machine["t0"], machine["a1"] = DATA, rv64.li("a0", value)
        assert machine.run().cause == Cause.ECALL
        machine.cpu.set_pages(runner)
        assert machine.run(DATA).cause == Cause.ECALL
        assert machine["a0"] == value
    assert engine_count(machine) > 2


@pytest.mark.usefixtures("eager")
def test_code_that_both_have_translated_changes_for_both(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.li("a0", 1), rv64.ECALL), code_permissions=RWX)
    other = dict(machine.pages)
    for value in range(5):
        machine.write(CODE_FRAME, rv64.code(rv64.li("a0", value), rv64.ECALL))
        machine.cpu.invalidate(CODE_FRAME, 4)
        for pages in (machine.pages, other):
            machine.cpu.set_pages(pages)
            assert machine.run().cause == Cause.ECALL
            assert machine["a0"] == value


@pytest.mark.usefixtures("eager")
def test_flush_reaches_engines_that_do_not_run(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.load("a0", "t0"), rv64.ECALL))
    other = dict(machine.pages)
    for pages in (machine.pages, other, machine.pages):
        machine.cpu.set_pages(pages)
        machine["t0"] = DATA
        assert machine.run().cause == Cause.ECALL
    del other[DATA // PAGE_SIZE]
    machine.cpu.flush(other)
    machine.cpu.set_pages(other)
    assert machine.run().cause == Cause.LOAD_FAULT
    other[DATA // PAGE_SIZE] = DATA_FRAME | READ  # added, which needs no flush
    assert machine.run().cause == Cause.ECALL


def test_flush_concerns_the_space_that_it_names(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.load("a0", "t0"), rv64.ECALL))
    machine["t0"] = DATA
    assert machine.run().cause == Cause.ECALL
    del machine.pages[DATA // PAGE_SIZE]
    machine.cpu.flush({})
    assert machine.run().cause == Cause.ECALL, "what was read before is still used"
    machine.cpu.flush(machine.pages)
    assert machine.run().cause == Cause.LOAD_FAULT


@pytest.mark.usefixtures("eager")
def test_each_space_keeps_the_thread_that_was_loaded_last(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.addi("a0", "a0", 1), rv64.ECALL))
    spaces = [dict(machine.pages) for _ in range(3)]
    views = []
    for index, pages in enumerate(spaces):
        machine.cpu.set_pages(pages)
        machine.cpu.load(array("Q", bytes(8 * 32)), None)
        machine["a0"] = 100 * index
        views.append(machine.cpu.registers)
    assert len({id(view) for view in views}) == 3
    for _ in range(4):
        for pages, view in zip(spaces, views, strict=True):
            machine.cpu.set_pages(pages)
            assert machine.cpu.registers is view
            assert machine.run().cause == Cause.ECALL
    assert [view[10] for view in views] == [4, 104, 204]


@pytest.mark.usefixtures("eager")
def test_registers_go_from_one_file_into_another(unicorn_machine: MachineFactory) -> None:
    """A thread that changes its space, or whose space has lost its engine."""
    machine = unicorn_machine(rv64.code(rv64.addi("a0", "a0", 1), rv64.ECALL))
    registers = machine.cpu.registers
    machine["a0"] = 7
    machine.cpu.set_pages(dict(machine.pages))
    assert machine.cpu.registers is not registers
    machine.cpu.load(registers, None)
    assert machine.run().cause == Cause.ECALL
    assert (machine["a0"], registers[10]) == (8, 7)


@pytest.mark.usefixtures("eager")
def test_floating_point_flags_stay_with_nobody(unicorn_machine: MachineFactory) -> None:
    divide = (rv64.fdiv(3, 0, 0), rv64.csrrs("a1", rv64.FCSR), rv64.ECALL)  # 0 / 0
    machine = unicorn_machine(rv64.code(rv64.csrrs("a0", rv64.FCSR), *divide))
    spaces = [machine.pages, dict(machine.pages), dict(machine.pages)]
    for pages in spaces:
        machine.cpu.set_pages(pages)
        machine.run()
        assert (machine["a0"], machine["a1"]) == (0, INVALID)
    file = machine.cpu.save_floating()
    assert file is not None
    assert file[32] == INVALID
    for pages in spaces:  # other threads: one without a file, one with another
        machine.cpu.set_pages(pages)
        machine.cpu.load(array("Q", bytes(8 * 32)), None)
        assert machine.run(limit=1).cause == Cause.LIMIT
        assert machine["a0"] == 0
        assert machine.cpu.save_floating() is None
        file[32] = INEXACT
        machine.cpu.load(array("Q", bytes(8 * 32)), file)
        machine.run()
        assert (machine["a0"], machine["a1"]) == (INEXACT, INEXACT | INVALID)


@pytest.mark.usefixtures("eager")
def test_reservation_is_lost_on_the_way_to_another_space_and_back(unicorn_machine: MachineFactory) -> None:
    program = rv64.code(rv64.load_reserved("a0", "t0"), rv64.store_conditional("a1", "a0", "t0"), rv64.ECALL)
    machine = unicorn_machine(program)
    machine["t0"] = DATA
    assert machine.run(limit=1).cause == Cause.LIMIT
    machine.cpu.set_pages(dict(machine.pages))
    machine.cpu.set_pages(machine.pages)
    assert machine.run(CODE + 4).cause == Cause.ECALL
    assert machine["a1"] == 1


@pytest.mark.usefixtures("eager")
def test_all_register_files_are_gone_with_the_processor(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.ECALL))
    views = [machine.cpu.registers]
    machine.cpu.set_pages(dict(machine.pages))
    views.append(machine.cpu.registers)
    machine.cpu.close()
    for view in views:
        with pytest.raises(ValueError, match="released"):
            view[1] = 0


@pytest.mark.usefixtures("eager")
def test_frames_change_hands_between_code_and_data_of_all(unicorn_machine: MachineFactory) -> None:
    """A store through a warm entry of one engine, into a frame that another has begun to execute since."""
    machine = unicorn_machine(rv64.code(rv64.store("a1", "t0", size=4), rv64.ECALL))
    writer = machine.pages
    runner = space((CODE, DATA_FRAME | RX))
    machine["t0"], machine["a1"] = DATA + 64, 0
    assert machine.run().cause == Cause.ECALL
    machine.write(DATA_FRAME, rv64.code(rv64.li("a0", 5), rv64.ECALL))
    machine.cpu.set_pages(runner)
    assert machine.run().cause == Cause.ECALL
    assert machine["a0"] == 5
    machine.cpu.set_pages(writer)
    machine["t0"], machine["a1"] = DATA, rv64.li("a0", 6)
    assert machine.run().cause == Cause.ECALL
    machine.cpu.set_pages(runner)
    assert machine.run().cause == Cause.ECALL
    assert machine["a0"] == 6
