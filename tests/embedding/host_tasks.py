"""What tests of host threads share: tasks that can be cancelled in either way, services, kernels that must be clean."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel

import fluke_async as fluke
from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from tests.kernel import invariants

TURNS_MAX = 20_000
PRIORITY_MAX = 31


async def until(is_so: Callable[[], bool]) -> None:
    """Let the event loop turn until something is so."""
    for _ in range(TURNS_MAX):
        if is_so():
            return
        await anyio.lowlevel.checkpoint()
    raise AssertionError("it did not come about")


def thread_of(host_thread: fluke.HostThread) -> Thread:
    """The kernel's side of a host thread."""
    return host_thread._context.caller.thread


def page_of(host_thread: fluke.HostThread) -> fluke.Buffer:
    """The page in which a host thread's own thread lies, and its first objects."""
    return fluke.Buffer(host_thread._context.memory, thread_of(host_thread).thread_va, PAGE_SIZE)


def has_ended(host_thread: fluke.HostThread) -> bool:
    """Whether the call of a host thread has ended, of which its task does not know yet."""
    call = host_thread._context.caller._call
    return call is not None and call.ended.is_set()


async def reorder(kernel: fluke.Kernel, process: fluke.Process, priority: int) -> None:
    """Give the threads of a program another priority."""

    def change(core: Core) -> None:
        assert process.loaded is not None
        for thread in process.loaded.account.threads:
            core.reorder(thread, priority, thread.wait_order)

    await kernel.inspect(change)


@asynccontextmanager
async def clean(kernel: fluke.Kernel) -> AsyncIterator[None]:
    """The kernel's state is sound at the end of the block, and what it had in use before is all that is in use."""
    before = kernel.statistics()
    yield
    await kernel.inspect(invariants.check)
    after = kernel.statistics()
    assert (after.memory_used_bytes, after.objects, after.frames) == (
        before.memory_used_bytes,
        before.objects,
        before.frames,
    )


@dataclass
class Attempt:
    """Something awaited in a task of its own, cancelled by the task ("native") or by a scope."""

    act: Callable[[], Awaitable[object]]
    way: str
    scope: anyio.CancelScope = field(default_factory=anyio.CancelScope)
    has_returned: bool = False
    result: object = None
    was_cancelled: bool = False

    def start(self) -> None:
        self.task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            with self.scope:
                self.result = await self.act()
                self.has_returned = True
                await anyio.sleep_forever()
        except asyncio.CancelledError:
            self.was_cancelled = True
        self.was_cancelled |= self.scope.cancelled_caught

    def cancel(self) -> None:
        if self.way == "native":
            self.task.cancel()
        else:
            self.scope.cancel()

    async def over(self) -> None:
        """Wait for the end, which a cancellation brings, sooner or later."""
        with anyio.fail_after(5):
            await asyncio.wait([self.task])
        if not self.task.cancelled():  # as it is where it had not begun
            self.task.result()
            assert self.was_cancelled, "the cancellation was lost"


async def echo(me: fluke.HostThread, port: fluke.HostPort) -> None:
    """Answer every request with what it says, and its references."""
    async for request in me.serve(port):
        await request.reply(request.data, request.references)
        for reference in request.references:
            await reference.release()


@asynccontextmanager
async def serving(
    serve: Callable[[fluke.HostThread, fluke.HostPort], Coroutine[Any, Any, None]], me: fluke.HostThread
) -> AsyncIterator[fluke.HostPort]:
    """A port that a task serves during the block."""
    port = await me.port()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve, me, port)
        yield port
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def service(
    kernel: fluke.Kernel, serve: Callable[[fluke.HostThread, fluke.HostPort], Coroutine[Any, Any, None]]
) -> AsyncIterator[fluke.HostPort]:
    """The same, with a host thread of its own."""
    async with kernel.host_thread() as me, serving(serve, me) as port:
        yield port


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
    await reorder(kernel, process, PRIORITY_MAX)
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
