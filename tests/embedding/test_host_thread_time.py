"""The clock, and deadlocks: what a task may still do keeps both away, what it waits for in the kernel does not."""

from __future__ import annotations

import anyio
import pytest

from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import RECEIVES_FROM_NOBODY, idle
from tests.embedding.host_tasks import (
    echo,
    page_of,
    service,
    serving,
    thread_of,
    until,
)

SECOND_NS = 10**9


async def test_time_does_not_jump_while_a_client_is_being_served(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as server:
        port = await server.port()
        client = await kernel.spawn("service_client", args=["call", "port", "hello"], services={"port": port})
        request = await anext(server.serve(port))
        sleeper = await kernel.spawn("clock", args=["1", "1000"])
        await idle()
        assert kernel.statistics().time_ns < SECOND_NS
        assert not sleeper.has_ended
        await request.reply(request.data)
        assert (await client.wait()).reason == "exited"
        assert (await sleeper.wait()).reason == "exited"
        assert kernel.statistics().time_ns > SECOND_NS


async def test_time_does_not_jump_while_the_task_owns_a_mutex(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as me:
        async with await me.mutex():
            sleeper = await kernel.spawn("clock", args=["1", "1000"])
            await idle()
            assert kernel.statistics().time_ns < SECOND_NS
            await me.sleep(2)  # it waits in the kernel: now the clock may
            assert kernel.statistics().time_ns > 2 * SECOND_NS
            assert (await sleeper.wait()).reason == "exited"
        sleeper = await kernel.spawn("clock", args=["1", "1000"])
        assert (await sleeper.wait()).reason == "exited"


@pytest.mark.parametrize("state", ["spent", "suspended"])
async def test_time_jumps_where_the_client_could_not_go_on(make_kernel: MakeKernel, state: str) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as server:
        port = await server.port()
        client = await kernel.spawn("service_client", args=["call", "port", "hello"], services={"port": port})
        request = await anext(server.serve(port))
        loaded = client.loaded
        assert loaded is not None

        def halt() -> None:
            if state == "spent":
                loaded.account.instructions_left = 0
            else:
                loaded.account.is_suspended = True

        await kernel.inspect(lambda _: halt())
        sleeper = await kernel.spawn("clock", args=["1", "1000"])
        assert (await sleeper.wait()).reason == "exited"
        await request.reply()


async def test_time_jumps_while_the_task_does_something_else(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread():
        sleeper = await kernel.spawn("clock", args=["1", "1000"])
        assert (await sleeper.wait()).reason == "exited"


async def test_no_deadlock_is_declared_while_a_task_may_still_act(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        async with kernel.host_thread() as me:
            process = await kernel.spawn(RECEIVES_FROM_NOBODY)
            await idle()
            assert not process.has_ended
            async with serving(echo, me):
                assert (await process.wait()).reason == "deadlock"
                assert thread_of(me).waiting_for is not None, "a host thread is no process to be ended"
            process = await kernel.spawn(RECEIVES_FROM_NOBODY)
            await idle()
            assert not process.has_ended
        assert (await process.wait()).reason == "deadlock"


async def test_a_deadlock_with_a_host_thread_that_waits_is_one(make_kernel: MakeKernel) -> None:
    """The one waits for a request and the other for an answer that nobody gives."""
    async with make_kernel() as kernel, kernel.host_thread() as server:
        port = await server.port()
        client = await kernel.spawn("service_client", args=["call", "port", "hello"], services={"port": port})
        await anext(server.serve(port))
        await idle()
        assert not client.has_ended
        async with kernel.host_thread() as me, anyio.create_task_group() as tasks:
            mutex = await server.mutex()
            page = page_of(server)
            seen = await me.map(await server.share(page), page.size)
            theirs = me.mutex_at(seen.address + mutex.address - page.address)
            await theirs.lock()
            tasks.start_soon(mutex.lock)
            await until(lambda: thread_of(server).waiting_for is not None)
            await idle()
            assert not client.has_ended  # the other task could unlock it
            async with serving(echo, me):
                exit_ = await client.wait()
            assert exit_.reason == "deadlock"
            assert "ipc_call waits for thread" in exit_.message
            await theirs.unlock()


async def test_host_threads_that_talk_use_little_time(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, service(kernel, echo) as port, kernel.host_thread() as me:
        assert await me.call(port, b"8 bytes.") == b"8 bytes."
        begun = kernel.statistics().time_ns
        for _ in range(5):
            await me.call(port, b"8 bytes.")
        assert kernel.statistics().time_ns - begun < 20_000  # nothing but the calls
