"""User memory as the kernel touches it: an address is a claim of the thread whose memory it is."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, Prot
from fluke_async.kernel import user_memory
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at, physical
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from fluke_async.kernel.translation import READ, WRITE, resolve
from tests.kernel.machine import MEMORY, UNMAPPED, Machine

ODD = UNMAPPED + 0x10_0000


@pytest.fixture
def machine() -> Machine:
    return Machine()


def thread_of(machine: Machine) -> Thread:
    """A thread in a space of its own, with three pages at ODD, in another order than their frames."""
    space = machine.new_space()
    memory = machine.buffer(3 * PAGE_SIZE // 8)
    for page, source in enumerate((2, 0, 1)):
        offset = memory + source * PAGE_SIZE
        machine.map(space, machine.region, ODD + page * PAGE_SIZE, PAGE_SIZE, offset=offset)
    machine.map(space, machine.region, ODD + 3 * PAGE_SIZE, PAGE_SIZE, prot=Prot.READ, offset=memory)
    return machine.spawn(space=space, start=False)


@pytest.mark.parametrize("start", [0, 1, 4090, PAGE_SIZE, 2 * PAGE_SIZE - 1])
@pytest.mark.parametrize("size", [0, 1, 8, 4096, 4097])
def test_what_is_written_is_read_across_pages(machine: Machine, start: int, size: int) -> None:
    thread = thread_of(machine)
    data = bytes(n * 7 % 256 for n in range(size))
    end = ODD + 3 * PAGE_SIZE
    address = min(ODD + start, end - size)
    user_memory.write(machine.core, thread, address, data)
    assert user_memory.read(machine.core, thread, address, size) == data


def test_nothing_is_written_where_part_cannot_be(machine: Machine) -> None:
    thread = thread_of(machine)
    address = ODD + 3 * PAGE_SIZE - 8
    with pytest.raises(ProgramException) as caught:
        user_memory.write(machine.core, thread, address, b"\xff" * 16)
    assert caught.value.thread is thread
    assert caught.value.code is ExceptionCode.STORE_FAULT
    assert caught.value.subcode == ODD + 3 * PAGE_SIZE
    assert user_memory.read(machine.core, thread, address, 16) == bytes(16)


@pytest.mark.parametrize("address", [0, UNMAPPED, 2**64 - 8, 2**64 - 1])
def test_bad_addresses_are_the_threads_mistake(machine: Machine, address: int) -> None:
    thread = thread_of(machine)
    with pytest.raises(ProgramException) as caught:
        user_memory.read(machine.core, thread, address, 16)
    assert caught.value.thread is thread
    assert caught.value.code is ExceptionCode.LOAD_FAULT


def test_thread_without_a_space_has_no_memory(machine: Machine) -> None:
    thread = machine.new(Thread)
    with pytest.raises(ProgramException) as caught:
        user_memory.touch(machine.core, thread, MEMORY, READ, 1)
    assert caught.value.thread is thread


def test_copy_blames_the_side_whose_memory_is_bad(machine: Machine) -> None:
    source, target = thread_of(machine), thread_of(machine)
    good, bad = ODD, ODD + 3 * PAGE_SIZE - 8
    for from_address, to_address, guilty, code in (
        (ODD + 4 * PAGE_SIZE - 8, good, source, ExceptionCode.LOAD_FAULT),
        (good, bad, target, ExceptionCode.STORE_FAULT),
    ):
        with pytest.raises(ProgramException) as caught:
            user_memory.copy_words(machine.core, source, from_address, target, to_address, 2)
        assert caught.value.thread is guilty
        assert caught.value.code is code
    assert user_memory.read(machine.core, target, bad, 8) == bytes(8)


@pytest.mark.parametrize(("start", "to", "words"), [(8, 4000, 600), (4088, 4080, 3), (0, 8, 1000), (16, 0, 0)])
def test_copy_of_words_between_pages_that_lie_differently(machine: Machine, start: int, to: int, words: int) -> None:
    source, target = thread_of(machine), thread_of(machine)
    data = b"".join(n.to_bytes(8, "little") for n in range(1, words + 1))
    user_memory.write(machine.core, source, ODD + start, data)
    user_memory.copy_words(machine.core, source, ODD + start, target, ODD + to, words)
    assert user_memory.read(machine.core, target, ODD + to, len(data)) == data


@pytest.mark.parametrize("distance", [512, 513, 600, 1023, -512, -513])
def test_copy_that_overlaps_goes_page_for_page(machine: Machine, distance: int) -> None:
    """However the frames lie: what is written first is not read as it was."""
    thread = thread_of(machine)
    before = list(range(3 * PAGE_SIZE // 8))
    user_memory.write(machine.core, thread, ODD, b"".join(n.to_bytes(8, "little") for n in before))
    source, target, words = max(0, -distance), max(0, distance), len(before) - abs(distance)
    user_memory.copy_words(machine.core, thread, ODD + 8 * source, thread, ODD + 8 * target, words)
    for first in range(0, words, 512):
        some = min(words - first, 512)
        before[target + first : target + first + some] = before[source + first : source + first + some]
    after = memoryview(user_memory.read(machine.core, thread, ODD, 3 * PAGE_SIZE)).cast("Q").tolist()
    assert after == before


def test_copy_into_what_was_shared_until_now_overlaps_all_the_same(machine: Machine) -> None:
    """The first write gives the page a frame of its own: what the copy reads next is read there."""
    thread = thread_of(machine)
    before = list(range(3 * PAGE_SIZE // 8))
    user_memory.write(machine.core, thread, ODD, b"".join(n.to_bytes(8, "little") for n in before))
    copied = machine.core.root.new_slab()
    entry = resolve(machine.core, thread, ODD, READ)
    start = next(address for address, frame in machine.core.root.frames() if frame == entry & -PAGE_SIZE)
    assert machine.core.root.share(machine.core, start & -4 * PAGE_SIZE, 4 * PAGE_SIZE, copied)
    user_memory.copy_words(machine.core, thread, ODD, thread, ODD + PAGE_SIZE, 1024)
    after = memoryview(user_memory.read(machine.core, thread, ODD, 3 * PAGE_SIZE)).cast("Q").tolist()
    assert after == before[:512] * 3


def test_page_is_entered_once(machine: Machine) -> None:
    thread = thread_of(machine)
    for _ in range(3):
        user_memory.write(machine.core, thread, ODD, b"1")
        user_memory.read(machine.core, thread, ODD + 5, 8)
    assert len(machine.happened(Event.FAULT, thread)) == 1


def test_code_that_is_overwritten_is_invalidated(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    thread = thread_of(machine)
    place = physical(machine.core, thread, ODD, READ)
    frame = place & -PAGE_SIZE
    forgotten: list[tuple[int, int]] = []
    monkeypatch.setattr(machine.cpu, "invalidate", lambda *range_: forgotten.append(range_))
    user_memory.write(machine.core, thread, ODD + 16, b"12345678")
    assert not forgotten
    machine.cpu.code_frames.add(frame)
    user_memory.write(machine.core, thread, ODD + 16, b"12345678")
    assert forgotten == [(frame + 16, 8)]


def test_code_in_the_second_of_two_adjoining_frames_is_invalidated_too(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    thread = thread_of(machine)
    user_memory.write(machine.core, thread, ODD, bytes(3 * PAGE_SIZE))
    frames = [physical(machine.core, thread, ODD + page * PAGE_SIZE, READ) for page in range(3)]
    assert frames[1] + PAGE_SIZE == frames[2]
    forgotten: list[tuple[int, int]] = []
    monkeypatch.setattr(machine.cpu, "invalidate", lambda *range_: forgotten.append(range_))
    machine.cpu.code_frames.add(frames[2])
    user_memory.write(machine.core, thread, ODD + PAGE_SIZE + 8, bytes(PAGE_SIZE))
    assert forgotten == [(frames[1] + 8, PAGE_SIZE)]


def test_resolve_enters_all_that_is_granted(machine: Machine) -> None:
    thread = thread_of(machine)
    entry = resolve(machine.core, thread, ODD + 3 * PAGE_SIZE + 123, READ)
    assert entry % PAGE_SIZE == READ
    with pytest.raises(ProgramException) as caught:
        resolve(machine.core, thread, ODD + 3 * PAGE_SIZE + 123, WRITE)
    assert caught.value.subcode == ODD + 3 * PAGE_SIZE + 123


def test_names_of_objects(machine: Machine) -> None:
    """The same slot by another address, a slot that is out of line, one without an object, one of another type."""
    thread, mutex = machine.spawn(start=False), machine.new(Mutex)
    space = thread.space
    assert space is not None
    machine.map(space, machine.region, ODD, PAGE_SIZE, offset=MEMORY)
    address = machine.addresses[mutex]
    assert object_at(machine.core, thread, address, Mutex) is mutex
    assert object_at(machine.core, thread, ODD + address - MEMORY, Mutex) is mutex
    for bad, code in (
        (address + 8, ExceptionCode.NOT_ALIGNED),
        (machine.slot(), ExceptionCode.NO_OBJECT),
        (machine.addresses[machine.new(Reference)], ExceptionCode.NOT_MUTEX),
        (UNMAPPED, ExceptionCode.LOAD_FAULT),
    ):
        with pytest.raises(ProgramException) as caught:
            object_at(machine.core, thread, bad, Mutex)
        assert (caught.value.code, caught.value.subcode, caught.value.thread) == (code, bad, thread)
