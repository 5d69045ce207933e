"""
What a message is made of: words that move in chunks, and references that are passed.

These functions know registers by their roles and memory by its threads; who may send to whom is `ipc`'s business. What
is wrong on one side of a message is the exception of that side's thread.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import COPY_CHUNK_WORDS, MAX_MESSAGE_REFERENCES, WORD_SIZE, ExceptionCode, Status
from fluke_async.abi.entry_points import CHUNK_COST
from fluke_async.kernel import user_memory
from fluke_async.kernel.answers import answer_question
from fluke_async.kernel.buffers import RECEIVING, SENDING, Side, check_buffer, match, pieces, position, scatter
from fluke_async.kernel.connection import note_received
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.faults import blame
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.trace import Event
from fluke_async.kernel.translation import READ, WRITE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fluke_async.kernel.core import Core
    from fluke_async.kernel.device_request import DeviceRequest
    from fluke_async.kernel.objects.base import KernelObject
    from fluke_async.kernel.objects.thread import Thread


def check_side(core: Core, thread: Thread, side: Side) -> None:
    """Whether a thread's own side of a message can be used; what is wrong is its exception."""
    registers = thread.registers
    count = registers[side.reference_count]
    if count:
        references = registers[side.references]
        if references % WORD_SIZE:
            raise ProgramException(thread, ExceptionCode.BUFFER_UNALIGNED, references)
        if count > MAX_MESSAGE_REFERENCES:
            raise ProgramException(thread, ExceptionCode.INVALID_MESSAGE, count)
    if registers[side.table_count]:
        for address, words in pieces(core, thread, side, 0, COPY_CHUNK_WORDS):
            user_memory.touch(core, thread, address, side.access, words * WORD_SIZE)
        return
    address, words = registers[side.buffer], registers[side.words]
    if address or words:
        check_buffer(thread, address, words)
        user_memory.touch(core, thread, address, side.access, min(words, COPY_CHUNK_WORDS) * WORD_SIZE)


def move_words(core: Core, source: Thread, target: Thread, done: int, source_done: int, most: int) -> int:
    """
    Move the next chunk of a message, of `most` words; returns how many moved, 0 if none are left or there is no room.

    `done` words have arrived at the target, `source_done` have gone from the source. All memory that the chunk needs is
    looked up before a word of it moves: so a chunk that a fault cuts off is copied anew, from what it was.
    """
    sent, room = source.registers, target.registers
    if sent[reg.SEND_BUFFER_COUNT] or room[reg.RECEIVE_BUFFER_COUNT]:
        moved = _move_scattered(core, source, target, done, source_done, most)
    else:
        source_address, left_words = sent[reg.SEND_BUFFER], sent[reg.SEND_WORDS]
        target_address, room_words = room[reg.RECEIVE_BUFFER], room[reg.RECEIVE_WORDS]
        check_buffer(source, source_address, left_words)
        check_buffer(target, target_address, room_words)
        moved = min(left_words - source_done, room_words - done, most)
        if moved <= 0:
            return 0
        source_address += source_done * WORD_SIZE
        user_memory.copy_words(core, source, source_address, target, target_address + done * WORD_SIZE, moved)
    if moved:
        core.statistics.words_copied += moved
        core.charge(CHUNK_COST * moved // COPY_CHUNK_WORDS)
        if core.trace is not None:
            core.trace((core.time, Event.CHUNK, source.hash, moved))
    return moved


def _move_scattered(core: Core, source: Thread, target: Thread, done: int, source_done: int, most: int) -> int:
    """`move_words` for sides of which at least one has more than one buffer; how many moved."""
    sources = pieces(core, source, SENDING, source_done, most)
    targets = pieces(core, target, RECEIVING, done, most)
    moves = match(sources, targets)
    for source_address, target_address, words in moves:
        user_memory.touch(core, source, source_address, READ, words * WORD_SIZE)
        user_memory.touch(core, target, target_address, WRITE, words * WORD_SIZE)
    for source_address, target_address, words in moves:
        user_memory.copy_words(core, source, source_address, target, target_address, words)
    return sum(words for _, _, words in moves)


def pass_references(core: Core, source: Thread, target: Thread) -> int:
    """Make the target's references refer to what the source's do: as many as both sides have, or none; how many."""
    return hand_over(target, references_between(core, source, target))


def references_between(core: Core, source: Thread, target: Thread) -> list[tuple[Reference, Reference]]:
    """The references of both sides brought together, as many as both have: all memory that to pass them needs."""
    sent, room = source.registers, target.registers
    count = min(sent[reg.SEND_REFERENCE_COUNT], room[reg.RECEIVE_REFERENCE_COUNT], MAX_MESSAGE_REFERENCES)
    if not count:
        return []
    given = references_in(core, source, sent[reg.SEND_REFERENCES], count)
    taken = references_in(core, target, room[reg.RECEIVE_REFERENCES], count)
    return list(zip(given, taken, strict=True))


def hand_over(target: Thread, passed: list[tuple[Reference, Reference]]) -> int:
    """Make the second of each pair refer to what the first does, and commit that; returns how many there are."""
    for source_reference, target_reference in passed:
        target_reference.target = source_reference.target
    _note_references(target, len(passed))
    return len(passed)


def _note_references(target: Thread, count: int) -> None:
    """So many references of the target's table have been filled."""
    if count:
        target.registers[reg.RECEIVE_REFERENCES] += count * WORD_SIZE
        target.registers[reg.RECEIVE_REFERENCE_COUNT] -= count


def references_in(core: Core, thread: Thread, table: int, count: int) -> list[Reference]:
    """The reference objects that a table of addresses names."""
    data = memoryview(user_memory.read(core, thread, table, count * WORD_SIZE)).cast("Q")
    return [object_at(core, thread, address, Reference) for address in data]


def answer(core: Core, request: DeviceRequest, words: tuple[int, ...], targets: Sequence[KernelObject] = ()) -> None:
    """
    Complete a device's client with a reply, if it still waits for it; its references come to refer to `targets`.

    Where the client's memory cannot take it, nothing has come: the client gets its exception, or asks its keeper and
    then calls again, as when a server answers.
    """
    if not request.is_open:
        return
    thread = request.thread
    if thread.question is not None:
        answer_question(core, thread, words)
        return
    data = struct.pack(f"<{len(words)}Q", *words)
    room = min(len(targets), thread.registers[reg.RECEIVE_REFERENCE_COUNT])
    try:
        references = references_in(core, thread, thread.registers[reg.RECEIVE_REFERENCES], room) if room else []
        taken = scatter(core, thread, data)
        after = position(core, thread, RECEIVING, taken)
    except ProgramException as exception:
        blame(core, exception, in_call=True)
        return
    if core.trace is not None:
        core.trace((core.time, Event.REPLY, thread.hash, request.port.hash, words[:taken]))
    for reference, target in zip(references, targets, strict=False):
        reference.target = target
    _note_references(thread, len(references))
    note_received(thread, after, taken)
    core.complete(thread, Status.SUCCESS)
