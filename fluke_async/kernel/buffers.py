"""
The buffers of one side of a message: one in registers, and a table of more in memory.

A `Side` says which registers hold what. The table is read whenever it is needed, and believed in nothing; so a message
can go on anywhere after it was cut off, from a number of words and the registers alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import TYPE_CHECKING, NamedTuple

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import COPY_CHUNK_WORDS, MAX_MESSAGE_BUFFERS, WORD_SIZE, ExceptionCode
from fluke_async.abi.layouts import IPC_BUFFER
from fluke_async.kernel import user_memory
from fluke_async.kernel.exceptions import WORD_MASK, ProgramException
from fluke_async.kernel.params import MESSAGE_WORDS_MAX
from fluke_async.kernel.translation import READ, WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

ENTRY = Struct("<2Q")
assert ENTRY.size == IPC_BUFFER.size


class Side(NamedTuple):
    """The registers of one side of a message, by role, and the access that its memory must grant."""

    buffer: int
    words: int
    table: int
    table_count: int
    references: int
    reference_count: int
    access: int


SENDING = Side(
    reg.SEND_BUFFER,
    reg.SEND_WORDS,
    reg.SEND_BUFFER_TABLE,
    reg.SEND_BUFFER_COUNT,
    reg.SEND_REFERENCES,
    reg.SEND_REFERENCE_COUNT,
    READ,
)
RECEIVING = Side(
    reg.RECEIVE_BUFFER,
    reg.RECEIVE_WORDS,
    reg.RECEIVE_BUFFER_TABLE,
    reg.RECEIVE_BUFFER_COUNT,
    reg.RECEIVE_REFERENCES,
    reg.RECEIVE_REFERENCE_COUNT,
    WRITE,
)

Position = tuple[int, int] | tuple[int, int, int, int]
"""A buffer, the words left in it and, if there is a table, what is left of that and the number of its buffers."""


def buffers_of(core: Core, thread: Thread, side: Side) -> list[tuple[int, int]]:
    """All buffers as (address, words), each checked to be aligned and not longer than memory can be."""
    registers = thread.registers
    buffers = [(registers[side.buffer], registers[side.words])]
    count, table = registers[side.table_count], registers[side.table]
    if count:
        if count > MAX_MESSAGE_BUFFERS:
            raise ProgramException(thread, ExceptionCode.INVALID_MESSAGE, count)
        if table % WORD_SIZE:
            raise ProgramException(thread, ExceptionCode.BUFFER_UNALIGNED, table)
        entries = user_memory.read(core, thread, table, count * ENTRY.size)
        buffers += [(address, words) for words, address in ENTRY.iter_unpack(entries)]
    for address, words in buffers:
        check_buffer(thread, address, words)
    return buffers


def check_buffer(thread: Thread, address: int, words: int) -> None:
    """Whether a buffer is aligned and not longer than memory can be."""
    if address % WORD_SIZE:
        raise ProgramException(thread, ExceptionCode.BUFFER_UNALIGNED, address)
    if words > MESSAGE_WORDS_MAX:
        raise ProgramException(thread, ExceptionCode.INVALID_MESSAGE, words)


def length(core: Core, thread: Thread, side: Side) -> int:
    """Words in all buffers."""
    registers = thread.registers
    if not registers[side.table_count]:
        return registers[side.words]
    return sum(words for _, words in buffers_of(core, thread, side))


def pieces(core: Core, thread: Thread, side: Side, done: int, limit: int) -> list[tuple[int, int]]:
    """Where at most `limit` words lie after the first `done`, as (address, words)."""
    registers = thread.registers
    if not registers[side.table_count]:  # the usual message: a list of one is made, and no table looked at
        address, words = registers[side.buffer], registers[side.words]
        check_buffer(thread, address, words)
        here = min(words - done, limit)
        return [(address + done * WORD_SIZE, here)] if here > 0 else []
    found = []
    for address, words in buffers_of(core, thread, side):
        here = min(words - done, limit)
        if here > 0:
            found.append((address + done * WORD_SIZE, here))
            limit -= here
        done = max(0, done - words)
    return found


def position(core: Core, thread: Thread, side: Side, done: int) -> Position:
    """What the registers say when `done` words are dealt with; a buffer that is full is left for the next one."""
    registers = thread.registers
    buffer, words = registers[side.buffer], registers[side.words]
    count = registers[side.table_count]
    if not count:
        return (buffer + done * WORD_SIZE) & WORD_MASK, words - done
    table = registers[side.table]
    for address, length_words in buffers_of(core, thread, side)[1:]:
        if done < words:
            break
        done -= words
        buffer, words = address, length_words
        table, count = table + ENTRY.size, count - 1
    done = min(done, words)  # the message itself may have written over the table
    return (buffer + done * WORD_SIZE) & WORD_MASK, words - done, table & WORD_MASK, count


def go_to(thread: Thread, side: Side, place: Position) -> None:
    """Commit a position."""
    registers = thread.registers
    if len(place) == 2:
        registers[side.buffer], registers[side.words] = place
    else:
        registers[side.buffer], registers[side.words], registers[side.table], registers[side.table_count] = place


def gather(core: Core, thread: Thread, limit: int = COPY_CHUNK_WORDS) -> bytes:
    """The first words that a thread sends."""
    found = pieces(core, thread, SENDING, 0, limit)
    return b"".join(user_memory.read(core, thread, address, words * WORD_SIZE) for address, words in found)


def scatter(core: Core, thread: Thread, data: bytes) -> int:
    """Write as much of `data` as there is room for where a thread receives; returns how many words that is."""
    found = pieces(core, thread, RECEIVING, 0, len(data) // WORD_SIZE)
    for address, words in found:
        user_memory.touch(core, thread, address, WRITE, words * WORD_SIZE)
    begin = 0
    for address, words in found:
        end = begin + words * WORD_SIZE
        user_memory.write(core, thread, address, data[begin:end])
        begin = end
    return begin // WORD_SIZE


def match(sources: Sequence[tuple[int, int]], targets: Sequence[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Pieces of two sides brought together: (source, target, words), as far as both go."""
    if len(sources) == len(targets) == 1:
        return [(sources[0][0], targets[0][0], min(sources[0][1], targets[0][1]))]
    matched = []
    rest, room = list(reversed(sources)), list(reversed(targets))
    while rest and room:
        (source, sent), (target, taken) = rest.pop(), room.pop()
        words = min(sent, taken)
        matched.append((source, target, words))
        if sent > words:
            rest.append((source + words * WORD_SIZE, sent - words))
        if taken > words:
            room.append((target + words * WORD_SIZE, taken - words))
    return matched
