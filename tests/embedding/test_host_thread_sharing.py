"""Host threads and programs use the same memory, mutexes and ports; neither can spoil the other's thread."""

from __future__ import annotations

from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.layouts import THREAD_STATE
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import (
    clean,
    page_of,
    serving,
    thread_of,
    until,
)
from tests.kernel import invariants

COND, COUNTER = 16, 32  # offsets in the page that shared_counter.c knows


class Board:
    """A page with a mutex, a condition and a counter, given to whoever asks."""

    def __init__(self, owner: fluke.HostThread, page: fluke.Buffer) -> None:
        self.owner = owner
        self.page = page

    async def set_up(self) -> None:
        self.mutex = await self.owner.mutex(self.page)
        self.changed = await self.owner.cond(self.page, COND)
        self.region = await self.owner.share(self.page)

    async def serve(self, server: fluke.HostThread, port: fluke.HostPort) -> None:
        async for request in server.serve(port):
            await request.reply(references=[self.region])

    @property
    def counter(self) -> int:
        return int.from_bytes(self.page.read(COUNTER, 8), "little")

    @counter.setter
    def counter(self, value: int) -> None:
        self.page.write(value.to_bytes(8, "little"), COUNTER)


async def count_together(kernel: fluke.Kernel, host_turns: int, program_turns: int) -> int:
    """A host thread and two programs add to one counter; returns it, when all are done."""
    async with kernel.host_thread() as me, kernel.host_thread() as server:
        board = Board(me, await me.buffer(PAGE_SIZE))
        await board.set_up()
        async with serving(board.serve, server) as port:
            processes = [
                await kernel.spawn("shared_counter", args=[str(program_turns)], services={"board": port})
                for _ in range(2)
            ]
            for _ in range(host_turns):
                async with board.mutex:
                    before = board.counter
                    await anyio.lowlevel.checkpoint()  # the programs go on meanwhile, until they need the mutex
                    board.counter = before + 1
            for process in processes:
                assert await process.wait() == fluke.Exit("exited", 0)
        return board.counter


async def test_host_and_programs_count_under_one_mutex(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel):
        before = kernel.statistics().waits
        assert await count_together(kernel, 300, 2000) == 300 + 2 * 2000
        assert kernel.statistics().waits - before > 20, "they hardly met"


async def test_what_host_and_programs_do_together_is_the_same_every_time(
    model: str, preemption: str, tmp_path: Path
) -> None:
    """A task that waits for nothing but its own calls makes them at instants that do not depend on the host."""
    traces = []
    for name in ("one", "two"):
        async with (
            fluke.Kernel(model=model, preemption=preemption, trace=tmp_path / name) as kernel,
            kernel.host_thread() as me,
            kernel.host_thread() as server,
        ):
            board = Board(me, await me.buffer(PAGE_SIZE))
            await board.set_up()
            async with serving(board.serve, server) as port:
                process = await kernel.spawn("shared_counter", args=["2000"], services={"board": port})
                async with board.mutex:
                    while board.counter < 2000:
                        await board.changed.wait(board.mutex)
                        board.counter += 1
                await process.wait()
        traces.append((tmp_path / name).read_bytes())
    assert traces[0] == traces[1]
    assert b"cond_wait" in traces[0]


async def test_the_host_waits_for_what_a_program_signals(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me, kernel.host_thread() as server:
        board = Board(me, await me.buffer(PAGE_SIZE))
        await board.set_up()
        async with serving(board.serve, server) as port:
            await kernel.spawn("shared_counter", args=["50"], services={"board": port})
            async with board.mutex:
                while board.counter < 50:
                    await board.changed.wait(board.mutex)
            assert board.counter == 50


async def test_two_kernels_do_not_mix(make_kernel: MakeKernel) -> None:
    async def run(turns: int) -> None:
        async with make_kernel() as kernel, clean(kernel):
            assert await count_together(kernel, turns, turns) == 3 * turns

    async with anyio.create_task_group() as tasks:
        for turns in (40, 50, 60):
            tasks.start_soon(run, turns)


async def test_a_program_lends_its_memory_and_sees_that_an_owner_died(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as server:
        port = await server.port()
        process = await kernel.spawn("service_client", args=["lend"], services={"board": port})
        requests = server.serve(port)
        async with kernel.host_thread() as me:
            lent = await anext(requests)
            (region,) = lent.references
            page = await me.map(region, PAGE_SIZE)
            assert page.read(64, 22) == b"written by the program"
            page.write(b"read", 64)
            await me.mutex_at(page.address).lock()
            await lent.reply()
            asked_again = await anext(requests)
        await asked_again.reply()
        assert await process.stdout.read_all() == b"trylock: 2\nowner dead: 1\nreadten by the program\n"
        assert (await process.wait()).reason == "exited"
        await region.release()


async def test_a_program_cannot_load_a_host_thread(make_kernel: MakeKernel) -> None:
    """Not even one that sees the memory in which it lies; and reading it out stops nothing."""
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me, kernel.host_thread() as server:
        region = await me.share(page_of(me))
        mutex = await me.mutex()

        async def give(server: fluke.HostThread, port: fluke.HostPort) -> None:
            async for request in server.serve(port):
                await request.reply(references=[region])

        async with serving(give, server) as port, mutex:
            process = await kernel.spawn("service_client", args=["seize"], services={"board": port})
            assert (await process.wait()).reason == "exception"
            output = await process.stdout.read_all()
            assert output == b"in call %x, stopped 1\n" % BY_NAME["mutex_lock"].number
            assert "host thread" in (await process.wait()).message
        async with mutex:
            await kernel.inspect(invariants.check)


async def test_a_host_thread_cannot_load_another(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me, kernel.host_thread() as other:
        page = page_of(other)
        seen = await me.map(await other.share(page), PAGE_SIZE)
        state = await me.buffer(THREAD_STATE.size)
        mutex = await other.mutex()
        async with mutex, anyio.create_task_group() as tasks:
            tasks.start_soon(other.sleep, 1)
            await until(lambda: thread_of(other).waiting_for is not None)
            await me.system_call("thread_get_state", thread=seen.address, state=state)
            bits = THREAD_STATE.unpack(state.read())
            assert bits["thread_va"] == page.address
            with pytest.raises(fluke.SystemCallError, match=r"thread_set_state: HOST_THREAD.*leave it to") as caught:
                await me.system_call("thread_set_state", thread=seen.address, state=state)
            assert caught.value.code is ExceptionCode.HOST_THREAD
        async with mutex:  # it has slept to the end
            pass


async def test_a_host_thread_that_was_destroyed_says_so(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me, kernel.host_thread() as other:
        page = page_of(other)
        seen = await me.map(await other.share(page), PAGE_SIZE)
        mutex = await other.mutex()
        await me.mutex_at(seen.address + mutex.address - page.address).lock()

        async def lock() -> None:
            with pytest.raises(fluke.FlukeError, match="has been destroyed by a program"):
                await mutex.lock()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lock)
            await until(lambda: thread_of(other).waiting_for is not None)
            await me.system_call("thread_destroy", thread=seen.address)
        for act in (mutex.lock, lambda: other.sleep(1)):
            with pytest.raises(fluke.FlukeError, match="has been destroyed by a program"):
                await act()


async def test_interrupts_posted_to_a_host_thread_disturb_nothing(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me, kernel.host_thread() as other:
        page = page_of(other)
        seen = await me.map(await other.share(page), PAGE_SIZE)
        await other.system_call("thread_enable_exceptions", thread=page.address)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(other.sleep, 1)
            await until(lambda: thread_of(other).waiting_for is not None or kernel.statistics().time_ns > 10**9)
            await me.system_call("thread_interrupt", thread=seen.address)
        await other.sleep(1)
        assert kernel.statistics().time_ns >= 2 * 10**9
