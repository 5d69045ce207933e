"""Words of a virtual memory whose pages lie anywhere in a processor's: looked up once a page."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE

Physical = Callable[[int], int]
"""The place in the processor's memory of a virtual address."""


def read_words(ram: memoryview, physical: Physical, address: int, count: int) -> list[int]:
    """Words from an address on."""
    content = b"".join(ram[piece] for piece in pieces(physical, address, count * WORD_SIZE))
    return list(memoryview(content).cast("Q"))


def write_words(ram: memoryview, physical: Physical, address: int, words: Iterable[int]) -> None:
    """Write words from an address on."""
    content = memoryview(array("Q", words)).cast("B")
    for piece in pieces(physical, address, len(content)):
        size = piece.stop - piece.start
        ram[piece] = content[:size]
        content = content[size:]


def pieces(physical: Physical, address: int, size: int) -> Iterator[slice]:
    """Where a range lies in the processor's memory, page by page."""
    end = address + size
    while address < end:
        place, length = physical(address), min(end - address, PAGE_SIZE - address % PAGE_SIZE)
        yield slice(place, place + length)
        address += length
