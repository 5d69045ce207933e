"""
Entropy: an endless sequence of random bytes, which a seed determines.

Requests, in 64-bit words; offsets and counts in bytes:

    PROBE              -> OK
    READ offset count  -> OK count bytes...   the bytes of the sequence from `offset` on

A read says from where, so it can be repeated, and the device has no state but its seed, which goes into images: a
program keeps its offset.
"""

from __future__ import annotations

import os
import re
from hashlib import blake2b
from typing import Any

from fluke_async.abi.devices import CONSOLE_MAX_BYTES, PROBE, DeviceStatus, EntropyOperation
from fluke_async.device import DevicePort, Request
from fluke_async.errors import FlukeError
from fluke_devices.words import words_of

OK, BAD_REQUEST = DeviceStatus.OK, DeviceStatus.BAD_REQUEST
BLOCK_BYTES = 64
SEED_BYTES, SEED_MAX_BYTES = 32, 64
SEED = re.compile(f"([0-9a-f]{{2}}){{0,{SEED_MAX_BYTES}}}")


class Entropy:
    """One sequence; `seed` is up to 64 bytes, by default drawn from the host, which makes no run like another."""

    def __init__(self, seed: bytes | None = None) -> None:
        self.seed = os.urandom(SEED_BYTES) if seed is None else seed

    @property
    def state(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self.seed.hex()}

    def load_state(self, state: dict[str, Any]) -> None:
        """
        Go on with another's sequence.

        Raises:
            FlukeError: it is no state of entropy.
        """
        match state:
            case {"seed": str(text), **others} if not others and SEED.fullmatch(text):
                self.seed = bytes.fromhex(text)
            case _:
                raise FlukeError(f"a seed is up to {SEED_MAX_BYTES} bytes in hexadecimal")

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
