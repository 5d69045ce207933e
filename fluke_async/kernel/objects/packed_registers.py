"""Register files in as little memory as they need: those that are not zero, by their numbers."""

from __future__ import annotations

import struct
from array import array

NONE = array("Q", bytes(32 * 8))


def pack(registers: array[int]) -> bytes:
    """A number of a byte and a word for each register that is not zero."""
    used = [number for number, word in enumerate(registers) if word]
    return struct.pack(f"<{len(used)}B{len(used)}Q", *used, *[registers[number] for number in used])


def unpack(packed: bytes) -> array[int]:
    """The registers that were packed."""
    count = len(packed) // 9
    numbers_and_words = struct.unpack(f"<{count}B{count}Q", packed)
    registers = NONE[:]
    for index in range(count):
        registers[numbers_and_words[index]] = numbers_and_words[count + index]
    return registers
