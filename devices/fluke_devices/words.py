"""Bytes in the words of messages: packed little-endian, the last word padded with zeros."""

from __future__ import annotations

from collections.abc import Sequence

from fluke_async.abi.codes import WORD_SIZE


def bytes_of(words: Sequence[int]) -> bytes:
    """The bytes that words hold."""
    return b"".join(word.to_bytes(WORD_SIZE, "little") for word in words)


def words_of(data: bytes) -> tuple[int, ...]:
    """Words that hold these bytes."""
    return tuple(memoryview(data + bytes(-len(data) % WORD_SIZE)).cast("Q"))
