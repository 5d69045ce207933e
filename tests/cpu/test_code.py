"""Code that changes: by its own stores, through an alias, by the host, with the address space."""

from __future__ import annotations

import pytest

from fluke_async.cpu.protocol import PAGE_SIZE, READ, Cause
from tests.cpu import rv64
from tests.cpu.conftest import MachineFactory
from tests.cpu.machine import CODE, CODE_FRAME, DATA, DATA_FRAME, FREE_FRAME, RW, RWX, RX, Stop

ALIAS = 0x40000


def returning(value: int) -> bytes:
    return rv64.code(rv64.li("a0", value), rv64.ECALL)


def word(data: bytes) -> int:
    return int.from_bytes(data[:4], "little")


def test_code_written_to_data_and_called(unicorn_machine: MachineFactory) -> None:
    program = rv64.code(rv64.store("a1", "t0"), rv64.FENCE_I, rv64.jalr("t0"))
    machine = unicorn_machine(program)
    machine.map(DATA, DATA_FRAME, RWX)
    machine["t0"] = DATA
    for value in (1, 2, 3):
        machine["a1"] = int.from_bytes(returning(value), "little")
        assert machine.run() == Stop(Cause.ECALL, DATA + 4, 0, 4)
        assert machine["a0"] == value


@pytest.mark.parametrize("same_page", [True, False])
def test_store_through_another_virtual_page(unicorn_machine: MachineFactory, same_page: bool) -> None:
    """The alias is warm: its entry was in the TLB before the code was first fetched."""
    target = CODE + 64 if same_page else CODE + PAGE_SIZE
    frame = CODE_FRAME if same_page else FREE_FRAME
    program = rv64.code(
        rv64.store("a1", "t0", size=4),
        rv64.jalr("t1", rd="ra"),
        rv64.store("a2", "t0", size=4),
        rv64.jalr("t1", rd="ra"),
        rv64.ECALL,
    )
    machine = unicorn_machine(program)
    subroutine = rv64.code(rv64.li("a0", 99), rv64.add("s0", "s0", "a0"), rv64.jalr("ra"))
    machine.map(CODE + PAGE_SIZE, FREE_FRAME, RX)
    machine.map(ALIAS, frame, RW)
    machine.write(frame + target % PAGE_SIZE, subroutine)
    machine["t0"], machine["t1"] = ALIAS + target % PAGE_SIZE, target
    machine["a1"], machine["a2"] = rv64.li("a0", 1), rv64.li("a0", 10)
    assert machine.run() == Stop(Cause.ECALL, CODE + 16, 0, 10)
    assert machine["s0"] == 11


def test_one_frame_is_never_both_code_and_writable_in_secret(
    unicorn_machine: MachineFactory,
) -> None:
    """Alternate between a store and a call so often that any stale translation would be used."""
    program = rv64.code(
        rv64.addi("a1", "a1", 1 << 4),
        rv64.store("a1", "t0", 2, size=2),
        rv64.jalr("t1", rd="ra"),
        rv64.addi("t2", "t2", -1),
        rv64.bne("t2", "zero", -16),
        rv64.ECALL,
    )
    machine = unicorn_machine(program)
    machine.map(CODE + PAGE_SIZE, FREE_FRAME, RX)
    machine.map(ALIAS, FREE_FRAME, RW)
    machine.write(FREE_FRAME, rv64.code(rv64.li("a0", 0), rv64.add("s0", "s0", "a0"), rv64.jalr("ra")))
    machine["t0"], machine["t1"], machine["t2"] = ALIAS, CODE + PAGE_SIZE, 100
    stop = machine.run()
    assert (stop.cause, stop.retired) == (Cause.ECALL, 800)
    assert machine["s0"] == sum(range(1, 101))


def test_store_across_pages_into_code(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.store("a1", "t0"), rv64.jalr("t1")))
    machine.map(ALIAS, DATA_FRAME, RW)
    machine.map(ALIAS + PAGE_SIZE, FREE_FRAME, RWX)
    machine.write(FREE_FRAME, returning(1))
    assert machine.run(ALIAS + PAGE_SIZE).cause == Cause.ECALL
    machine["t0"], machine["t1"] = ALIAS + PAGE_SIZE - 4, ALIAS + PAGE_SIZE
    machine["a1"] = word(returning(2)) << 32 | 0x12345678
    assert machine.run() == Stop(Cause.ECALL, ALIAS + PAGE_SIZE + 4, 0, 3)
    assert machine["a0"] == 2
    assert machine.read_word(DATA_FRAME + PAGE_SIZE - 8) == 0x12345678 << 32


def test_store_to_code_that_faults_on_its_other_page(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.store("a1", "t0"), rv64.ECALL), code_permissions=RWX)
    machine["t0"], machine["a1"] = CODE + PAGE_SIZE - 4, 2**64 - 1
    assert machine.run() == Stop(Cause.STORE_FAULT, CODE, CODE + PAGE_SIZE, 0)
    assert machine.read_word(CODE_FRAME + PAGE_SIZE - 8) == 0
    machine.map(CODE + PAGE_SIZE, FREE_FRAME, RW)
    assert machine.run() == Stop(Cause.ECALL, CODE + 4, 0, 1)
    assert machine.read_word(CODE_FRAME + PAGE_SIZE - 8) == 0xFFFF_FFFF << 32


def test_atomics_on_a_page_of_code(unicorn_machine: MachineFactory) -> None:
    program = rv64.code(
        rv64.amoadd("a0", "a1", "t0"),
        rv64.load_reserved("a2", "t0"),
        rv64.store_conditional("a3", "a1", "t0"),
        rv64.ECALL,
    )
    machine = unicorn_machine(program, code_permissions=RWX)
    machine["t0"], machine["a1"], machine["a3"] = CODE + 2048, 5, 7
    assert machine.run() == Stop(Cause.ECALL, CODE + 12, 0, 3)
    assert (machine["a0"], machine["a2"], machine["a3"]) == (0, 5, 0)
    assert machine.read_word(CODE_FRAME + 2048) == 5


def test_counter_read_made_by_the_program_itself(unicorn_machine: MachineFactory) -> None:
    program = rv64.code(rv64.store("a1", "t0", 4, size=4), rv64.NOP, rv64.ECALL)
    machine = unicorn_machine(program, code_permissions=RWX)
    machine["t0"], machine["a1"] = CODE, rv64.csrrs("a0", rv64.CYCLE)
    machine.cpu.time = 500
    assert machine.run() == Stop(Cause.ECALL, CODE + 8, 0, 2)
    assert machine["a0"] == 501


def test_host_writes_code_and_invalidates(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(returning(1))
    machine.map(ALIAS, CODE_FRAME, RX)
    for address in (CODE, ALIAS):
        assert machine.run(address).cause == Cause.ECALL
    assert machine.cpu.code_frames == {CODE_FRAME}
    machine.write(CODE_FRAME, returning(2))
    machine.cpu.invalidate(CODE_FRAME, PAGE_SIZE)
    assert machine.cpu.code_frames == set()
    for address in (CODE, ALIAS):
        machine["a0"] = 0
        assert machine.run(address).cause == Cause.ECALL
        assert machine["a0"] == 2


def test_frame_changes_hands_while_unmapped(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(returning(1))
    assert machine.run().cause == Cause.ECALL
    machine.cpu.set_pages({})
    machine.write(CODE_FRAME, returning(2))
    machine.cpu.invalidate(0, len(machine.cpu.ram))
    machine.cpu.set_pages({CODE // PAGE_SIZE: CODE_FRAME | RX})
    assert machine.run().cause == Cause.ECALL
    assert machine["a0"] == 2


def test_writing_data_frames_needs_no_invalidation(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.load("a0", "t0"), rv64.ECALL))
    machine["t0"] = DATA
    for value in (1, 2):
        machine.write(DATA_FRAME, value.to_bytes(8, "little"))
        assert machine.run().cause == Cause.ECALL
        assert machine["a0"] == value
    assert DATA_FRAME not in machine.cpu.code_frames


def test_same_address_in_two_spaces(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(returning(1))
    machine.write(FREE_FRAME, returning(2))
    other = {CODE // PAGE_SIZE: FREE_FRAME | RX}
    for _ in range(50):
        for pages, value in ((machine.pages, 1), (other, 2)):
            machine.cpu.set_pages(pages)
            assert machine.run().cause == Cause.ECALL
            assert machine["a0"] == value


def test_code_stored_in_one_space_runs_in_another(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.store("a1", "t0"), rv64.ECALL))
    machine.map(ALIAS, FREE_FRAME, RW)
    machine["t0"] = ALIAS
    runner = {CODE // PAGE_SIZE: FREE_FRAME | RX}
    for value in (1, 2, 3):
        machine.cpu.set_pages(machine.pages)
        machine["a1"] = int.from_bytes(returning(value), "little")
        assert machine.run().cause == Cause.ECALL
        machine.cpu.set_pages(runner)
        assert machine.run().cause == Cause.ECALL
        assert machine["a0"] == value


def test_upgrade_and_change_of_frame_take_effect_at_the_fault(
    unicorn_machine: MachineFactory,
) -> None:
    """What copy-on-write does: a readable page is replaced by a writable copy, without a flush."""
    machine = unicorn_machine(
        rv64.code(rv64.load("a0", "t0"), rv64.store("a1", "t0"), rv64.load("a2", "t0", 8), rv64.ECALL)
    )
    machine.map(DATA, DATA_FRAME, READ)
    machine.write(FREE_FRAME + 8, b"\x07")
    machine["t0"], machine["a1"] = DATA, 3
    assert machine.run() == Stop(Cause.STORE_FAULT, CODE + 4, DATA, 1)
    machine.map(DATA, FREE_FRAME, RW)
    assert machine.run(CODE + 4) == Stop(Cause.ECALL, CODE + 12, 0, 2)
    assert machine["a2"] == 7
    assert machine.read_word(DATA_FRAME) == 0
    assert machine.read_word(FREE_FRAME) == 3


@pytest.mark.parametrize("after", [0, READ])
def test_downgrade_takes_effect_after_flush(unicorn_machine: MachineFactory, after: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.store("a1", "t0"), rv64.ECALL))
    machine["t0"] = DATA
    assert machine.run().cause == Cause.ECALL
    machine.map(DATA, DATA_FRAME, after)
    machine.cpu.flush(machine.pages)
    assert machine.run() == Stop(Cause.STORE_FAULT, CODE, DATA, 0)


def test_unmapped_code_faults_after_flush(unicorn_machine: MachineFactory) -> None:
    machine = unicorn_machine(rv64.code(rv64.jal(0)))
    assert machine.run(limit=100).cause == Cause.LIMIT
    del machine.pages[CODE // PAGE_SIZE]
    machine.cpu.flush(machine.pages)
    assert machine.run(limit=100) == Stop(Cause.FETCH_FAULT, CODE, CODE, 0)
