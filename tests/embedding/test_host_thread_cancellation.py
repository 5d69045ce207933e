"""
A cancelled await interrupts its call, unless that is complete: then its result wins, and the cancellation comes after.

Every moment is tried: before the kernel knows of the call, before its turn, in every kind of wait, on the way from a
wait to its end, in the middle of a message, at the end before the task knows of it; by scope and by task.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import ObjectType
from fluke_async.device import DevicePort
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import (
    Attempt,
    clean,
    echo,
    has_ended,
    page_of,
    reorder,
    service,
    serving,
    thread_of,
    until,
)
from tests.kernel import invariants

PRIORITY = 31


@pytest.fixture(params=["native", "scope"])
def way(request: pytest.FixtureRequest) -> str:
    """How a task is cancelled."""
    name: str = request.param
    return name


def is_at_rest(thread: Thread) -> bool:
    """Whether nothing is left of a call but its registers."""
    return (
        thread.stopped
        and thread.waiting_for is None
        and thread.place is None
        and thread.stack is None
        and thread.callee is None
        and thread.request is None
        and not thread.in_kernel
        and not thread.wait_order
        and thread.host is not None
        and not thread.host.issued
    )


@asynccontextmanager
async def starved(kernel: fluke.Kernel) -> AsyncIterator[None]:
    """Nobody else gets a turn during the block."""
    process = await kernel.spawn("spin")
    await reorder(kernel, process, PRIORITY)
    yield
    await process.kill()


class Pair:
    """Two host threads and a mutex that both can lock."""

    def __init__(self, one: fluke.HostThread, other: fluke.HostThread) -> None:
        self.one = one
        self.other = other

    async def set_up(self) -> None:
        self.mutex = await self.one.mutex()
        page = page_of(self.one)
        seen = await self.other.map(await self.one.share(page), page.size)
        self.theirs = self.other.mutex_at(seen.address + self.mutex.address - page.address)

    @property
    def thread(self) -> Thread:
        return thread_of(self.one)


@asynccontextmanager
async def pair(kernel: fluke.Kernel) -> AsyncIterator[Pair]:
    async with kernel.host_thread() as one, kernel.host_thread() as other:
        both = Pair(one, other)
        await both.set_up()
        yield both


async def check_usable(kernel: fluke.Kernel, me: fluke.HostThread) -> None:
    """A host thread that was cut off is as good as new."""
    assert is_at_rest(thread_of(me))
    await kernel.inspect(invariants.check)
    mutex = await me.mutex()
    async with mutex:
        await me.sleep(0)


# -- before it waits --------------------------------------------------------------------------------------------------


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


# -- while it waits ---------------------------------------------------------------------------------------------------


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


async def test_a_client_that_has_left_is_not_answered(make_kernel: MakeKernel, way: str) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as server, kernel.host_thread() as me:
        port = await server.port()
        attempt = Attempt(lambda: me.call(port, b"first..."), way)
        attempt.start()
        requests = server.serve(port)
        request = await anext(requests)
        attempt.cancel()
        await attempt.over()
        assert thread_of(server).client is None
        await request.reply(b"nobody..")
        call = asyncio.create_task(me.call(port, b"second.."))
        again = await anext(requests)
        assert again.data == b"second.."
        await again.reply(b"answer..")
        assert await call == b"answer.."


# -- in the middle of a message ---------------------------------------------------------------------------------------


class LongMessages:
    """A client, a server, and a message so long that who copies it is preempted in the middle."""

    data = bytes(range(256)) * 1000

    def __init__(self, kernel: fluke.Kernel, server: fluke.HostThread, client: fluke.HostThread) -> None:
        self.kernel = kernel
        self.server, self.client = server, client
        self.seen: list[bytes] = []
        self.served = anyio.Event()

    async def call(self, port: fluke.HostPort) -> bytes:
        return await self.client.call(port, self.data, bytes_max=len(self.data))

    async def receive(self, port: fluke.HostPort) -> fluke.Request:
        return await anext(self.server.serve(port, bytes_max=len(self.data)))

    async def be_preempted_soon(self, me: fluke.HostThread) -> None:
        await self.kernel.spawn("spin")

        def shorten(_: Core) -> None:
            thread_of(me).quantum_left = 5000

        await self.kernel.inspect(shorten)


@asynccontextmanager
async def long_messages(make_kernel: MakeKernel) -> AsyncIterator[LongMessages]:
    async with make_kernel() as kernel, kernel.host_thread() as server, kernel.host_thread() as client:
        yield LongMessages(kernel, server, client)
        await kernel.inspect(invariants.check)


@pytest.fixture
def make_preemptive_kernel(model: str) -> MakeKernel:
    return lambda: fluke.Kernel(model=model, preemption="partial")


@pytest.mark.usefixtures("small_slices")
async def test_a_client_leaves_in_the_middle_of_its_request(make_preemptive_kernel: MakeKernel, way: str) -> None:
    async with long_messages(make_preemptive_kernel) as long:
        port = await long.server.port()
        receiving = asyncio.create_task(long.receive(port))
        await until(lambda: thread_of(long.server).waiting_for is not None)
        await long.client._context.known(port)
        await long.be_preempted_soon(long.client)
        attempt = Attempt(lambda: long.call(port), way)
        attempt.start()
        await until(lambda: thread_of(long.client).in_kernel)
        assert thread_of(long.server).client is thread_of(long.client)
        attempt.cancel()
        await attempt.over()
        assert not attempt.has_returned
        assert not receiving.done()
        assert thread_of(long.server).client is None
        again = asyncio.create_task(long.call(port))
        request = await receiving
        assert request.data == long.data
        await request.reply(b"whole...")
        assert await again == b"whole..."


@pytest.mark.usefixtures("small_slices")
async def test_a_server_leaves_in_the_middle_of_a_request(make_preemptive_kernel: MakeKernel, way: str) -> None:
    async with long_messages(make_preemptive_kernel) as long:
        port = await long.server.port()
        calling = asyncio.create_task(long.call(port))
        await until(lambda: thread_of(long.client).waiting_for is not None)
        await long.server._context.create("ref")
        await long.be_preempted_soon(long.server)
        attempt = Attempt(lambda: long.receive(port), way)
        attempt.start()
        await until(lambda: thread_of(long.server).in_kernel and thread_of(long.server).client is not None)
        attempt.cancel()
        await attempt.over()
        assert not attempt.has_returned
        assert thread_of(long.server).client is None
        request = await long.receive(port)
        assert request.data == long.data
        await request.reply(b"whole...")
        assert await calling == b"whole..."


@pytest.mark.usefixtures("small_slices")
async def test_a_reply_that_was_cut_off_is_given_again(make_preemptive_kernel: MakeKernel, way: str) -> None:
    async with long_messages(make_preemptive_kernel) as long:
        port = await long.server.port()
        calling = asyncio.create_task(long.call(port))
        request = await long.receive(port)
        await long.be_preempted_soon(long.server)
        attempt = Attempt(lambda: request.reply(long.data[::-1]), way)
        attempt.start()
        await until(lambda: thread_of(long.server).in_kernel)
        attempt.cancel()
        await attempt.over()
        assert not attempt.has_returned
        assert not calling.done()
        await request.reply(long.data)
        assert await calling == long.data


# -- when it is complete ----------------------------------------------------------------------------------------------


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


# -- what must hold nevertheless --------------------------------------------------------------------------------------


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


# -- every moment of everything ---------------------------------------------------------------------------------------


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
