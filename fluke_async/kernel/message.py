"""
What a message is made of: words that move in chunks, and references that are passed.

These functions know registers by their roles and memory by its threads; who may send to whom is `ipc`'s business. What
is wrong on one side of a message is the exception of that side's thread.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import COPY_CHUNK_WORDS, MAX_MESSAGE_REFERENCES, WORD_SIZE, ExceptionCode, Status
from fluke_async.abi.entry_points import CHUNK_COST
from fluke_async.kernel import user_memory
from fluke_async.kernel.answers import answer_question
from fluke_async.kernel.connection import note_received
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.params import MESSAGE_WORDS_MAX
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.device_request import DeviceRequest
    from fluke_async.kernel.objects.thread import Thread

# Registers by role: sending buffer, words, references, their count; receiving likewise.
SENDING = (reg.SEND_BUFFER, reg.SEND_WORDS, reg.SEND_REFERENCES, reg.SEND_REFERENCE_COUNT)
RECEIVING = (
    reg.RECEIVE_BUFFER,
    reg.RECEIVE_WORDS,
    reg.RECEIVE_REFERENCES,
    reg.RECEIVE_REFERENCE_COUNT,
)


def check_buffers(core: Core, thread: Thread, roles: tuple[int, int, int, int], table_count: int, access: int) -> None:
    """Whether a thread's own side of a message can be used; what is wrong is its exception."""
    registers = thread.registers
    buffer, words, references, count = (registers[role] for role in roles)
    for address in (buffer, references if count else 0):
        if address % WORD_SIZE:
            raise ProgramException(thread, ExceptionCode.BUFFER_UNALIGNED, address)
    if words > MESSAGE_WORDS_MAX or count > MAX_MESSAGE_REFERENCES or registers[table_count]:
        raise ProgramException(thread, ExceptionCode.INVALID_MESSAGE, words)
    user_memory.touch(core, thread, buffer, access, min(words, COPY_CHUNK_WORDS) * WORD_SIZE)


def move_words(core: Core, source: Thread, target: Thread, done: int, source_done: int) -> int:
    """
    Move the next chunk of a message; returns how many words moved, 0 if there are none left or there is no room.

    `done` words have arrived at the target's buffer, `source_done` have gone from the source's.
    """
    sent, room = source.registers, target.registers
    words = min(COPY_CHUNK_WORDS, sent[reg.SEND_WORDS] - source_done, room[reg.RECEIVE_WORDS] - done)
    if words <= 0:
        return 0
    source_address = sent[reg.SEND_BUFFER] + source_done * WORD_SIZE
    target_address = room[reg.RECEIVE_BUFFER] + done * WORD_SIZE
    for thread, address in ((source, source_address), (target, target_address)):
        if address % WORD_SIZE:
            raise ProgramException(thread, ExceptionCode.BUFFER_UNALIGNED, address)
    user_memory.copy_words(core, source, source_address, target, target_address, words)
    core.statistics.words_copied += words
    core.charge(CHUNK_COST * words // COPY_CHUNK_WORDS)
    if core.trace is not None:
        core.trace((core.time, Event.CHUNK, source.hash, words))
    return words


def pass_references(core: Core, source: Thread, target: Thread) -> None:
    """Make the target's references refer to what the source's do: as many as both sides have, or none."""
    sent, room = source.registers, target.registers
    count = min(sent[reg.SEND_REFERENCE_COUNT], room[reg.RECEIVE_REFERENCE_COUNT], MAX_MESSAGE_REFERENCES)
    if not count:
        return
    given = references_in(core, source, sent[reg.SEND_REFERENCES], count)
    taken = references_in(core, target, room[reg.RECEIVE_REFERENCES], count)
    for source_reference, target_reference in zip(given, taken, strict=True):
        target_reference.target = source_reference.target
    room[reg.RECEIVE_REFERENCES] += count * WORD_SIZE
    room[reg.RECEIVE_REFERENCE_COUNT] -= count


def references_in(core: Core, thread: Thread, table: int, count: int) -> list[Reference]:
    """The reference objects that a table of addresses names."""
    data = memoryview(user_memory.read(core, thread, table, count * WORD_SIZE)).cast("Q")
    return [object_at(core, thread, address, Reference) for address in data]


def answer(core: Core, request: DeviceRequest, words: tuple[int, ...]) -> None:
    """
    Complete a device's client with a reply, if it still waits for it.

    Where the client's buffer cannot be written any more, it is woken instead, asks again, and gets its own exception.
    """
    if not request.is_open:
        return
    thread = request.thread
    if thread.question is not None:
        answer_question(core, thread, words)
        return
    registers = thread.registers
    taken = words[: registers[reg.RECEIVE_WORDS]]
    data = b"".join(word.to_bytes(WORD_SIZE, "little") for word in taken)
    try:
        user_memory.write(core, thread, registers[reg.RECEIVE_BUFFER], data)
    except ProgramException:
        core.wake(thread)
        return
    if core.trace is not None:
        core.trace((core.time, Event.REPLY, thread.hash, request.port.hash, taken))
    note_received(thread, len(taken))
    core.complete(thread, Status.SUCCESS)
