"""The device port is all that a device of one's own needs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import fluke_async as fluke
from fluke_async.device import DevicePort, Request
from tests.devices.host import running
from tests.devices.slow_timers import LATENCY_NS

if TYPE_CHECKING:
    import pytest


class Memory:
    """Words in memory: `0 address` reads; `1 address word` writes; `2 address` reads when it is written next."""

    def __init__(self) -> None:
        self.words: dict[int, int] = {}
        self.watchers: dict[int, list[Request]] = {}

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            match request.words:
                case (0, address):
                    request.reply(self.words.get(address, 0))
                case (1, address, word):
                    self.words[address] = word
                    for watcher in self.watchers.pop(address, []):
                        watcher.reply(word)
                    request.reply_at(port.now_ns() + 50, 0)
                case (2, address):
                    self.watchers.setdefault(address, []).append(request)
                    request.defer()


async def test_replies_latency_and_deferred_requests() -> None:
    async with running(Memory()) as bench:
        assert await bench.ask(0, 8) == (0,)
        assert await bench.ask(2, 8) is None
        assert bench.port.has_open_requests
        assert await bench.ask(1, 8, 42) == (42,)  # the watcher is answered at once, the writer later
        assert not bench.port.has_open_requests
        assert await bench.ask(0, 8) == (42,)
        bench.host.advance(50)
        assert bench.host.answers[-1] == (50, (1, 8, 42), (0,))


async def test_requests_are_served_in_order() -> None:
    async with running(Memory()) as bench:
        for word in range(5):
            assert await bench.ask(1, 0, word) is None
            assert await bench.ask(0, 0) == (word,)
        bench.host.advance(50)
        assert [asked[2] for _, asked, _ in bench.host.answers[5:]] == list(range(5))


async def test_requests_that_come_together_are_served_in_order() -> None:
    async with running(Memory()) as bench:
        await bench.ask_together((1, 0, 7), (0, 0), (1, 0, 8), (0, 0))
        bench.host.advance(0)
        assert [reply for _, _, reply in bench.host.answers] == [(7,), (8,)]


async def run_clock(model: str, preemption: str) -> tuple[bytes, int, fluke.Exit]:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("clock", args=["2", "1"])
        output = await process.stdout.read_all()
        return output, kernel.statistics().time_ns, await process.wait()


async def test_latency_is_time_of_the_kernel(model: str, preemption: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _, usual_ns, _ = await run_clock(model, preemption)
    monkeypatch.setattr("fluke_async.embedding.devices.TIMER", "tests.devices.slow_timers:LatentTimer")
    runs = [await run_clock(model, preemption) for _ in range(2)]
    assert runs[0] == runs[1]
    _, time_ns, end = runs[0]
    assert end == fluke.Exit("exited", 0)
    # Each sleep asks for the time, asks again when it begins, sleeps for the latency anyway, and asks again.
    assert usual_ns + 2 * 2 * LATENCY_NS <= time_ns <= usual_ns + 2 * 4 * LATENCY_NS + LATENCY_NS


async def test_an_answer_from_outside_stops_virtual_time(
    model: str, preemption: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fluke_async.embedding.devices.TIMER", "tests.devices.slow_timers:AskingTimer")
    output, time_ns, end = await run_clock(model, preemption)
    assert end == fluke.Exit("exited", 0)
    assert output == b"sleep 1: from 7000 us to 7000 us\nsleep 2: from 7000 us to 7000 us\n"
    assert time_ns < 1_000_000
