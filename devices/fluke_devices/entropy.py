"""
Entropy: an endless sequence of random bytes, which a seed determines.

Requests, in 64-bit words; offsets and counts in bytes:

    PROBE              -> OK
    READ offset count  -> OK count bytes...   the bytes of the sequence from `offset` on

A read says from where, so it can be repeated, and the device has no state but its seed: a program keeps its offset.
"""

from __future__ import annotations

import os
from hashlib import blake2b

from fluke_async.abi.devices import CONSOLE_MAX_BYTES, PROBE, DeviceStatus, EntropyOperation
from fluke_async.device import DevicePort, Request
from fluke_devices.words import words_of

OK, BAD_REQUEST = DeviceStatus.OK, DeviceStatus.BAD_REQUEST
BLOCK_BYTES = 64
SEED_BYTES = 32


class Entropy:
    """One sequence; `seed` is up to 64 bytes, by default drawn from the host, which makes no run like another."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.seed = os.urandom(SEED_BYTES) if seed is None else seed

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            self.decide(request)

    def decide(self, request: Request) -> None:
        """Answer a request."""
        match request.words:
            case [operation, *_] if operation == PROBE:
                request.reply(OK)
            case [EntropyOperation.READ, offset, count, *_] if count > 0:
                data = self.bytes_at(offset, min(count, CONSOLE_MAX_BYTES))
                request.reply(OK, len(data), *words_of(data))
            case _:
                request.reply(BAD_REQUEST)

    def bytes_at(self, offset: int, count: int) -> bytes:
        """Some bytes of the sequence: BLAKE2b, keyed with the seed, of the numbers of its blocks."""
        first, end = offset // BLOCK_BYTES, (offset + count - 1) // BLOCK_BYTES + 1
        blocks = (blake2b(number.to_bytes(16, "little"), key=self.seed).digest() for number in range(first, end))
        start = offset - first * BLOCK_BYTES
        return b"".join(blocks)[start : start + count]
