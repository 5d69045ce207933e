"""
User memory as the kernel touches it. An address is a claim: only here does it become bytes.

Every function takes the thread whose memory it is, and blames that thread for what is wrong, whoever runs. A page that
can be had is entered on the way; an operation never checks for faults itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.translation import (
    FAULT_OF_ACCESS,
    FRAME_MASK,
    OFFSET_MASK,
    READ,
    WRITE,
    page_in,
)

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

ADDRESS_END = 1 << 64
OVERLAPPING_WORDS = PAGE_SIZE // WORD_SIZE


def runs(core: Core, thread: Thread, address: int, access: int, size: int) -> list[tuple[int, int]]:
    """Where `size` bytes from `address` on lie, as (physical address, bytes) of what adjoins; all grant `access`."""
    if address + size > ADDRESS_END:
        raise ProgramException(thread, FAULT_OF_ACCESS[access], address)
    space = thread.space
    offset = address & OFFSET_MASK
    if space is not None and offset + size <= PAGE_SIZE:  # the most of them
        entry = space.pages.get(address // PAGE_SIZE, 0)
        if entry & access:
            return [((entry & FRAME_MASK) | offset, size)]
    found = []
    start = end = -1
    while size > 0:
        entry = 0 if space is None else space.pages.get(address // PAGE_SIZE, 0)
        if not entry & access:
            entry = page_in(core, thread, address, access)
        offset = address & OFFSET_MASK
        here = (entry & FRAME_MASK) | offset
        if here != end:
            if start != end:
                found.append((start, end - start))
            start = end = here
        length = PAGE_SIZE - offset
        if length >= size:
            end += size
            break
        end += length
        address += length
        size -= length
    if start != end:
        found.append((start, end - start))
    return found


def touch(core: Core, thread: Thread, address: int, access: int, size: int) -> None:
    """Make sure that a range grants `access`, so that what follows cannot fault."""
    if size <= 0:
        return
    if address + size > ADDRESS_END:
        raise ProgramException(thread, FAULT_OF_ACCESS[access], address)
    space = thread.space
    for page in range(address // PAGE_SIZE, (address + size - 1) // PAGE_SIZE + 1):
        if space is None or not space.pages.get(page, 0) & access:
            page_in(core, thread, max(address, page * PAGE_SIZE), access)


def read(core: Core, thread: Thread, address: int, size: int) -> bytes:
    """`size` bytes of the thread's memory."""
    return _load(core, runs(core, thread, address, READ, size))


def write(core: Core, thread: Thread, address: int, data: bytes) -> None:
    """Put `data` into the thread's memory; all of it or, with an exception of the thread, nothing."""
    _store(core, runs(core, thread, address, WRITE, len(data)), data)


def copy_words(
    core: Core, source: Thread, source_address: int, target: Thread, target_address: int, words: int
) -> None:
    """
    Copy between the memories of two threads, as if all were read first; no word moves if one cannot.

    Where the two overlap, so many words at a time that what comes of it is the same in all configurations.
    """
    size, soft_faults = words * WORD_SIZE, core.statistics.soft_faults
    sources = runs(core, source, source_address, READ, size)
    targets = runs(core, target, target_address, WRITE, size)
    if core.statistics.soft_faults != soft_faults:  # what the two shared until now may have been copied
        sources = runs(core, source, source_address, READ, size)
    if words > OVERLAPPING_WORDS and _overlap(sources, targets):
        for done in range(0, words, OVERLAPPING_WORDS):
            some, moved = min(words - done, OVERLAPPING_WORDS), done * WORD_SIZE
            copy_words(core, source, source_address + moved, target, target_address + moved, some)
    elif len(sources) == 1:
        start, _ = sources[0]
        _store(core, targets, core.hardware.ram[start : start + size])
    else:
        _store(core, targets, _load(core, sources))


def _overlap(sources: list[tuple[int, int]], targets: list[tuple[int, int]]) -> bool:
    if len(sources) == len(targets) == 1:
        (start, length), (into, room) = sources[0], targets[0]
        return start < into + room and into < start + length
    return any(start < into + room and into < start + length for start, length in sources for into, room in targets)


def _load(core: Core, sources: list[tuple[int, int]]) -> bytes:
    ram = core.hardware.ram
    if len(sources) == 1:
        start, length = sources[0]
        return bytes(ram[start : start + length])
    return b"".join([ram[start : start + length] for start, length in sources])


def _store(core: Core, targets: list[tuple[int, int]], data: bytes | memoryview) -> None:
    hardware = core.hardware
    if len(targets) > 1:
        data = memoryview(bytes(data))  # it may lie in what is written first
    done = 0
    for start, length in targets:
        hardware.ram[start : start + length] = data if len(targets) == 1 else data[done : done + length]
        done += length
        if hardware.code_frames and not hardware.code_frames.isdisjoint(
            range(start & FRAME_MASK, start + length, PAGE_SIZE)
        ):
            hardware.invalidate(start, length)
