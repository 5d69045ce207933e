"""A thread that looks again in its call executes its `ecall` anew: it notices if that is there no more."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, Status
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, ENTRY_POINT
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_state import Mistake
from tests.cpu import rv64
from tests.kernel.machine import RAM_SIZE, Machine

CODE = 0x4000_0000  # two pages
CALLS = [CODE + 8, CODE + PAGE_SIZE - 4, CODE + PAGE_SIZE - 2]  # the last lies in both


@pytest.fixture
def machine(model: str, preemption: str) -> Iterator[Machine]:
    """One that executes real code."""
    cpu = UnicornCpu(RAM_SIZE)
    yield Machine(model, preemption, cpu=cpu)
    cpu.close()


class Waiter:
    """A thread that waits for a mutex in a call at `pc`, behind which is a breakpoint."""

    def __init__(self, machine: Machine, pc: int) -> None:
        self.machine, self.pc = machine, pc
        self.mutex = machine.new(Mutex)
        self.mutex.locked = True
        self.content = machine.buffer(2 * PAGE_SIZE // 8) & -PAGE_SIZE
        self.mappings = [self.map(page) for page in range(2)]
        self.put(rv64.ECALL, rv64.EBREAK)
        self.thread = thread = machine.spawn(start=False)
        thread.pc = pc
        thread.registers[ENTRY_POINT] = BY_NAME["mutex_lock"].number
        thread.registers[A0] = machine.addresses[self.mutex]
        machine.core.start(thread)
        machine.run()
        assert thread.waiting_for is self.mutex

    def map(self, page: int) -> Mapping:
        machine, offset = self.machine, page * PAGE_SIZE
        return machine.map(machine.space, machine.region, CODE + offset, PAGE_SIZE, offset=self.content + offset)

    def put(self, *instructions: int) -> None:
        """Write code where the call is."""
        machine, offset = self.machine, self.pc - CODE
        words = machine.read(self.content, 2 * PAGE_SIZE // 8)
        content = bytearray(b"".join(word.to_bytes(8, "little") for word in words))
        code = rv64.code(*instructions)
        content[offset : offset + len(code)] = code
        for page in range(2):
            frame = machine.core.root.frame_at(machine.core, machine.slab + self.content + page * PAGE_SIZE)
            assert frame is not None
            machine.cpu.ram[frame : frame + PAGE_SIZE] = content[page * PAGE_SIZE : (page + 1) * PAGE_SIZE]
            machine.cpu.invalidate(frame, PAGE_SIZE)

    def look_again(self, *, created_again: bool) -> Thread:
        """Let it find the mutex free; stopping and starting it is what becomes of a thread that is created again."""
        self.mutex.locked = False
        core = self.machine.core
        core.wake(self.thread)
        if created_again:
            core.stop(self.thread)
            core.start(self.thread)
        self.machine.run()
        return self.thread


@pytest.fixture(params=[False, True], ids=["woken", "created again"])
def created_again(request: pytest.FixtureRequest) -> bool:
    """Whether the thread was created again after it was woken."""
    again: bool = request.param
    return again


@pytest.mark.parametrize("pc", CALLS)
def test_call_that_is_still_there_goes_on(machine: Machine, pc: int, created_again: bool) -> None:
    waiter = Waiter(machine, pc)
    thread = waiter.look_again(created_again=created_again)
    assert thread.exception == Mistake(ExceptionCode.BREAKPOINT, pc + 4)
    assert thread.registers[A0] == Status.SUCCESS
    assert waiter.mutex.owner is thread


@pytest.mark.parametrize("pc", CALLS)
def test_call_in_pages_that_have_to_be_looked_up_goes_on(machine: Machine, pc: int, created_again: bool) -> None:
    waiter = Waiter(machine, pc)
    machine.core.tables.empty()
    thread = waiter.look_again(created_again=created_again)
    assert thread.exception == Mistake(ExceptionCode.BREAKPOINT, pc + 4)
    assert waiter.mutex.owner is thread


@pytest.mark.parametrize(
    ("pc", "page", "address"), [(CALLS[0], 0, CALLS[0]), (CALLS[1], 0, CALLS[1]), (CALLS[2], 1, CODE + PAGE_SIZE)]
)
def test_call_that_is_mapped_no_more_cannot_be_fetched(
    machine: Machine, pc: int, page: int, address: int, created_again: bool
) -> None:
    waiter = Waiter(machine, pc)
    machine.core.destroy(waiter.mappings[page])
    thread = waiter.look_again(created_again=created_again)
    assert thread.exception == Mistake(ExceptionCode.FETCH_FAULT, address)
    assert thread.pc == pc
    assert not waiter.mutex.locked


@pytest.mark.parametrize("pc", CALLS)
def test_instruction_that_has_taken_the_place_of_a_call_is_executed(
    machine: Machine, pc: int, created_again: bool
) -> None:
    waiter = Waiter(machine, pc)
    waiter.put(rv64.li("a0", 77), rv64.EBREAK)
    thread = waiter.look_again(created_again=created_again)
    assert thread.exception == Mistake(ExceptionCode.BREAKPOINT, pc + 4)
    assert thread.registers[A0] == 77
    assert not waiter.mutex.locked
