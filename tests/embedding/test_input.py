"""Standard input: bytes, or a stream that may be late."""

from __future__ import annotations

import anyio
import pytest

import fluke_async as fluke
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import Feed, idle, pass_time

TEXT = b"one\ntwo\n\nthree without an end"
ECHO = b"one\ntwo\n\nthree without an end\n"


@pytest.mark.parametrize(("stdin", "expected"), [(TEXT, ECHO), (b"", b""), (None, b"")])
async def test_input_as_bytes(make_kernel: MakeKernel, stdin: bytes | None, expected: bytes) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=stdin)
        assert await process.stdout.read_all() == expected


async def test_input_larger_than_any_message(make_kernel: MakeKernel) -> None:
    text = b"".join(b"%0500d\n" % i for i in range(100))
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=text)
        assert await process.stdout.read_all() == text


@pytest.mark.parametrize("size", [1, 2, 7, 100])
async def test_input_in_pieces(make_kernel: MakeKernel, size: int) -> None:
    feed = Feed()
    for start in range(0, len(TEXT), size):
        feed.give(TEXT[start : start + size])
    feed.end()
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=feed)
        assert await process.stdout.read_all() == ECHO


async def test_input_that_arrives_late(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=feed)
        for line in (b"one\n", b"two\n"):
            await feed.wanted.wait()
            await pass_time(kernel)
            await idle()
            assert not process.has_ended  # waiting for input is no deadlock
            feed.give(line)
            assert await process.stdout.receive() == line
        await feed.wanted.wait()
        feed.end()
        assert await process.wait() == fluke.Exit("exited", 0)


async def test_the_program_decides_when_input_is_read(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello", stdin=feed)
        assert await process.wait() == fluke.Exit("exited", 0)
    assert not feed.wanted.is_set()


async def test_virtual_time_waits_for_input(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        reader = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        sleeper = await kernel.spawn("clock", args=["1", "3600000"])
        await pass_time(kernel)
        await idle()
        assert not sleeper.has_ended
        assert kernel.statistics().time_ns < 1_000_000_000
        feed.end()
        assert (await sleeper.wait()).reason == "exited"
        assert (await reader.wait()).reason == "exited"


async def test_a_stream_that_fails_stops_the_kernel_with_its_error(make_kernel: MakeKernel) -> None:
    class Broken(Feed):
        async def receive(self, max_bytes: int = 65536) -> bytes:
            raise ConnectionError("the line is cut")

    with pytest.raises(ConnectionError, match="the line is cut"):
        async with make_kernel() as kernel:
            await (await kernel.spawn("echo", stdin=Broken())).wait()


async def test_the_stream_outlives_the_program(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        await process.kill()
        feed.give(b"kept")
        with anyio.fail_after(5):
            assert await feed.receive() == b"kept"


async def test_input_that_breaks_has_ended(make_kernel: MakeKernel) -> None:
    class Broken(Feed):
        async def receive(self, max_bytes: int = 65536) -> bytes:
            raise anyio.BrokenResourceError

    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=Broken())
        assert (await process.wait()).reason == "exited"
