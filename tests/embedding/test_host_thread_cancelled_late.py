"""A cancellation that comes when the call is complete: the result wins, and the cancellation comes after."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.mutex import Mutex
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import (
    Attempt,
    check_usable,
    clean,
    echo,
    has_ended,
    is_at_rest,
    pair,
    service,
    starved,
    until,
)


@pytest.mark.usefixtures("small_slices")
async def test_a_result_wins_that_the_thread_could_not_bring_yet(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both:
        await both.theirs.lock()
        attempt = Attempt(both.mutex.lock, way)
        attempt.start()
        await until(lambda: both.thread.waiting_for is not None)
        async with starved(kernel):
            await kernel.inspect(hand_over)
            assert not both.thread.stopped
            attempt.cancel()
            await attempt.over()
            assert attempt.has_returned
            assert is_at_rest(both.thread)
        with pytest.raises(fluke.SystemCallError, match="MUTEX_LOCKED"):
            await both.mutex.lock()
        await both.mutex.unlock()
        await check_usable(kernel, both.one)


def hand_over(core: Core) -> None:
    """Unlock every mutex, whoever owns it."""
    for each in tuple(core.objects.values()):
        if isinstance(each, Mutex) and each.locked:
            each.hand_over(core)


async def test_a_result_wins_of_which_the_task_does_not_know_yet(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        mutex = await me.mutex()
        attempt = Attempt(mutex.lock, way)
        attempt.start()
        await until(lambda: has_ended(me))
        attempt.cancel()
        await attempt.over()
        assert attempt.has_returned
        await mutex.unlock()


@pytest.mark.usefixtures("small_slices")
async def test_a_timeout_that_comes_too_late_is_still_a_timeout(make_kernel: MakeKernel) -> None:
    locked = False

    async def lock(mutex: fluke.HostMutex, limits: list[asyncio.Timeout]) -> None:
        nonlocal locked
        async with asyncio.timeout(None) as limit:
            limits.append(limit)
            await mutex.lock()
            locked = True
            await anyio.sleep_forever()

    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both:
        await both.theirs.lock()
        limits: list[asyncio.Timeout] = []
        task = asyncio.create_task(lock(both.mutex, limits))
        await until(lambda: both.thread.waiting_for is not None)
        async with starved(kernel):
            await kernel.inspect(hand_over)
            limits[0].reschedule(0)
            with pytest.raises(TimeoutError):
                await task
        assert locked
        assert task.cancelling() == 0
        await both.mutex.unlock()


async def test_a_mistake_wins_too(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        mutex = await me.mutex()
        await mutex.lock()

        async def lock_again() -> None:
            with pytest.raises(fluke.SystemCallError, match="MUTEX_LOCKED"):
                await mutex.lock()

        attempt = Attempt(lock_again, way)
        attempt.start()
        await until(lambda: has_ended(me))
        attempt.cancel()
        await attempt.over()
        assert attempt.has_returned
        await mutex.unlock()


async def test_a_cancellation_comes_though_every_call_is_complete_at_once(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        mutex = await me.mutex()

        async def lock_for_ever() -> None:
            while True:
                async with mutex:
                    pass

        for turns in range(6):
            attempt = Attempt(lock_for_ever, way)
            attempt.start()
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            before = kernel.statistics().system_calls
            attempt.cancel()
            await attempt.over()
            assert kernel.statistics().system_calls - before <= 4
            assert await mutex.trylock()
            await mutex.unlock()


async def test_objects_that_were_being_made_are_not_left_over(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        buffer = await me.buffer(1)
        region = await me.share(buffer)
        all_turns = 0
        for make in (me.mutex, me.cond, me.port, lambda: me.share(buffer), lambda: me.map(region, 1)):
            turns = 0
            while True:
                before = kernel.statistics().objects
                attempt = Attempt(make, way)
                attempt.start()
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                attempt.cancel()
                await attempt.over()
                await kernel.inspect(lambda _: None)
                if attempt.has_returned:
                    break
                assert kernel.statistics().objects == before
                turns += 1
            all_turns += turns
        assert all_turns > 12, "they were made too soon to be cancelled at many moments"


async def do_all(me: fluke.HostThread, port: fluke.HostPort, region: fluke.HostReference) -> None:
    """Every call that a host thread makes, in places where others take part."""
    shared = await me.map(region, 4096)
    mutex, cond = me.mutex_at(shared.address), me.cond_at(shared.address + 16)
    async with mutex:
        await cond.wait(mutex)
        shared.write(bytes([shared.read(64, 1)[0] + 1]), 64)
    own = await me.port()
    assert (await me.exchange(port, b"12345678", [own])).data == b"12345678"
    await me.sleep(0.001)
    await me.send(port, b"one way.")
    async with await me.mutex(), await me.mutex():
        await me.call(port)


@pytest.mark.usefixtures("small_slices")
async def test_a_task_cancelled_at_every_turn_leaves_the_others_unharmed(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), service(kernel, echo) as port, kernel.host_thread() as partner:
        page = await partner.buffer(4096)
        mutex, cond = await partner.mutex(page), await partner.cond(page, 16)
        region = await partner.share(page)

        async def signal_for_ever() -> None:
            while True:
                async with mutex:
                    await cond.broadcast()
                await anyio.lowlevel.checkpoint()

        done = False
        turns = 0
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(signal_for_ever)
            while not done:
                turns += 1
                async with kernel.host_thread() as me:
                    attempt = Attempt(lambda me=me: do_all(me, port, region), way)  # type: ignore[misc]
                    attempt.start()
                    for _ in range(turns):
                        await anyio.lowlevel.checkpoint()
                    done = attempt.has_returned
                    attempt.cancel()
                    await attempt.over()
                    await check_usable(kernel, me)
            tasks.cancel_scope.cancel()
        assert turns > 50, "it was over too soon to be cancelled at many moments"
        assert page.read(64, 1)[0] >= 1
        assert await mutex.trylock()
        await mutex.unlock()
