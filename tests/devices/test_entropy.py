"""Entropy by itself: a sequence of bytes that a seed determines."""

from __future__ import annotations

import pytest

from fluke_async.abi.devices import CONSOLE_MAX_BYTES, PROBE, DeviceStatus, EntropyOperation
from fluke_devices.entropy import Entropy
from fluke_devices.words import bytes_of
from tests.devices.host import Bench, running

OK, BAD_REQUEST = DeviceStatus.OK, DeviceStatus.BAD_REQUEST
READ = EntropyOperation.READ


async def read(bench: Bench, offset: int, count: int) -> bytes:
    reply = await bench.ask(READ, offset, count)
    assert reply is not None
    status, got, *words = reply
    assert status == OK
    return bytes_of(words)[:got]


async def test_a_seed_says_what_comes() -> None:
    found = set()
    for seed in (b"", b"one", b"two", b"x" * 64):
        async with running(Entropy(seed)) as bench:
            assert await bench.ask(PROBE) == (OK,)
            found.add(await read(bench, 0, 100))
            assert await read(bench, 0, 100) in found
    assert len(found) == 4


async def test_pieces_are_the_same_wherever_they_begin() -> None:
    async with running(Entropy(b"seed")) as bench:
        whole = await read(bench, 0, 300)
        assert len(whole) == 300
        for offset in (0, 1, 63, 64, 65, 128, 200):
            for count in (1, 8, 64, 100):
                assert await read(bench, offset, count) == whole[offset : offset + count]


async def test_without_a_seed_no_two_are_alike() -> None:
    assert Entropy().bytes_at(0, 32) != Entropy().bytes_at(0, 32)


async def test_bytes_are_spread_evenly() -> None:
    data = Entropy(b"seed").bytes_at(0, 1 << 16)
    counts = [data.count(value) for value in range(256)]
    assert 170 < min(counts) < max(counts) < 350  # 256 on average, and a deviation of 16


async def test_a_read_gives_no_more_than_a_message_holds() -> None:
    async with running(Entropy(b"")) as bench:
        assert len(await read(bench, 2**64 - 1, 1 << 40)) == CONSOLE_MAX_BYTES


@pytest.mark.parametrize("words", [(), (99,), (READ,), (READ, 0), (READ, 0, 0)])
async def test_what_makes_no_sense_is_refused(words: tuple[int, ...]) -> None:
    async with running(Entropy(b"")) as bench:
        assert await bench.ask(*words) == (BAD_REQUEST,)
