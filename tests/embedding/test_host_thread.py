"""Host threads: a task makes system calls on objects of its own; mistakes are told by name."""

from __future__ import annotations

import time

import anyio
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import PAGE_SIZE, ObjectType, Status
from fluke_async.abi.layouts import MUTEX_STATE
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import idle, pass_time
from tests.embedding.host_tasks import (
    clean,
    thread_of,
    until,
)

HOUR_S, HOUR_NS = 3600, 3600 * 10**9


async def test_two_tasks_lock_a_mutex_in_turn(make_kernel: MakeKernel) -> None:
    log: list[str] = []

    async def hold(name: str, mutex: fluke.HostMutex, between: anyio.Event) -> None:
        async with mutex as held:
            assert held is mutex
            log.append(f"{name} has it")
            await between.wait()
            log.append(f"{name} gives it back")

    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as one, kernel.host_thread() as other:
        page = await one.buffer(PAGE_SIZE)
        mutex = await one.mutex(page)
        theirs = other.mutex_at((await other.map(await one.share(page), PAGE_SIZE)).address)
        release = anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(hold, "one", mutex, release)
            await until(lambda: log == ["one has it"])
            assert not await theirs.trylock()
            tasks.start_soon(hold, "other", theirs, release)
            await until(lambda: thread_of(other).waiting_for is not None)
            release.set()
        assert log == ["one has it", "one gives it back", "other has it", "other gives it back"]
        assert await theirs.trylock()
        await theirs.unlock()


async def test_waiting_on_a_condition(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as one, kernel.host_thread() as other:
        page = await one.buffer(PAGE_SIZE)
        mutex, cond = await one.mutex(page), await one.cond(page, 16)
        shared = await other.map(await one.share(page), PAGE_SIZE)
        their_mutex, their_cond = other.mutex_at(shared.address), other.cond_at(shared.address + 16)

        async def wait_for(value: bytes) -> None:
            async with mutex:
                while page.read(64, 1) != value:
                    await cond.wait(mutex)

        for value, tell in ((b"1", their_cond.signal), (b"2", their_cond.broadcast)):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(wait_for, value)
                await until(lambda: thread_of(one).waiting_for is not None)
                async with their_mutex:
                    shared.write(value, 64)
                    await tell()


async def test_buffers_are_memory(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        buffer = await me.buffer(3 * PAGE_SIZE + 5)
        assert buffer.size == 3 * PAGE_SIZE + 5
        assert buffer.address % PAGE_SIZE == 0
        assert buffer.read() == bytes(buffer.size)
        buffer.write(b"across pages", PAGE_SIZE - 5)
        assert buffer.read(PAGE_SIZE - 5, 12) == b"across pages"
        assert buffer.read(PAGE_SIZE - 5)[:12] == b"across pages"
        buffer.write(b"end", buffer.size - 3)
        assert buffer.read(buffer.size - 3) == b"end"
        other = await me.buffer(1)
        assert other.address >= buffer.address + 4 * PAGE_SIZE
        for offset, size in ((-1, 1), (buffer.size, 1), (0, buffer.size + 1), (5, -1)):
            with pytest.raises(fluke.FlukeError, match="stay inside"):
                buffer.read(offset, size)
        with pytest.raises(fluke.FlukeError, match="stay inside"):
            buffer.write(b"x", buffer.size)


async def test_memory_has_a_limit(make_kernel: MakeKernel) -> None:
    async with make_kernel(memory="1M") as kernel, clean(kernel), kernel.host_thread() as me:
        with pytest.raises(fluke.FlukeError, match="is used up: give it more"):
            await me.buffer(1 << 20)
        with pytest.raises(fluke.FlukeError, match="positive size"):
            await me.buffer(0)
        before = kernel.statistics().memory_used_bytes
        await me.buffer(1 << 19)
        assert kernel.statistics().memory_used_bytes == before + (1 << 19)
        with pytest.raises(fluke.SystemCallError, match="NO_MEMORY, the quota does not allow") as caught:
            for _ in range(2000):
                await me.mutex()
        assert caught.value.status is Status.NO_MEMORY
        assert caught.value.code is None


@pytest.mark.parametrize("pages_left", range(4))
async def test_a_kernel_without_memory_has_no_host_threads(make_kernel: MakeKernel, pages_left: int) -> None:
    async with make_kernel(memory="1M") as kernel:
        async with kernel.host_thread() as me:
            counts = kernel.statistics()
            left = counts.memory_limit_bytes - counts.memory_used_bytes - pages_left * PAGE_SIZE
            await me.buffer(left // PAGE_SIZE * PAGE_SIZE)
            async with clean(kernel):
                with pytest.raises(fluke.FlukeError, match="is used up: give it more"):
                    async with kernel.host_thread():
                        raise AssertionError("it has no memory")
        assert kernel.statistics().memory_used_bytes == 0


async def test_any_call_of_the_table_can_be_made(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        itself = await me.system_call("thread_self")
        assert itself.results == {"thread": itself.status}
        assert itself.status == thread_of(me).thread_va
        mutex, state = await me.mutex(), await me.buffer(MUTEX_STATE.size)
        async with mutex:
            got = await me.system_call("mutex_get_state", mutex=mutex, state=state)
        assert got.status == Status.SUCCESS
        assert len(got.registers) == 32
        assert MUTEX_STATE.unpack(state.read())["locked"] == 1
        created = await me.system_call("cond_create_hash", cond=state.address + 2048, hash=77)
        assert created.results == {"status": 0, "hash": 77}
        assert (await me.system_call("ref_type", ref=me.space)).status == ObjectType.SPACE
        assert await me.space.type() == ObjectType.SPACE


async def test_operands_that_are_not_given_are_zero(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as me:
        mutex = await me.mutex()
        thread = thread_of(me)
        thread.registers[11] = thread.registers[12] = 8  # left over from a call before
        await me.system_call("mutex_get_state", mutex=mutex)
        assert thread.registers[11:13].tolist() == [0, 0]


async def test_sleeping_is_on_the_virtual_clock(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as me:
        for duration_s in (0, 0.5, HOUR_S):
            before = kernel.statistics().time_ns
            await me.sleep(duration_s)
            passed = kernel.statistics().time_ns - before
            assert duration_s * 1e9 <= passed < duration_s * 1e9 + 10_000
        for wrong in (-1, float("inf"), float("nan"), 2.0**63):
            with pytest.raises(fluke.FlukeError, match="cannot be: give a time from 0"):
                await me.sleep(wrong)


async def test_sleeping_is_on_the_real_clock(make_kernel: MakeKernel) -> None:
    async with make_kernel(clock="real") as kernel, kernel.host_thread() as me:
        before_ns = time.monotonic_ns()
        await me.sleep(0.003)
        assert time.monotonic_ns() - before_ns >= 3_000_000


async def test_sleepers_wake_in_the_order_of_their_instants(make_kernel: MakeKernel) -> None:
    log: list[float] = []

    async def sleep(me: fluke.HostThread, seconds: float) -> None:
        await me.sleep(seconds)
        log.append(seconds)
        await me.sleep(10)
        log.append(seconds + 10)

    async with (
        make_kernel() as kernel,
        kernel.host_thread() as one,
        kernel.host_thread() as other,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(sleep, one, 7)
        tasks.start_soon(sleep, other, 3)
    assert log == [3, 7, 13, 17]


async def test_many_host_threads_share_one_kernel(make_kernel: MakeKernel) -> None:
    async def add(kernel: fluke.Kernel, first: fluke.HostThread, region: fluke.HostReference) -> None:
        async with kernel.host_thread() as me:
            shared = await me.map(region, PAGE_SIZE)
            mutex = me.mutex_at(shared.address)
            for _ in range(5):
                async with mutex:
                    before = shared.read(64, 1)[0]
                    await anyio.lowlevel.checkpoint()
                    shared.write(bytes([before + 1]), 64)

    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as first:
        page = await first.buffer(PAGE_SIZE)
        await first.mutex(page)
        region = await first.share(page)
        async with anyio.create_task_group() as tasks:
            for _ in range(8):
                tasks.start_soon(add, kernel, first, region)
        assert page.read(64, 1) == bytes([40])


async def test_a_program_that_computes_does_not_keep_a_host_thread_from_its_turn(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as me:
        await kernel.spawn("spin")
        mutex = await me.mutex()
        before = kernel.statistics()
        for _ in range(20):
            async with mutex:
                pass
        after = kernel.statistics()
        assert after.system_calls - before.system_calls >= 40
        assert after.quanta_ended - before.quanta_ended <= 45  # at most one a call


async def test_every_call_takes_its_turn_and_its_place_anew(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as one, kernel.host_thread() as other:
        page = await one.buffer(PAGE_SIZE)
        mutexes = [await one.mutex(page, offset) for offset in (0, 16)]
        seen = await other.map(await one.share(page), PAGE_SIZE)
        theirs = [other.mutex_at(seen.address + offset) for offset in (0, 16)]
        thread = thread_of(one)

        async def lock_in_vain() -> None:
            with pytest.raises(fluke.SystemCallError, match="NO_OBJECT"):
                await mutexes[0].lock()

        for mutex in theirs:
            await mutex.lock()
        stamps = []
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(lock_in_vain)
            await until(lambda: thread.waiting_for is not None)
            stamps.append(thread.wait_order)
            await other.system_call("mutex_destroy", mutex=theirs[0])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(mutexes[1].lock)
            await until(lambda: thread.waiting_for is not None)
            stamps.append(thread.wait_order)
            await theirs[1].unlock()
        assert stamps[0] < stamps[1]
        await mutexes[1].unlock()
        before = thread.run_order
        await one.system_call("thread_self")
        assert before < thread.run_order


async def test_a_host_thread_has_a_turn_before_time_goes_on(make_kernel: MakeKernel) -> None:
    """What a task does next without waiting for anything else happens at the same instant."""
    instants = []
    async with make_kernel() as kernel, kernel.host_thread() as me:
        await kernel.spawn("spin")
        mutex = await me.mutex()
        for _ in range(10):
            begun = kernel.statistics().time_ns
            await mutex.lock()
            instants.append(kernel.statistics().time_ns)
            await mutex.unlock()
            assert begun < instants[-1]
    async with make_kernel() as again, again.host_thread() as me:
        await again.spawn("spin")
        mutex = await me.mutex()
        for instant in instants:
            await mutex.lock()
            assert again.statistics().time_ns == instant
            await mutex.unlock()


async def test_the_rest_of_the_kernel_goes_on_meanwhile(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as me:
        mutex = await me.mutex()
        async with mutex:
            before = kernel.statistics().time_ns
            await pass_time(kernel, 100_000)
            assert kernel.statistics().time_ns >= before + 100_000
            await idle()
