"""Standard output: a stream, all at once, or redirected; a writer waits for a reader who is far behind."""

from __future__ import annotations

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.abi.devices import CONSOLE_MAX_BYTES
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import Sink, idle, pass_time

HIGH_WATER = 4096
LONG_TEXT = b"".join(b"%099d\n" % i for i in range(200))


@pytest.fixture
def low_high_water(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fluke_async.embedding.output.HIGH_WATER_BYTES", HIGH_WATER)


async def until_full(process: fluke.Process) -> None:
    while not process.stdout.is_full:
        await anyio.lowlevel.checkpoint()


async def test_output_is_a_stream_that_ends(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello", args=["a", "b"])
        assert await process.stdout.receive(3) == b"Hel"
        assert b"".join([chunk async for chunk in process.stdout]) == b"lo, a!\nHello, b!\n"
        with pytest.raises(anyio.EndOfStream):
            await process.stdout.receive()
        assert await process.stdout.read_all() == b""


async def test_output_can_be_read_after_the_end_and_after_the_kernel(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello")
        await process.wait()
    assert await process.stdout.read_all() == b"Hello, world!\n"


async def test_two_readers_share_the_output(make_kernel: MakeKernel) -> None:
    parts: list[bytes] = []

    async def read(process: fluke.Process) -> None:
        parts.extend([chunk async for chunk in process.stdout])

    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=LONG_TEXT)
        async with anyio.create_task_group() as readers:
            readers.start_soon(read, process)
            readers.start_soon(read, process)
    assert sorted(b"".join(parts)) == sorted(LONG_TEXT)


@pytest.mark.parametrize("turns", [0, 50])
async def test_redirected_output_arrives_whole(make_kernel: MakeKernel, turns: int) -> None:
    sink = Sink(turns)
    async with make_kernel() as kernel:
        process = await kernel.spawn("primes", args=["100", "2"], stdout=sink)
        await process.wait()
    assert sink.data.endswith(b"25 primes below 100\n")
    assert sink.data.count(b"\n") == 3


async def test_a_sink_that_fails_stops_the_kernel_with_its_error(make_kernel: MakeKernel) -> None:
    class Broken(Sink):
        async def send(self, item: bytes) -> None:
            raise ConnectionError("nobody there")

    with pytest.raises(ConnectionError, match="nobody there"):
        async with make_kernel() as kernel:
            await kernel.spawn("hello", stdout=Broken())
            await anyio.sleep_forever()


@pytest.mark.usefixtures("low_high_water")
async def test_a_writer_with_a_reader_goes_on(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=LONG_TEXT)
        assert await process.stdout.read_all() == LONG_TEXT
        assert await process.wait() == fluke.Exit("exited", 0)


@pytest.mark.usefixtures("low_high_water")
async def test_a_writer_without_a_reader_waits(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=LONG_TEXT)
        await until_full(process)
        await pass_time(kernel)
        await idle()
        assert not process.has_ended
        (thread,) = process.threads()
        assert (thread.condition, thread.entry_point) == ("waiting", "ipc_call")
        first = await process.stdout.receive(1 << 20)
        assert HIGH_WATER <= len(first) < HIGH_WATER + CONSOLE_MAX_BYTES
        assert first + await process.stdout.read_all() == LONG_TEXT
        assert await process.wait() == fluke.Exit("exited", 0)


@pytest.mark.usefixtures("low_high_water")
async def test_a_waiting_writer_can_be_killed(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=LONG_TEXT)
        await until_full(process)
        await process.kill()
        assert LONG_TEXT.startswith(await process.stdout.read_all())
        assert (await process.wait()).reason == "killed"
        assert kernel.statistics().objects == 0


async def test_closed_output_is_thrown_away_and_the_program_goes_on(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("primes", args=["1000", "2"])
        await process.stdout.aclose()
        assert (await process.wait()).reason == "exited"
        with pytest.raises(anyio.ClosedResourceError):
            await process.stdout.receive()


async def test_sink_that_breaks_disturbs_nobody(make_kernel: MakeKernel) -> None:
    class Broken(Sink):
        async def send(self, item: bytes) -> None:
            raise anyio.BrokenResourceError

    async with make_kernel() as kernel:
        process = await kernel.spawn("hello", stdout=Broken())
        assert (await process.wait()).reason == "exited"
        assert await (await kernel.spawn("hello")).stdout.read_all() == b"Hello, world!\n"
