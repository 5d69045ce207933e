"""The console by itself: offsets make its requests repeatable."""

from __future__ import annotations

import anyio.lowlevel
import pytest

from fluke_async.abi.devices import CONSOLE_MAX_BYTES, PROBE, ConsoleOperation, DeviceStatus
from fluke_async.embedding.output import OutputStream
from fluke_devices.console import Console
from tests.devices.host import Bench, running
from tests.embedding.guest import Feed

READ, WRITE = ConsoleOperation.READ, ConsoleOperation.WRITE
OK, BAD_OFFSET, BAD_REQUEST = DeviceStatus.OK, DeviceStatus.BAD_OFFSET, DeviceStatus.BAD_REQUEST


def words_of(data: bytes) -> list[int]:
    padded = data + bytes(-len(data) % 8)
    return list(memoryview(padded).cast("Q"))


def text_of(reply: tuple[int, ...] | None) -> bytes:
    assert reply is not None
    status, count, *words = reply
    assert status == OK
    return b"".join(word.to_bytes(8, "little") for word in words)[:count]


async def write(bench: Bench, offset: int, data: bytes) -> tuple[int, ...] | None:
    return await bench.ask(WRITE, offset, len(data), *words_of(data))


async def test_it_is_there() -> None:
    async with running(Console(OutputStream(), b"")) as bench:
        assert await bench.ask(PROBE) == (OK,)


async def test_writes_follow_each_other() -> None:
    output = OutputStream()
    async with running(Console(output, b"")) as bench:
        assert await write(bench, 0, b"Hello, ") == (OK, 7)
        assert await write(bench, 7, b"world!") == (OK, 13)
    output.end()
    assert await output.read_all() == b"Hello, world!"


async def test_a_repeated_write_is_acknowledged_and_not_repeated() -> None:
    output = OutputStream()
    async with running(Console(output, b"")) as bench:
        assert await write(bench, 0, b"once") == (OK, 4)
        assert await write(bench, 0, b"once") == (OK, 4)
        assert await write(bench, 4, b" more") == (OK, 9)
        assert await write(bench, 0, b"once") == (OK, 9)
    output.end()
    assert await output.read_all() == b"once more"


async def test_a_write_with_a_gap_is_refused() -> None:
    output = OutputStream()
    async with running(Console(output, b"")) as bench:
        assert await write(bench, 1, b"x") == (BAD_OFFSET, 0)
    output.end()
    assert await output.read_all() == b""


async def test_reads_can_be_repeated_until_they_are_followed() -> None:
    async with running(Console(OutputStream(), b"abcdefghijkl")) as bench:
        assert text_of(await bench.ask(READ, 0, 5)) == b"abcde"
        assert text_of(await bench.ask(READ, 0, 5)) == b"abcde"
        assert text_of(await bench.ask(READ, 5, 100)) == b"fghijkl"
        assert await bench.ask(READ, 0, 5) == (BAD_OFFSET, 5)  # it said that it had those
        assert await bench.ask(READ, 12, 5) == (OK, 0)
        assert await bench.ask(READ, 12, 5) == (OK, 0)
        assert await bench.ask(READ, 13, 5) == (BAD_OFFSET, 12)


async def test_a_read_gives_no_more_than_a_message_holds() -> None:
    async with running(Console(OutputStream(), bytes(3 * CONSOLE_MAX_BYTES))) as bench:
        assert text_of(await bench.ask(READ, 0, 1 << 40)) == bytes(CONSOLE_MAX_BYTES)


@pytest.mark.parametrize(
    "words",
    [(), (99,), (WRITE,), (WRITE, 0), (WRITE, 0, 9, 0), (READ,), (READ, 0), (READ, 0, 0), (2**64 - 1, 0, 1)],
)
async def test_what_makes_no_sense_is_refused(words: tuple[int, ...]) -> None:
    async with running(Console(OutputStream(), b"abc")) as bench:
        assert await bench.ask(*words) == (BAD_REQUEST,)


async def test_a_read_waits_for_the_stream() -> None:
    feed = Feed()
    async with running(Console(OutputStream(), feed)) as bench:
        assert await bench.ask(READ, 0, 10) is None
        assert bench.port.has_open_requests
        await feed.wanted.wait()
        feed.give(b"late")
        while not bench.host.posted:
            await anyio.lowlevel.checkpoint()
        assert bench.port.has_open_requests  # until the fixed point
        bench.host.fixed_point()
        assert not bench.port.has_open_requests
        bench.host.advance(5)
        assert text_of(bench.host.answers[-1][2]) == b"late"
        assert bench.host.inputs == [("console", b"late")]


async def test_a_reader_that_is_gone_is_not_waited_for() -> None:
    feed = Feed()
    async with running(Console(OutputStream(), feed)) as bench:
        asked = await bench.ask_without_answer(READ, 0, 10)
        assert bench.port.has_open_requests
        asked.is_open = False
        assert not bench.port.has_open_requests


async def test_a_write_beyond_the_high_water_mark_waits_for_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluke_async.embedding.output.HIGH_WATER_BYTES", 8)
    output = OutputStream()
    async with running(Console(output, b"")) as bench:
        assert await write(bench, 0, b"1234567") == (OK, 7)
        assert await write(bench, 7, b"8") is None
        assert await write(bench, 7, b"8") is None  # a repetition waits too
        assert await output.receive() == b"12345678"
        bench.host.fixed_point()
        bench.host.advance(1)
        assert [reply for _, _, reply in bench.host.answers[1:]] == [(OK, 8), (OK, 8)]
