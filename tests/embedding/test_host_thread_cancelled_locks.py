"""Mutexes and conditions keep their promises when the task that holds or awaits them is cancelled."""

from __future__ import annotations

import asyncio

import anyio
import anyio.lowlevel

from fluke_async.kernel.objects.mutex import Mutex
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import (
    Attempt,
    clean,
    page_of,
    pair,
    thread_of,
    until,
)


async def test_who_waits_behind_comes_next(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both, kernel.host_thread() as third:
        page = page_of(both.one)
        seen = await third.map(await both.one.share(page), page.size)
        last = third.mutex_at(seen.address + both.mutex.address - page.address)
        async with both.theirs:
            first = Attempt(both.mutex.lock, way)
            first.start()
            await until(lambda: both.thread.waiting_for is not None)
            second = asyncio.create_task(last.lock())
            await until(lambda: thread_of(third).waiting_for is not None)
            first.cancel()
            await first.over()
            assert not second.done()
        await second
        assert not await both.mutex.trylock()
        await last.unlock()


async def test_a_mutex_is_given_back_though_its_block_is_cancelled(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both:

        async def hold() -> None:
            async with both.mutex:
                await anyio.sleep_forever()

        attempt = Attempt(hold, way)
        attempt.start()
        await until(lambda: bool(both.thread.owned))
        attempt.cancel()
        await attempt.over()
        assert await both.theirs.trylock()
        await both.theirs.unlock()


async def test_giving_a_mutex_back_is_not_cut_off(make_kernel: MakeKernel, way: str) -> None:
    """The block ends by itself; the cancellation comes while the mutex is being given back."""
    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both:
        for turns in range(8):
            at_end = anyio.Event()

            async def hold(at_end: anyio.Event = at_end) -> None:
                async with both.mutex:
                    at_end.set()

            attempt = Attempt(hold, way)
            attempt.start()
            await at_end.wait()
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            attempt.cancel()
            await attempt.over()
            assert await both.theirs.trylock()
            await both.theirs.unlock()


async def test_a_cancelled_wait_on_a_condition_has_the_mutex_again(make_kernel: MakeKernel, way: str) -> None:
    """Also where it has to wait for it first, and a second cancellation comes meanwhile."""
    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both:
        cond = await both.one.cond()
        owned: list[bool] = []

        async def wait() -> None:
            async with both.mutex:
                try:
                    await cond.wait(both.mutex)
                finally:
                    owned.append(bool(both.thread.owned))

        attempt = Attempt(wait, way)
        attempt.start()
        await until(lambda: both.thread.waiting_for is not None)
        async with both.theirs:
            attempt.cancel()
            await until(lambda: isinstance(both.thread.waiting_for, Mutex))
            attempt.cancel()
            for _ in range(20):
                await anyio.lowlevel.checkpoint()
            assert not attempt.task.done()
            assert owned == []
        await attempt.over()
        assert owned == [True]
        assert not attempt.has_returned
        assert await both.theirs.trylock()
        await both.theirs.unlock()


async def test_a_signal_that_a_cancelled_waiter_got_is_passed_on(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both, kernel.host_thread() as third:
        page = page_of(both.one)
        seen = await third.map(await both.one.share(page), page.size)
        cond = await both.one.cond()
        their_cond = both.other.cond_at(both.theirs.address + cond.address - both.mutex.address)
        third_mutex = third.mutex_at(seen.address + both.mutex.address - page.address)
        third_cond = third.cond_at(seen.address + cond.address - page.address)

        async def wait() -> None:
            async with both.mutex:
                await cond.wait(both.mutex)

        async def wait_behind() -> None:
            async with third_mutex:
                await third_cond.wait(third_mutex)

        attempt = Attempt(wait, way)
        attempt.start()
        await until(lambda: both.thread.waiting_for is not None)
        behind = asyncio.create_task(wait_behind())
        await until(lambda: thread_of(third).waiting_for is not None)
        async with both.theirs:
            await their_cond.signal()
            await until(lambda: isinstance(both.thread.waiting_for, Mutex))
            attempt.cancel()
            await anyio.lowlevel.checkpoint()
        await attempt.over()
        assert not attempt.has_returned
        with anyio.fail_after(5):
            await behind


async def test_a_wait_on_a_condition_that_has_not_begun_keeps_the_mutex(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        mutex, cond = await me.mutex(), await me.cond()
        for turns in range(12):
            await mutex.lock()
            attempt = Attempt(lambda: cond.wait(mutex), way)
            attempt.start()
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            attempt.cancel()
            await attempt.over()
            assert not attempt.has_returned
            await mutex.unlock()  # it is owned, whenever the cancellation came
