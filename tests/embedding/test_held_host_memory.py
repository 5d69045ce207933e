"""What the host itself writes into memory that is held: as noticed as a program's writes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fluke_async.abi.codes import PAGE_SIZE, Prot
from fluke_async.embedding.host_memory import Buffer, HostMemory
from fluke_async.embedding.slab import Slab
from fluke_async.kernel.hold import Hold
from tests.kernel.machine import Machine

SIZE = 1 << 20


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    yield machine
    machine.cpu.close()


def taken(machine: Machine, hold: Hold) -> dict[int, bytes]:
    pages: dict[int, bytes] = {}
    while not hold.is_done:
        pages |= hold.take(machine.core, 3)
    return pages


def contents(machine: Machine, start: int) -> dict[int, bytes]:
    ram, frames = machine.core.hardware.ram, dict(machine.core.root.frames())
    return {
        address - start: bytes(ram[frame : frame + PAGE_SIZE])
        for address, frame in frames.items()
        if start <= address < start + SIZE
    }


def test_what_is_stored_from_outside_is_noticed(machine: Machine) -> None:
    slab = Slab(machine.core)
    slab.store(0x1FF0, b"first" * 2000)
    copy = contents(machine, slab.start)
    hold = machine.core.root.hold(machine.core, slab.start, SIZE)
    slab.store(0x2FF0, b"later" * 1000)
    later = machine.core.root.hold(machine.core, slab.start, SIZE)
    assert later.changed_since(hold) == {0x2000, 0x3000, 0x4000}
    assert taken(machine, hold) == copy != taken(machine, later)


def test_buffers_of_host_threads_can_be_held(machine: Machine) -> None:
    memory = HostMemory(machine.core)
    buffer = memory.buffer(3 * PAGE_SIZE)
    buffer.write(b"first" * 2000)
    start = memory._slab.start
    copy = contents(machine, start)
    hold = machine.core.root.hold(machine.core, start, SIZE)
    buffer.write(b"later" * 1000, 3000)
    slot = memory.take_slot()
    memory.clear_slot(slot)
    assert buffer.read(0, 5) == b"first"
    assert taken(machine, hold) == copy


def test_host_thread_that_writes_through_a_mapping_is_noticed(machine: Machine) -> None:
    """The memory is a program's; the host thread has a window to it."""
    slab, memory = Slab(machine.core), HostMemory(machine.core)
    slab.store(0x1000, b"first" * 2000)
    _, region = slab.new_space()
    window = memory.take_window(4 * PAGE_SIZE)
    assert memory.thread.space is not None
    bits = {"region_off": 0x1000, "start_va": window, "size": 3 * PAGE_SIZE, "prot": int(Prot.READ | Prot.WRITE)}
    machine.map(memory.thread.space, region, window, bits["size"], bits["prot"], bits["region_off"])
    buffer = Buffer(memory, window, 3 * PAGE_SIZE)
    buffer.write(b"then", 2 * PAGE_SIZE)
    copy = contents(machine, slab.start)
    hold = machine.core.root.hold(machine.core, slab.start, SIZE)
    buffer.write(b"later" * 100, PAGE_SIZE - 50)
    assert buffer.read(PAGE_SIZE - 50, 5) == b"later"
    assert hold.written == {(slab.start + 0x1000) // PAGE_SIZE, (slab.start + 0x2000) // PAGE_SIZE}
    assert taken(machine, hold) == copy
