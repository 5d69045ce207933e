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


def span(core: Core, thread: Thread, address: int, access: int, size: int) -> tuple[int, int]:
    """The physical address behind `address`, and how many of `size` bytes lie in the same page."""
    if address + size > ADDRESS_END:
        raise ProgramException(thread, FAULT_OF_ACCESS[access], address)
    space = thread.space
    entry = 0 if space is None else space.pages.get(address // PAGE_SIZE, 0)
    if not entry & access:
        entry = page_in(core, thread, address, access)
    offset = address & OFFSET_MASK
    return (entry & FRAME_MASK) | offset, min(size, PAGE_SIZE - offset)


def touch(core: Core, thread: Thread, address: int, access: int, size: int) -> None:
    """Make sure that a range grants `access`, so that what follows cannot fault."""
    if size <= 0:
        return
    if address + size > ADDRESS_END:
        raise ProgramException(thread, FAULT_OF_ACCESS[access], address)
    space = thread.space
    end_page = (address + size - 1) // PAGE_SIZE + 1
    for page in range(address // PAGE_SIZE, end_page):
        if space is None or not space.pages.get(page, 0) & access:
            page_in(core, thread, max(address, page * PAGE_SIZE), access)


def read(core: Core, thread: Thread, address: int, size: int) -> bytes:
    """`size` bytes of the thread's memory."""
    if not size:
        return b""
    ram = core.hardware.ram
    start, length = span(core, thread, address, READ, size)
    if length == size:
        return bytes(ram[start : start + size])
    parts = []
    while size > 0:
        start, length = span(core, thread, address, READ, size)
        parts.append(bytes(ram[start : start + length]))
        address += length
        size -= length
    return b"".join(parts)


def write(core: Core, thread: Thread, address: int, data: bytes) -> None:
    """Put `data` into the thread's memory; all of it or, with an exception of the thread, nothing."""
    start, length = span(core, thread, address, WRITE, len(data)) if data else (0, 0)
    if length == len(data):
        if data:
            _store(core, start, data)
        return
    touch(core, thread, address, WRITE, len(data))
    done = 0
    while done < len(data):
        start, length = span(core, thread, address + done, WRITE, len(data) - done)
        _store(core, start, data[done : done + length])
        done += length


def copy_words(
    core: Core, source: Thread, source_address: int, target: Thread, target_address: int, words: int
) -> None:
    """Copy between the memories of two threads, page by page; both ranges are checked before any word moves."""
    size = words * WORD_SIZE
    ram = core.hardware.ram
    touch(core, source, source_address, READ, size)
    touch(core, target, target_address, WRITE, size)
    while size > 0:
        start, length = span(core, source, source_address, READ, size)
        into, length = span(core, target, target_address, WRITE, length)
        _store(core, into, ram[start : start + length])
        source_address += length
        target_address += length
        size -= length


def _store(core: Core, start: int, data: bytes | memoryview) -> None:
    hardware = core.hardware
    hardware.ram[start : start + len(data)] = data
    if start & FRAME_MASK in hardware.code_frames:
        hardware.invalidate(start, len(data))
