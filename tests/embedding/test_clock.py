"""The two clocks: instructions that are counted and idle time that is skipped, or the host's time."""

from __future__ import annotations

import re
import time

from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import Feed, idle, pass_time

HOUR_MS, HOUR_US = 3_600_000, 3_600_000_000


def sleeps(output: bytes) -> list[tuple[int, int]]:
    """When each sleep of `clock` began and ended, in microseconds."""
    return [(int(begin), int(end)) for begin, end in re.findall(rb"from (\d+) us to (\d+) us", output)]


async def test_virtual_sleep_takes_no_time_of_the_host(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("clock", args=["24", str(HOUR_MS)])
        output = await process.stdout.read_all()
        assert kernel.statistics().time_ns > 24 * HOUR_US * 1000
    times = sleeps(output)
    assert len(times) == 24
    for begin, end in times:
        assert HOUR_US <= end - begin < HOUR_US + 100
    assert times == sorted(times)


async def test_virtual_time_is_the_same_every_time(make_kernel: MakeKernel) -> None:
    outputs = []
    for _ in range(2):
        async with make_kernel() as kernel:
            process = await kernel.spawn("clock", args=["3", "7"])
            outputs.append(await process.stdout.read_all())
    assert outputs[0] == outputs[1]
    assert len(sleeps(outputs[0])) == 3


async def test_sleepers_wake_in_the_order_of_their_instants(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        slow = await kernel.spawn("clock", args=["1", "1000"])
        fast = await kernel.spawn("clock", args=["9", "100"])
        assert (await fast.wait()).reason == "exited"
        assert not slow.has_ended
        assert (await slow.wait()).reason == "exited"
        ((begin, end),) = sleeps(await slow.stdout.read_all())
        assert 1_000_000 <= end - begin < 1_000_100


async def test_computing_takes_virtual_time_from_a_sleep(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        computing = await kernel.spawn("spin", budget=20_000_000)
        sleeping = await kernel.spawn("clock", args=["1", "1"])
        assert (await sleeping.wait()).reason == "exited"
        assert kernel.statistics().time_ns < 20_000_000
        assert (await computing.wait()).reason == "budget"


async def test_time_does_not_jump_to_a_sleep_that_nobody_sleeps_any_more(make_kernel: MakeKernel) -> None:
    feed = Feed()  # an open request keeps the clock from jumping
    async with make_kernel() as kernel:
        reader = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        sleeper = await kernel.spawn("clock", args=["1", str(HOUR_MS)])
        await pass_time(kernel, 100_000)
        await sleeper.kill()
        feed.end()
        await reader.wait()
        await idle()
        process = await kernel.spawn("clock", args=["1", "1"])
        ((begin, _),) = sleeps(await process.stdout.read_all())
        assert begin < 1_000_000


async def test_real_sleep_takes_the_time_of_the_host(make_kernel: MakeKernel) -> None:
    begun_ns = time.monotonic_ns()
    async with make_kernel(clock="real") as kernel:
        process = await kernel.spawn("clock", args=["2", "5"])
        output = await process.stdout.read_all()
        assert (await process.wait()).reason == "exited"
    assert time.monotonic_ns() - begun_ns >= 10_000_000
    times = sleeps(output)
    assert len(times) == 2
    for begin, end in times:
        assert end - begin >= 5000


async def test_real_time_goes_on_while_another_program_computes(make_kernel: MakeKernel) -> None:
    async with make_kernel(clock="real") as kernel:
        await kernel.spawn("spin")
        process = await kernel.spawn("clock", args=["1", "5"])
        ((begin, end),) = sleeps(await process.stdout.read_all())
    assert end - begin >= 5000
