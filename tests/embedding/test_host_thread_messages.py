"""Host threads call and serve: each other, programs, devices; references and memory travel with messages."""

from __future__ import annotations

import anyio
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import PAGE_SIZE, ObjectType, Prot, Status
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import idle
from tests.embedding.host_tasks import (
    clean,
    echo,
    service,
    serving,
)


async def test_a_call_brings_the_reply(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), service(kernel, echo) as port, kernel.host_thread() as me:
        assert await me.call(port, b"as it is") == b"as it is"
        assert await me.call(port, b"filled up") == b"filled up" + bytes(7)
        assert await me.call(port, bytearray(b"12345678")) == b"12345678"
        assert await me.call(port, (1, 2**64 - 1)) == bytes([1, *bytes(7), *b"\xff" * 8])
        assert (await me.exchange(port, [7, 8])).words == (7, 8)
        assert await me.call(port) == b""


async def test_a_long_message_arrives_whole_and_what_does_not_fit_is_cut_off(make_kernel: MakeKernel) -> None:
    data = bytes(range(256)) * 1000
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as server, kernel.host_thread() as me:
        port = await server.port()

        async def mirror() -> None:
            async for request in server.serve(port, bytes_max=len(data)):
                await request.reply(request.data[::-1])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mirror)
            assert await me.call(port, data, bytes_max=len(data)) == data[::-1]
            assert await me.call(port, data, bytes_max=100) == data[::-1][:96]  # whole words
            assert await me.call(port, data, bytes_max=0) == b""
            assert await me.call(port, b"8 bytes.") == b"8 bytes."[::-1]
            tasks.cancel_scope.cancel()


@pytest.mark.parametrize("data", ["text", [1 << 64], [-1], [1.5], 5, None])
async def test_what_is_no_message_is_refused(data: object) -> None:
    async with fluke.Kernel() as kernel, kernel.host_thread() as me:
        port = await me.port()
        with pytest.raises(fluke.FlukeError, match="cannot be sent"):
            await me.call(port, data)  # type: ignore[arg-type]


async def test_counts_that_cannot_be_are_refused() -> None:
    async with fluke.Kernel() as kernel, kernel.host_thread() as me:
        port = await me.port()
        for act in (
            lambda: me.exchange(port, references_max=256),
            lambda: me.exchange(port, references_max=-1),
            lambda: me.exchange(port, references=[port] * 256),
            lambda: me.call(port, bytes_max=-1),
            lambda: me.call("port"),  # type: ignore[arg-type]
            lambda: me.map(port.reference, 0),
        ):
            with pytest.raises(fluke.FlukeError, match=r"at most|from 0 up|give a port or reference|positive size"):
                await act()


async def test_one_way_messages_are_not_answered(make_kernel: MakeKernel) -> None:
    seen: list[tuple[bytes, bool]] = []
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as server, kernel.host_thread() as me:

        async def note(server: fluke.HostThread, port: fluke.HostPort) -> None:
            async for request in server.serve(port):
                seen.append((request.data, request.is_one_way))
                await request.reply(b"to nobody" if request.is_one_way else b"to you")

        async with serving(note, server) as port:
            await me.send(port, b"one way.", [me.space])
            assert await me.call(port, b"a call..") == b"to you" + bytes(2)
    assert seen == [(b"one way.", True), (b"a call..", False)]


async def test_references_travel_in_both_directions(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), service(kernel, echo) as port, kernel.host_thread() as me:
        mine = await me.port()
        reply = await me.exchange(port, b"", [mine, me.space, port])
        assert [await each.type() for each in reply.references] == [
            ObjectType.PORT,
            ObjectType.SPACE,
            ObjectType.PORT,
        ]
        same = await me.system_call("ref_compare", ref=reply.references[0], other=mine.reference)
        assert same.status == 1
        assert await me.call(reply.references[2], b"by it...") == b"by it..."
        for each in reply.references:
            await each.release()
        before = kernel.statistics().objects
        for _ in range(3):
            for each in (await me.exchange(port, b"", [me.space] * 4)).references:
                await each.release()
        assert kernel.statistics().objects <= before + 8  # four wait to be filled on either side
        assert (await me.exchange(port, b"", [me.space] * 4, references_max=2)).references[2:] == ()
        assert (await me.exchange(port, b"", [me.space], references_max=0)).references == ()


async def test_references_that_are_released_make_room_for_others(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        await (await me._context.new_reference()).release()
        before = kernel.statistics().memory_used_bytes
        for _ in range(300):  # more than fit into a page
            await (await me._context.new_reference()).release()
        await kernel.inspect(lambda _: None)
        assert kernel.statistics().memory_used_bytes == before


async def test_a_port_that_is_gone_is_told(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        async with kernel.host_thread() as server:
            port = await server.port()
            async with serving(echo, server) as known:
                reference = (await me.exchange(known, references=[port])).references[0]
                assert await reference.type() == ObjectType.PORT
        assert await reference.type() == ObjectType.NULL
        for act in (lambda: me.call(reference), lambda: me.send(reference)):
            with pytest.raises(fluke.SystemCallError, match="use a port that is there") as caught:
                await act()
            assert caught.value.status in (Status.INVALID_DEST, Status.IPC_CONNECT_INVALID_DEST)
        with pytest.raises(fluke.FlukeError, match="is not there any more"):
            await me.call(port)
        with pytest.raises(fluke.FlukeError, match="is not there any more"):
            await kernel.spawn("hello", services={"port": port})


async def test_a_server_that_ends_lets_its_client_go(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        failed = anyio.Event()

        async def call(port: fluke.HostPort) -> None:
            with pytest.raises(fluke.SystemCallError) as caught:
                await me.call(port)
            assert caught.value.status is Status.IPC_CONNECT_INVALID_DEST
            failed.set()

        async with anyio.create_task_group() as tasks:
            async with kernel.host_thread() as server:
                port = await server.port()
                tasks.start_soon(call, port)
                async for _ in server.serve(port):
                    break
                assert not failed.is_set()
            await failed.wait()


async def test_a_request_is_answered_once_and_before_the_next(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as server, kernel.host_thread() as me:
        port = await server.port()
        replies: list[bytes] = []

        async def call() -> None:
            replies.append(await me.call(port, b"request."))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            requests = server.serve(port)
            unanswered = await anext(requests)
            again = await anext(requests)  # its client calls again
            assert (unanswered.data, again.data) == (b"request.", b"request.")
            with pytest.raises(fluke.FlukeError, match="not being served any more"):
                await unanswered.reply(b"too late")
            await again.reply(b"in time.")
            with pytest.raises(fluke.FlukeError, match="not being served any more"):
                await again.reply(b"twice...")
        assert replies == [b"in time."]


async def test_serving_and_calling_mix(make_kernel: MakeKernel) -> None:
    """A server calls another, locks and sleeps while a client waits for it."""

    async def forward(front: fluke.HostThread, port: fluke.HostPort) -> None:
        mutex = await front.mutex()
        async for request in front.serve(port):
            async with mutex:
                await front.sleep(1)
                await request.reply(await front.call(deep, request.data + b"forward!"))

    async with (
        make_kernel() as kernel,
        clean(kernel),
        service(kernel, echo) as deep,
        service(kernel, forward) as port,
        kernel.host_thread() as me,
    ):
        for _ in range(3):
            assert await me.call(port, b"go there") == b"go thereforward!"
        assert kernel.statistics().time_ns >= 3 * 10**9


async def test_clients_are_served_in_order(make_kernel: MakeKernel) -> None:
    order: list[int] = []

    async def call(kernel: fluke.Kernel, port: fluke.HostPort, number: int, made: anyio.Event) -> None:
        async with kernel.host_thread() as me:
            reference = await me._context.known(port)
            made.set()
            await me.call(reference, [number])

    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as server:
        port = await server.port()
        async with anyio.create_task_group() as tasks:
            for number in range(6):
                made = anyio.Event()
                tasks.start_soon(call, kernel, port, number, made)
                await made.wait()
            await idle()
            async for request in server.serve(port):
                order.append(request.words[0])
                await request.reply()
                if len(order) == 6:
                    break
    assert order == list(range(6))


async def test_memory_is_shared_by_reference(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as one, kernel.host_thread() as other:
        pages = await one.buffer(3 * PAGE_SIZE)
        pages.write(b"third", 2 * PAGE_SIZE)
        region = await one.share(pages)
        seen = await other.map(region, PAGE_SIZE, offset=2 * PAGE_SIZE)
        assert seen.read(0, 5) == b"third"
        seen.write(b"THIRD")
        assert pages.read(2 * PAGE_SIZE, 5) == b"THIRD"

        read_only = await other.map(await one.share(pages, Prot.READ), PAGE_SIZE)
        assert read_only.read(0, 1) == b"\0"
        with pytest.raises(fluke.SystemCallError, match=r"writing 1 bytes at .* STORE_FAULT"):
            read_only.write(b"x")
        beyond = await other.map(region, 4 * PAGE_SIZE)
        with pytest.raises(fluke.SystemCallError, match=r"reading 1 bytes at .* LOAD_FAULT"):
            beyond.read(3 * PAGE_SIZE, 1)
        with pytest.raises(fluke.SystemCallError, match="mapping_set_state: NOT_ALIGNED"):
            await other.map(region, PAGE_SIZE, offset=5)
        with pytest.raises(fluke.SystemCallError, match="mapping_set_state: NOT_REGION_REF"):
            await other.map(other.space, PAGE_SIZE)


async def test_shared_memory_goes_with_its_owner(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        async with kernel.host_thread() as owner:
            page = await owner.buffer(PAGE_SIZE)
            await owner.mutex(page)
            seen = await me.map(await owner.share(page), PAGE_SIZE)
            mutex = me.mutex_at(seen.address)
            async with mutex:
                seen.write(b"there", 64)
        for act in (lambda: seen.read(64, 5), lambda: seen.write(b"?")):
            with pytest.raises(fluke.SystemCallError, match="_FAULT"):
                act()
        with pytest.raises(fluke.SystemCallError, match="mutex_lock: LOAD_FAULT"):
            await mutex.lock()


async def test_connection_that_comes_to_a_port_is_ended_and_the_port_serves_on(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), service(kernel, echo) as port, kernel.host_thread() as me:
        reference = await me._context.known(port)
        words = await me.buffer(PAGE_SIZE)
        for sent in (1, 400):  # also more than there is room for
            result = await me.system_call(
                "ipc_client_connect_send_over_receive",
                destination_ref=reference,
                send_buffer=words,
                send_words=sent,
            )
            assert result.status in (Status.IPC_SEND_DISCONNECTED, Status.IPC_OVER_DISCONNECTED)
        assert await me.call(port, b"as it is") == b"as it is"
