"""Every call is given each address that cannot be, one after the other: its thread is told, and that is all."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode
from fluke_async.kernel.objects.cond import Cond
from tests.kernel.machine import UNMAPPED, Machine
from tests.kernel.operands import PLACES, POINTERS, ReadyCall, operands_of, state_of_all

END = 1 << 64
FAULTS = (ExceptionCode.LOAD_FAULT, ExceptionCode.STORE_FAULT)


def test_every_call_works_as_it_is_made_ready() -> None:
    """So what the others show is the fault of the one thing that they change."""
    for name in sorted({name for name, _ in operands_of(*POINTERS, *PLACES)}):
        machine = Machine()
        thread = ReadyCall(machine, name).spawn()
        machine.core.start(thread)
        machine.run()
        assert machine.done(thread) or isinstance(thread.waiting_for, Cond), (name, thread.exception)


@pytest.mark.parametrize("address", [END - 8, UNMAPPED])
@pytest.mark.parametrize(("name", "operand"), operands_of(*POINTERS))
def test_memory_that_cannot_be_there_is_the_callers_mistake(
    machine: Machine, name: str, operand: str, address: int
) -> None:
    """Where a range runs over the end of all addresses too."""
    call = ReadyCall(machine, name)
    thread = call.spawn(**{operand: address})
    before = state_of_all(machine)
    machine.core.start(thread)
    machine.run()
    result = machine.result(thread)
    assert result.exception in FAULTS
    assert address <= result.subcode < address + PAGE_SIZE
    assert state_of_all(machine) == before


@pytest.mark.parametrize("address", [END - 16, UNMAPPED])
@pytest.mark.parametrize(("name", "operand"), operands_of(*PLACES))
def test_object_that_cannot_be_there_is_the_callers_mistake(
    machine: Machine, name: str, operand: str, address: int
) -> None:
    call = ReadyCall(machine, name)
    thread = call.spawn(**{operand: address})
    before = state_of_all(machine)
    machine.core.start(thread)
    machine.run()
    result = machine.result(thread)
    assert result.exception in FAULTS
    assert result.subcode == address
    assert state_of_all(machine) == before
