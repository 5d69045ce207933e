"""Pages that the host finds while guest code runs: nothing of it can be seen but the time that it takes."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.cpu.protocol import PAGE_SIZE, READ, WRITE, Cause
from tests.cpu import rv64
from tests.cpu.conftest import MachineFactory
from tests.cpu.machine import CODE, DATA, FREE_FRAME, RW, Machine, Stop, forever

MISSING = DATA + PAGE_SIZE


class Finder:
    """Maps the page after the data at the first question; notes what it is asked."""

    def __init__(self, machine: Machine, permissions: int = RW) -> None:
        self.machine = machine
        self.permissions = permissions
        self.asked: list[tuple[int, int, int]] = []
        machine.cpu.find_page = self

    def __call__(self, address: int, access: int, retired: int) -> int | None:
        self.asked.append((address // PAGE_SIZE * PAGE_SIZE, access, retired))
        if not self.permissions & access:
            return None
        self.machine.map(MISSING, FREE_FRAME, self.permissions)
        return self.machine.pages[MISSING // PAGE_SIZE]


def between_a_pair(machine_of: MachineFactory) -> Machine:
    """A load of the missing page between LR and SC."""
    machine = machine_of(
        rv64.code(
            rv64.load_reserved("a0", "t0"),
            rv64.load("a2", "t1"),
            rv64.store_conditional("a1", "t0", "t0"),
            rv64.ECALL,
        )
    )
    machine["t0"], machine["t1"] = DATA, MISSING
    return machine


@pytest.mark.parametrize("step", [rv64.load("a0", "t0", 8), rv64.store("a0", "t0", 8)], ids=["load", "store"])
def test_an_access_to_a_page_that_is_found_goes_on(unicorn_machine: MachineFactory, step: int) -> None:
    machine = unicorn_machine(rv64.code(rv64.li("a1", 1), step, rv64.li("a1", 2), rv64.ECALL))
    machine["t0"] = MISSING
    finder = Finder(machine)
    assert machine.run() == Stop(Cause.ECALL, CODE + 12, 0, 3)
    assert finder.asked == [(MISSING, WRITE if step == rv64.store("a0", "t0", 8) else READ, 1)]


def test_an_access_that_is_not_found_traps_as_without_a_finder(unicorn_machine: MachineFactory) -> None:
    stops = []
    for asks in (True, False):
        machine = unicorn_machine(rv64.code(rv64.li("a1", 1), rv64.store("a1", "t0", 16), rv64.ECALL))
        machine["t0"] = MISSING
        if asks:
            Finder(machine, READ)
        stops.append(machine.run())
    assert stops[0] == stops[1] == Stop(Cause.STORE_FAULT, CODE + 4, MISSING + 16, 1)


def test_the_count_is_exact_however_a_run_is_chunked(unicorn_machine: MachineFactory) -> None:
    for limit in (1, 2, 3, 100):
        machine = unicorn_machine(rv64.code(*[rv64.li("a1", 1)] * 5, rv64.load("a0", "t0"), rv64.ECALL))
        machine["t0"] = MISSING
        finder = Finder(machine)
        assert machine.run_in_chunks(forever(limit)).retired == 6
        ((_, _, retired),) = finder.asked
        assert retired == 5 % limit if limit < 100 else retired == 5


@pytest.mark.parametrize("finds", [True, False])
def test_a_reservation_outlives_a_page_that_is_found(unicorn_machine: MachineFactory, finds: bool) -> None:
    """By the finder or after a trap: which of them it is depends on the host's time."""
    machine = between_a_pair(unicorn_machine)
    if finds:
        Finder(machine)
        stop = machine.run()
    else:
        stop = machine.run()
        assert stop.cause == Cause.LOAD_FAULT
        machine.map(MISSING, FREE_FRAME, RW)
        stop = machine.run(stop.pc)
    assert (stop.cause, machine["a1"]) == (Cause.ECALL, 0)


@pytest.mark.parametrize(
    "switch",
    [
        lambda machine: machine.cpu.set_pages(machine.pages),
        lambda machine: machine.cpu.load(machine.cpu.registers, None),
    ],
    ids=["set_pages", "load"],
)
def test_a_reservation_does_not_outlive_a_fault_that_the_thread_is_told_of(
    unicorn_machine: MachineFactory, switch: Callable[[Machine], None]
) -> None:
    machine = between_a_pair(unicorn_machine)
    stop = machine.run()
    switch(machine)
    machine.map(MISSING, FREE_FRAME, RW)
    assert machine.run(stop.pc).cause == Cause.ECALL
    assert machine["a1"] == 1


def test_an_exception_of_the_finder_comes_out_of_the_run(unicorn_machine: MachineFactory) -> None:
    machine = between_a_pair(unicorn_machine)

    def fail(*_: int) -> int | None:
        raise ValueError("the finder's own")

    machine.cpu.find_page = fail
    with pytest.raises(ValueError, match="the finder's own"):
        machine.run()
