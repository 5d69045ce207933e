"""Memory that is used up: a status or an exception of who asked, nothing half done, nothing lost."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, ExceptionCode, ObjectType, Status
from fluke_async.kernel.handlers import OBJECTS
from fluke_async.kernel.memory import Frames, Quota
from fluke_async.kernel.objects.mutex import Mutex
from tests.kernel.invariants import check
from tests.kernel.machine import MEMORY, MEMORY_SIZE, Machine


def exhausted(machine: Machine, left_bytes: int = 0) -> None:
    """Let `left_bytes` be all that there is left."""
    machine.core.quota.limit_bytes = machine.core.quota.used_bytes + left_bytes


def run_without_new_memory(machine: Machine, *parts: Any) -> Any:
    """A thread that was made before the memory was used up."""
    thread = machine.spawn(*parts, start=False)
    machine._physical(machine.addresses[thread])
    exhausted(machine)
    machine.core.start(thread)
    machine.run()
    return thread


@pytest.mark.parametrize("name", list(OBJECTS))
def test_create_without_memory_makes_nothing(machine: Machine, name: str) -> None:
    slot = machine.slot()
    machine._physical(slot)
    thread = run_without_new_memory(
        machine,
        ("li", "a1", 5),
        machine.call(f"{name}_create", **{name: slot}),
    )
    assert machine.register(thread, "a0") == Status.NO_MEMORY
    assert machine._physical(slot) not in machine.core.objects
    machine.core.quota.limit_bytes += OBJECT_CHARGE_BYTES[ObjectType.THREAD] + OBJECT_CHARGE_BYTES[OBJECTS[name].type]
    assert machine.invoke(f"{name}_create", **{name: slot}).status == Status.SUCCESS


FAR = MEMORY + MEMORY_SIZE - PAGE_SIZE  # a page that nobody has touched


@pytest.mark.parametrize(
    "call",
    [
        ("mutex_create", {"mutex": FAR}),
        ("mutex_lock", {"mutex": FAR}),
        ("thread_get_state", {"thread": "object", "state": FAR}),
        ("thread_set_state", {"thread": "object", "state": FAR}),
        ("ipc_call", {"destination_ref": "object", "send_buffer": FAR, "send_words": 1}),
        ("ipc_call", {"destination_ref": "object", "receive_buffer": FAR, "receive_words": 1}),
        ("ipc_wait_receive", {"receive_buffer": FAR, "receive_words": 1}),
    ],
    ids=lambda call: call[0],
)
def test_touching_memory_that_there_is_not_is_an_exception(machine: Machine, call: Any) -> None:
    name, operands = call
    if "thread" in operands:
        operands = {**operands, "thread": machine.spawn(start=False)}
    if "destination_ref" in operands:
        operands = {**operands, "destination_ref": machine.reference()}
    machine._physical(MEMORY)
    used = machine.core.quota.used_bytes
    thread = run_without_new_memory(machine, machine.call(name, **operands))
    assert machine.failure(thread) is ExceptionCode.OUT_OF_MEMORY
    assert machine.core.quota.used_bytes == used + OBJECT_CHARGE_BYTES[ObjectType.THREAD]


def test_instruction_that_touches_memory_that_there_is_not(machine: Machine) -> None:
    for step in (("load", "s2", "zero", FAR), ("store", "s2", "zero", FAR)):
        machine.core.quota.limit_bytes = 1 << 24
        thread = run_without_new_memory(machine, step)
        assert machine.failure(thread) is ExceptionCode.OUT_OF_MEMORY


def test_thread_goes_on_when_there_is_memory_again(machine: Machine) -> None:
    thread = run_without_new_memory(machine, ("load", "s2", "zero", FAR), ("li", "s3", 1))
    machine.core.quota.limit_bytes += PAGE_SIZE
    machine.core.stop(thread)
    thread.exception = None
    machine.core.start(thread)
    machine.run()
    assert machine.done(thread)


def test_destroyed_objects_give_back_what_they_took(machine: Machine) -> None:
    """As often as one likes."""
    slot = machine.slot()
    machine._physical(slot)
    for name in OBJECTS:
        made = [machine.call(f"{name}_create", **{name: slot}), machine.call(f"{name}_destroy", **{name: slot})]
        used = machine.core.quota.used_bytes
        thread = machine.spawn(made * 20)
        machine.run()
        assert machine.done(thread)
        assert machine.core.quota.used_bytes - used == OBJECT_CHARGE_BYTES[ObjectType.THREAD]


def test_freed_slab_gives_back_its_frames_and_ends_what_lives_there(machine: Machine) -> None:
    core = machine.core
    machine.new(Mutex)
    machine.spawn(("burn", 10**6))
    machine.run_for(10)
    machine.hart.park_resident()
    core.root.free_slab(core, machine.slab)
    assert not core.objects
    assert core.frames.in_use == 0
    assert core.quota.used_bytes == 0
    assert core.ready.head() is None


class Ram:
    """The hardware as the frames see it."""

    def __init__(self, pages: int) -> None:
        self.ram = memoryview(bytearray(pages * PAGE_SIZE))
        self.code_frames: set[int] = set()
        self.invalidated: list[int] = []

    def invalidate(self, frame_address: int, size: int) -> None:
        self.invalidated.append(frame_address)

    def flush(self, pages: dict[int, int]) -> None:
        pass


def all_of(frames: Frames) -> Iterator[int]:
    while (frame := frames.allocate()) is not None:
        yield frame


def test_frames_are_distinct_and_zero_and_come_back() -> None:
    ram = Ram(4)
    frames = Frames(ram, Quota(1 << 30))
    first = list(all_of(frames))
    assert sorted(first) == [page * PAGE_SIZE for page in range(4)]
    ram.ram[:] = b"\xff" * len(ram.ram)
    ram.code_frames.add(first[1])
    for frame in first[1:3]:
        frames.release(frame)
    assert ram.invalidated == [first[1]]
    assert frames.in_use == 2
    again = list(all_of(frames))
    assert sorted(again) == sorted(first[1:3])
    assert all(bytes(ram.ram[frame : frame + PAGE_SIZE]) == bytes(PAGE_SIZE) for frame in again)


def test_frames_are_charged() -> None:
    quota = Quota(3 * PAGE_SIZE - 1)
    frames = Frames(Ram(8), quota)
    taken = list(all_of(frames))
    assert len(taken) == 2
    assert quota.used_bytes == 2 * PAGE_SIZE
    frames.release(taken[0])
    assert quota.used_bytes == PAGE_SIZE


def test_refused_charge_takes_nothing() -> None:
    quota = Quota(100)
    assert quota.charge(60)
    assert not quota.charge(41)
    assert quota.used_bytes == 60
    assert quota.charge(40)
    quota.release(100)
    assert quota.used_bytes == 0


def test_invariants_hold_when_memory_runs_out_in_the_middle(machine: Machine) -> None:
    """A program that creates until it cannot: what it has made is whole."""
    slots = [machine.slot() for _ in range(300)]
    exhausted(machine, 20_000)
    thread = machine.spawn([machine.call("mutex_create", mutex=slot) for slot in slots])
    machine.run()
    assert machine.done(thread)
    assert machine.register(thread, "a0") == Status.NO_MEMORY
    made = [slot for slot in slots if machine._physical(slot) in machine.core.objects]
    assert made == slots[: len(made)]
    assert 0 < len(made) < 300
    check(machine.core)
