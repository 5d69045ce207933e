"""
A cancelled await interrupts its call, unless that is complete: then its result wins, and the cancellation comes after.

Every moment is tried: before the kernel knows of the call, before its turn, in every kind of wait, on the way from a
wait to its end, in the middle of a message, at the end before the task knows of it; by scope and by task.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import ObjectType
from fluke_async.device import DevicePort
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import (
    Attempt,
    Pair,
    check_usable,
    clean,
    is_at_rest,
    pair,
    serving,
    starved,
    thread_of,
    until,
)


class Undecided:
    """A device that keeps the kernel waiting."""

    def __init__(self) -> None:
        self.may_decide = anyio.Event()

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            await self.may_decide.wait()
            request.reply()


@pytest.mark.parametrize("act", ["lock", "wait", "block"])
async def test_a_call_that_the_kernel_does_not_know_yet(make_kernel: MakeKernel, way: str, act: str) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me, kernel.host_thread() as other:
        mutex, cond = await me.mutex(), await me.cond()
        device = Undecided()
        port = kernel.plug_in(device)
        waiting = asyncio.create_task(other.call(port))
        await until(lambda: port.is_unsettled)
        before = kernel.statistics().system_calls
        attempt = Attempt({"lock": mutex.lock, "wait": lambda: cond.wait(mutex), "block": mutex.__aenter__}[act], way)
        attempt.start()
        await anyio.lowlevel.checkpoint()
        attempt.cancel()
        if act != "wait":  # which is not withdrawn: only the kernel knows whether the mutex has to be locked again
            await attempt.over()
        device.may_decide.set()
        await attempt.over()
        assert not attempt.has_returned
        await waiting
        assert kernel.statistics().system_calls == before
        await check_usable(kernel, me)


@pytest.mark.usefixtures("small_slices")
async def test_a_call_that_has_not_had_its_turn(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        mutex = await me.mutex()
        async with starved(kernel):
            attempt = Attempt(mutex.lock, way)
            attempt.start()
            await until(lambda: not thread_of(me).stopped)
            attempt.cancel()
            await attempt.over()
            assert not attempt.has_returned
        assert await mutex.trylock()
        await mutex.unlock()
        await check_usable(kernel, me)


async def wait_for_mutex(both: Pair, stack: AsyncExitStack) -> Callable[[], Awaitable[object]]:
    await stack.enter_async_context(both.theirs)
    return both.mutex.lock


async def wait_for_cond(both: Pair, stack: AsyncExitStack) -> Callable[[], Awaitable[object]]:
    cond = await both.one.cond()
    await stack.enter_async_context(both.mutex)
    return lambda: cond.wait(both.mutex)


async def wait_for_server(both: Pair, _: AsyncExitStack) -> Callable[[], Awaitable[object]]:
    port = await both.other.port()
    return lambda: both.one.call(port)


async def wait_for_receiver(both: Pair, _: AsyncExitStack) -> Callable[[], Awaitable[object]]:
    port = await both.other.port()
    return lambda: both.one.send(port)


async def wait_for_reply(both: Pair, stack: AsyncExitStack) -> Callable[[], Awaitable[object]]:
    async def ignore(me: fluke.HostThread, port: fluke.HostPort) -> None:
        await anext(me.serve(port))
        await anyio.sleep_forever()

    port = await stack.enter_async_context(serving(ignore, both.other))
    return lambda: both.one.call(port)


async def wait_for_request(both: Pair, _: AsyncExitStack) -> Callable[[], Awaitable[object]]:
    port = await both.one.port()
    return lambda: anext(both.one.serve(port))


async def wait_for_timer(both: Pair, stack: AsyncExitStack) -> Callable[[], Awaitable[object]]:
    await stack.enter_async_context(both.theirs)  # the clock does not jump
    return lambda: both.one.sleep(1e6)


WAITS = {
    "mutex": (wait_for_mutex, ObjectType.MUTEX),
    "condition": (wait_for_cond, ObjectType.COND),
    "port, with a call": (wait_for_server, ObjectType.PORT),
    "port, with a one-way message": (wait_for_receiver, ObjectType.PORT),
    "reply": (wait_for_reply, ObjectType.THREAD),
    "port set": (wait_for_request, ObjectType.PORTSET),
    "device": (wait_for_timer, ObjectType.PORT),
}


@pytest.mark.parametrize("wait", WAITS)
async def test_every_kind_of_wait_is_cut_off(make_kernel: MakeKernel, way: str, wait: str) -> None:
    prepare, type_ = WAITS[wait]
    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both:
        thread = both.thread
        async with AsyncExitStack() as stack:
            attempt = Attempt(await prepare(both, stack), way)
            attempt.start()
            await until(lambda: thread.waiting_for is not None)
            if wait == "reply":
                await until(lambda: thread.waiting_for is not None and thread.waiting_for.type is ObjectType.THREAD)
            target = thread.waiting_for
            assert target is not None
            assert target.type is type_
            attempt.cancel()
            await attempt.over()
            assert not attempt.has_returned
            assert thread not in tuple(target.queue().in_order())
            assert is_at_rest(thread)
            assert both.mutex.owner.caller.thread is thread
        await check_usable(kernel, both.one)


@pytest.mark.usefixtures("small_slices")
async def test_a_call_that_was_woken_to_look_again_is_cut_off(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), pair(kernel) as both:
        await both.theirs.lock()
        attempt = Attempt(both.mutex.lock, way)
        attempt.start()
        await until(lambda: both.thread.waiting_for is not None)
        async with starved(kernel):
            await kernel.inspect(lambda core: core.wake(both.thread))
            assert both.thread.in_kernel
            attempt.cancel()
            await attempt.over()
            assert not attempt.has_returned
        await both.theirs.unlock()
        await check_usable(kernel, both.one)
