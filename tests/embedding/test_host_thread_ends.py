"""The end of a host thread, however it comes, leaves nothing behind and lets everybody go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.core import Core
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import idle
from tests.embedding.host_tasks import (
    clean,
    echo,
    page_of,
    service,
    thread_of,
    until,
)
from tests.embedding.test_lifecycle import other_tasks

ENDED, STOPPED = "this host thread has ended", "kernel has stopped"


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    before = other_tasks()
    yield
    await idle()
    assert other_tasks() == before


async def furnish(me: fluke.HostThread) -> fluke.HostMutex:
    """Let a host thread have something of everything."""
    await me.port()
    await me.share(await me.buffer(3 * PAGE_SIZE))
    await me.cond()
    await me.sleep(0)
    mutex = await me.mutex()
    await mutex.lock()
    return mutex


async def test_nothing_is_left_of_a_host_thread(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        for _ in range(3):
            async with clean(kernel), kernel.host_thread() as me:
                mutex = await furnish(me)
                buffer = await me.buffer(1)
            for act in (mutex.unlock, me.port, lambda: me.buffer(1), lambda: me.sleep(1), lambda: me.call(me.space)):
                with pytest.raises(fluke.FlukeError, match=ENDED):
                    await act()
            for touch in (buffer.read, partial(buffer.write, b"x")):
                with pytest.raises(fluke.FlukeError, match=ENDED):
                    touch()
        assert kernel.statistics().memory_used_bytes == 0


async def test_leaving_by_an_exception(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel):
        with pytest.raises(LookupError, match="mine"):
            async with kernel.host_thread() as me:
                await furnish(me)
                raise LookupError("mine")


@pytest.mark.parametrize("way", ["native", "scope"])
async def test_leaving_by_cancellation_at_any_turn(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel):
        for turns in range(60):
            scope, done = anyio.CancelScope(), False

            async def live(scope: anyio.CancelScope = scope) -> None:
                nonlocal done
                with scope:
                    async with kernel.host_thread() as me:
                        await furnish(me)
                    done = True

            task = asyncio.create_task(live())
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
            if way == "native":
                task.cancel()
            else:
                scope.cancel()
            with anyio.fail_after(5):
                await asyncio.wait([task])
            assert task.cancelled() or scope.cancelled_caught or done
            if done:
                break
        else:
            raise AssertionError("it never came to its end")
        await kernel.inspect(lambda _: None)


async def test_a_call_of_another_task_ends_with_the_block(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel):
        async with kernel.host_thread() as me, kernel.host_thread() as other:
            waits = asyncio.create_task(me.call(await other.port()))
            await until(lambda: thread_of(me).waiting_for is not None)
            queued = asyncio.create_task(other.sleep(0))
            await anyio.lowlevel.checkpoint()
        for task in (waits, queued):
            with anyio.fail_after(5):
                await asyncio.wait([task])
        with pytest.raises(fluke.FlukeError, match=ENDED):
            await waits
        assert isinstance(queued.exception(), fluke.FlukeError | None)


async def test_a_mutex_of_others_stays_locked_when_its_owner_ends(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        mutex = await me.mutex()
        region = await me.share(page_of(me))
        async with kernel.host_thread() as other:
            page = await other.map(region, PAGE_SIZE)
            await other.mutex_at(page.address + mutex.address - page_of(me).address).lock()
        assert not await mutex.trylock()
        await me.system_call("mutex_destroy", mutex=mutex)


async def test_leaving_the_kernel_ends_host_threads(make_kernel: MakeKernel) -> None:
    started = anyio.Event()

    async def live(kernel: fluke.Kernel) -> None:
        async with kernel.host_thread() as me, await me.mutex():
            started.set()
            await me.sleep(1e6)

    async with make_kernel() as kernel, kernel.host_thread() as holds, await holds.mutex():  # so no time passes
        task = asyncio.create_task(live(kernel))
        await started.wait()
        await idle()
        await kernel.spawn("spin")
    with pytest.raises(fluke.FlukeError, match=f"{ENDED}|{STOPPED}"):
        await task
    now = kernel.statistics()
    assert (now.memory_used_bytes, now.objects, now.frames, now.processes) == (0, 0, 0, 0)


async def test_a_kernel_that_has_stopped_has_no_host_threads(make_kernel: MakeKernel) -> None:
    kernel = make_kernel()
    with pytest.raises(fluke.FlukeError, match="has not been started"):
        async with kernel.host_thread():
            pass
    async with kernel:
        pass
    with pytest.raises(fluke.FlukeError, match=STOPPED):
        async with kernel.host_thread():
            pass


async def test_the_body_of_a_kernel_may_end_in_the_middle_of_everything(make_kernel: MakeKernel) -> None:
    """Every turn of the event loop is tried; nothing hangs, and nothing is left."""
    for turns in range(0, 90, 3):
        async with make_kernel() as kernel:
            task = asyncio.create_task(talk(kernel))
            for _ in range(turns):
                await anyio.lowlevel.checkpoint()
        with anyio.fail_after(5):
            await asyncio.wait([task])
        errors = [task.exception()]
        while errors:
            error = errors.pop()
            if isinstance(error, BaseExceptionGroup):
                errors += error.exceptions
            else:
                assert isinstance(error, fluke.FlukeError | None)
        assert kernel.statistics().memory_used_bytes == 0


async def talk(kernel: fluke.Kernel) -> None:
    """Two host threads that call and serve."""
    async with service(kernel, echo) as port, kernel.host_thread() as me:
        for _ in range(2):
            async with await me.mutex():
                await me.call(port, b"8 bytes.")
                await me.sleep(1)


def break_down(core: Core) -> None:
    """Have the kernel fail at its next step."""

    def slip() -> None:
        raise ZeroDivisionError("a slip")

    core.at(core.time, slip)


async def test_whoever_is_in_a_call_when_the_kernel_breaks_is_told(make_kernel: MakeKernel) -> None:
    async def wait(kernel: fluke.Kernel, started: anyio.Event) -> None:
        async with kernel.host_thread() as me:
            started.set()
            await anext(me.serve(await me.port()))

    with pytest.raises(fluke.KernelBug, match="a slip") as caught:
        async with make_kernel() as kernel:
            started = anyio.Event()
            elsewhere = asyncio.create_task(wait(kernel, started))
            await started.wait()
            await idle()
            async with kernel.host_thread() as me, await me.mutex() as mutex:
                await kernel.inspect(break_down)
                await me.sleep(1)
    assert "host thread: " in str(caught.value)
    with anyio.fail_after(5), pytest.raises(fluke.FlukeError, match=STOPPED):
        await elsewhere
    with pytest.raises(fluke.FlukeError, match=STOPPED):
        await mutex.unlock()


class Breaks:
    """A device that fails when it is told to."""

    def __init__(self) -> None:
        self.now = anyio.Event()

    async def run(self, port: fluke.device.DevicePort) -> None:
        async for _ in port:
            await self.now.wait()
            raise RuntimeError("the device is broken")


async def test_a_cancelled_call_does_not_wait_for_a_kernel_that_breaks(make_kernel: MakeKernel) -> None:
    device = Breaks()
    with pytest.raises(RuntimeError, match="the device is broken"):
        async with make_kernel() as kernel:
            port = kernel.plug_in(device)
            async with kernel.host_thread() as me, kernel.host_thread() as other:
                mutex, cond = await me.mutex(), await me.cond()
                async with mutex:
                    waiting = asyncio.create_task(cond.wait(mutex))
                    await until(lambda: thread_of(me).waiting_for is not None)
                    calling = asyncio.create_task(other.call(port))
                    await until(lambda: port.is_unsettled)
                    waiting.cancel()  # it has to ask the kernel, which waits for the device
                    await idle()
                    assert not waiting.done()
                    device.now.set()
                    with anyio.CancelScope(shield=True):
                        await asyncio.wait([waiting])
                    assert waiting.cancelled()
    with pytest.raises(fluke.FlukeError, match=STOPPED):
        await calling


async def test_host_threads_of_a_device(make_kernel: MakeKernel) -> None:
    """A device may have a host thread; it is in no hurry at the end."""

    class Locks:
        async def run(self, port: fluke.device.DevicePort) -> None:
            async with kernel.host_thread() as me:
                mutex = await me.mutex()
                ready.set()
                async for request in port:
                    request.defer()
                    async with mutex:
                        pass
                    port.post(lambda request=request: request.reply(7))  # type: ignore[misc]

    ready = anyio.Event()
    async with make_kernel() as kernel:
        port = kernel.plug_in(Locks())
        await ready.wait()
        async with kernel.host_thread() as me:
            assert (await me.exchange(port, [1])).words == (7,)
    assert kernel.statistics().memory_used_bytes == 0


async def test_host_threads_by_the_hundred(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), service(kernel, echo) as port:

        async def call(number: int) -> None:
            async with kernel.host_thread() as me:
                assert (await me.exchange(port, [number])).words == (number,)

        async with anyio.create_task_group() as tasks:
            for number in range(100):
                tasks.start_soon(call, number)
