"""Mistakes of a host thread are told by name, with the remedy; what is no call is refused before it is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import (
    clean,
    echo,
    serving,
    thread_of,
    until,
)

HOUR_S, HOUR_NS = 3600, 3600 * 10**9
Mistake = Callable[[fluke.HostThread, fluke.HostMutex], Awaitable[object]]


MISTAKES: dict[str, tuple[Mistake, ExceptionCode, str, str]] = {
    "locking twice": (
        lambda _, mutex: mutex.lock(),
        ExceptionCode.MUTEX_LOCKED,
        "mutex_lock: MUTEX_LOCKED",
        "the caller owns the mutex already; unlock it first",
    ),
    "unlocking nothing": (
        lambda me, mutex: me.mutex_at(mutex.address + 16).unlock(),
        ExceptionCode.NO_OBJECT,
        "mutex_unlock: NO_OBJECT",
        "no object at the address; use an object that has not been destroyed",
    ),
    "another type": (
        lambda me, mutex: me.cond_at(mutex.address).signal(),
        ExceptionCode.NOT_COND,
        "cond_signal: NOT_COND",
        "the object there is no condition; correct what was asked for",
    ),
    "an address that is none": (
        lambda me, _: me.system_call("mutex_lock", mutex=1 << 40),
        ExceptionCode.LOAD_FAULT,
        "mutex_lock: LOAD_FAULT, 0x10000000000",
        "use an address of this host thread's memory",
    ),
    "a wait without the mutex": (
        lambda me, mutex: me.system_call("cond_wait", cond=mutex.address + 32, mutex=mutex),
        ExceptionCode.NO_OBJECT,
        "cond_wait: NO_OBJECT",
        "use an object",
    ),
    "an end of itself": (
        lambda me, _: me.system_call("thread_destroy", thread=thread_of(me).thread_va),
        ExceptionCode.CURRENT_THREAD,
        "thread_destroy: CURRENT_THREAD",
        "leave a host thread by the end",
    ),
    "a place that is taken": (
        lambda me, mutex: me.system_call("cond_create", cond=mutex),
        ExceptionCode.OBJECT_EXISTS,
        "cond_create: OBJECT_EXISTS",
        "choose another place",
    ),
}


@pytest.mark.parametrize("case", MISTAKES)
async def test_a_mistake_names_call_cause_and_remedy(make_kernel: MakeKernel, case: str) -> None:
    act, code, cause, remedy = MISTAKES[case]
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        mutex = await me.mutex()
        async with mutex:
            with pytest.raises(fluke.SystemCallError) as caught:
                await act(me, mutex)
        assert caught.value.code is code
        assert caught.value.status is None
        assert cause in str(caught.value)
        assert remedy in str(caught.value)
        assert "\n" not in str(caught.value)
        async with mutex:  # the thread goes on
            pass


WORDS: list[tuple[str, dict[str, Any], str]] = [
    ("mutex_lok", {}, "'mutex_lok' does not exist: use mutex_lock"),
    ("thread_set_handlers", {}, "a host thread gets its exceptions as SystemCallError"),
    ("mutex_lock", {"mutexx": 1}, "no operand 'mutexx': it has mutex"),
    ("thread_self", {"thread": 1}, "no operand 'thread': it has none"),
    ("mutex_lock", {"mutex": -1}, "mutex=-1 is no word: give a number from 0"),
    ("mutex_lock", {"mutex": 1 << 64}, "is no word"),
    ("mutex_lock", {"mutex": "a"}, "mutex='a' is no word"),
]


@pytest.mark.parametrize(("name", "operands", "message"), WORDS)
async def test_what_is_no_call_is_refused_before_it_is_made(name: str, operands: dict[str, Any], message: str) -> None:
    async with fluke.Kernel() as kernel, kernel.host_thread() as me:
        before = kernel.statistics().system_calls
        with pytest.raises(fluke.FlukeError) as caught:
            await me.system_call(name, **operands)
        assert message in str(caught.value)
        assert kernel.statistics().system_calls == before


async def test_objects_belong_to_their_host_thread(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as one, kernel.host_thread() as other:
        mutex, buffer, port = await one.mutex(), await one.buffer(1), await one.port()
        for act in (
            lambda: other.system_call("mutex_lock", mutex=mutex),
            lambda: other.share(buffer),
            lambda: other.system_call("mutex_lock", mutex=buffer),
        ):
            with pytest.raises(fluke.FlukeError, match="belongs to another host thread"):
                await act()
        with pytest.raises(fluke.FlukeError, match="belongs to another host thread"):
            other.serve(port)
        with pytest.raises(fluke.FlukeError, match="cannot be served: give what `port`"):
            other.serve(port.reference)  # type: ignore[arg-type]


async def test_one_call_at_a_time(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        mutex = await me.mutex()
        async with serving(echo, me):
            await until(lambda: thread_of(me).waiting_for is not None)
            for act in (mutex.lock, me.port, lambda: me.buffer(1), lambda: me.sleep(1)):
                with pytest.raises(fluke.FlukeError, match=r"is in ipc_setup_wait_receive already.* use another host"):
                    await act()
        async with mutex:
            pass


async def test_a_call_is_refused_while_another_is_being_prepared(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, kernel.host_thread() as me, kernel.host_thread() as other:
        mutex = await me.mutex()
        async with serving(echo, other) as port, anyio.create_task_group() as tasks:
            tasks.start_soon(me.call, port)  # has to get a reference first
            await anyio.lowlevel.checkpoint()
            with pytest.raises(fluke.FlukeError, match="is in a call already"):
                await mutex.lock()


async def test_two_kernels_have_their_own_host_threads(make_kernel: MakeKernel) -> None:
    async with make_kernel() as one, make_kernel() as other, one.host_thread() as mine, other.host_thread() as theirs:
        port = await mine.port()
        for act in (
            lambda: theirs.call(port),
            lambda: theirs.map(port.reference, PAGE_SIZE),
            lambda: other.spawn("hello", services={"port": port}),
        ):
            with pytest.raises(fluke.FlukeError, match="belongs to another kernel"):
                await act()
        await mine.sleep(HOUR_S)
        assert other.statistics().time_ns < HOUR_NS
        await theirs.sleep(2 * HOUR_S)
        assert one.statistics().time_ns < 2 * HOUR_NS
