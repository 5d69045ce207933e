"""A client or a server that is cancelled in the middle of a message; the other is served as if nothing had been."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.kernel.core import Core
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import (
    Attempt,
    clean,
    thread_of,
    until,
)
from tests.kernel import invariants


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
