"""
Races that are planted in the kernel, to see whether exploring interleavings finds them.

Each is a change that is right as long as nobody else runs at a bad moment: here, what was looked up before a point at
which the processor can be lost is used after it. In `races_of_steps`, what was to be one step has become two;
`races_of_harts` are about who runs elsewhere.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE, Status
from fluke_async.abi.entry_points import BY_NAME, COMPLETION_COST
from fluke_async.abi.registers import A0, RECEIVE_BUFFER, RECEIVE_WORDS, SEND_WORDS
from fluke_async.execution import dispatcher
from fluke_async.execution.process import ProcessModel
from fluke_async.kernel import connection, ipc, message, user_memory
from fluke_async.kernel.core import Core
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.scheduler import Scheduler
from fluke_async.kernel.suspension import COPY, VISIT
from fluke_async.kernel.translation import WRITE

Handler = Callable[[Core, Thread], Any]
SERVING = ("ipc_wait_receive", "ipc_setup_wait_receive", "ipc_reply_wait_receive", "ipc_request_receive")


def mutex_found_free_before_a_point() -> None:
    """`mutex_lock` sees that a mutex is free, can lose the processor, and takes it."""
    original = handler_of("mutex_lock")

    async def mutex_lock(core: Core, thread: Thread) -> int:
        mutex = object_at(core, thread, thread.registers[A0], Mutex)
        if mutex.locked:
            return int(await original(core, thread))
        await COPY
        mutex.own(core, thread)
        return Status.SUCCESS

    replace("mutex_lock", mutex_lock)


def heir_of_a_mutex_found_before_a_point() -> None:
    """`mutex_unlock` frees the mutex, can lose the processor, and then gives it to who was its first waiter before."""
    original = handler_of("mutex_unlock")
    heirs: dict[Thread, tuple[Mutex, Thread]] = {}

    async def mutex_unlock(core: Core, thread: Thread) -> int:
        if thread not in heirs:
            mutex = object_at(core, thread, thread.registers[A0], Mutex)
            waiter = mutex.first_waiter()
            if mutex.owner is not thread or waiter is None:
                return int(original(core, thread))
            mutex.own(core, None)
            heirs[thread] = mutex, waiter
            await COPY
        mutex, waiter = heirs.pop(thread)
        if waiter.waiting_for is mutex:
            mutex.own(core, waiter)
            core.complete(waiter, Status.SUCCESS)
        return Status.SUCCESS

    replace("mutex_unlock", mutex_unlock)


def mutex_found_locked_before_a_point() -> None:
    """`mutex_lock` sees that a mutex is locked, can lose the processor, and waits for it without a second look."""
    put_a_point_before_the_wait(("mutex_lock",), Mutex)


def mutex_unlocked_a_point_before_the_sleep() -> None:
    """`cond_wait` has unlocked the mutex when it can lose the processor, and stands in no line yet."""
    put_a_point_before_the_wait(("cond_wait",), Cond)


def no_server_found_before_a_point() -> None:
    """`ipc_call` sees that no server waits, can lose the processor, and waits for one without a second look."""
    put_a_point_before_the_wait(("ipc_call",), Port)


def no_client_found_before_a_point() -> None:
    """A server sees that no client waits, can lose the processor, and waits for one without a second look."""
    put_a_point_before_the_wait(SERVING, Portset)


def server_found_before_a_point() -> None:
    """`ipc_call` finds a server, can lose the processor, and takes it whatever it does by now."""
    original = handler_of("ipc_call")

    async def ipc_call(core: Core, thread: Thread) -> int:
        port = connection.destination(core, thread)
        if port is not None and port.receiver is None and not thread.servers():
            server = connection.waiting_server(core, port)
            if server is not None:
                await COPY
                connection.capture(core, server, thread, port)
                core.advance(server, connection.REQUEST_RECEIVE, thread)
        return int(await original(core, thread))

    replace("ipc_call", ipc_call)


def waiter_of_a_signal_found_before_a_point() -> None:
    """`cond_signal` finds the first waiter, can lose the processor, and lets that one go on or nobody."""

    async def cond_signal(core: Core, thread: Thread) -> int:
        cond = object_at(core, thread, thread.registers[A0], Cond)
        waiter = cond.first_waiter()
        await COPY
        if waiter is not None and waiter.waiting_for is cond:
            core.wake(waiter)
        return Status.SUCCESS

    replace("cond_signal", cond_signal)


def waiters_of_a_broadcast_found_at_once() -> None:
    """`cond_broadcast` notes who waits, and lets them go on one by one without asking whether they still do."""

    async def cond_broadcast(core: Core, thread: Thread) -> int:
        cond = object_at(core, thread, thread.registers[A0], Cond)
        for waiter in tuple(cond.queue().in_order()):
            core.wake(waiter)
            core.charge(COMPLETION_COST)
            await VISIT
        return Status.SUCCESS

    replace("cond_broadcast", cond_broadcast)


def stack_resumed_without_its_epochs() -> None:
    """The stack of a server that replies knows for whom, and is resumed whatever has become of that client since."""
    original = handler_of("ipc_reply_wait_receive")

    def resume(_self: ProcessModel, _core: Core, thread: Thread) -> Any:
        stack, thread.stack = thread.stack, None
        return stack

    async def reply_wait_receive(core: Core, thread: Thread) -> int:
        client, inner = thread.served, original(core, thread)
        while True:
            try:
                suspension = inner.send(None)
            except StopIteration as end:
                return int(end.value)
            await suspension
            if suspension is COPY and client is not None and thread.served is not client:
                core.finish(client, CALLED, Status.SUCCESS)
                client = None

    ProcessModel.resume = resume  # type: ignore[assignment,method-assign]
    replace("ipc_reply_wait_receive", reply_wait_receive)


def client_of_a_reply_looked_up_once() -> None:
    """A server goes on with the client to which it has sent the first chunk of its reply, whatever that does by now."""
    original = ipc.move_reply_chunk
    clients: dict[Thread, Thread] = {}

    def move_reply_chunk(core: Core, server: Thread) -> bool:
        begun, client = clients.pop(server, None), server.served
        if begun is not None and client is None:
            core.complete(begun, Status.SUCCESS) if begun.waiting_for else core.finish(begun, CALLED, Status.SUCCESS)
            return True
        whole = original(core, server)
        if not whole and client is not None:
            clients[server] = client
        return whole

    ipc.move_reply_chunk = move_reply_chunk


def pages_of_a_message_looked_up_once() -> None:
    """Where the rest of a message goes is looked up with its first chunk, and not again behind the points."""
    move_words, runs = message.move_words, user_memory.runs
    known: dict[tuple[Thread, int], int] = {}

    def move_and_look_ahead(core: Core, source: Thread, target: Thread, done: int, source_done: int, most: int) -> int:
        moved = move_words(core, source, target, done, source_done, most)
        words = min(source.registers[SEND_WORDS] - source_done, target.registers[RECEIVE_WORDS] - done)
        if done or words <= most:
            if words <= most:
                known.clear()
            return moved
        begin = target.registers[RECEIVE_BUFFER]
        for page in range(begin // PAGE_SIZE, -(-(begin + words * WORD_SIZE) // PAGE_SIZE)):
            ((known[target, page], _),) = runs(core, target, page * PAGE_SIZE, WRITE, PAGE_SIZE)
        return moved

    def known_runs(core: Core, thread: Thread, address: int, access: int, size: int) -> list[tuple[int, int]]:
        pages = range(address // PAGE_SIZE, -(-(address + size) // PAGE_SIZE))
        if access != WRITE or not size or any((thread, page) not in known for page in pages):
            return runs(core, thread, address, access, size)
        found = []
        for page in pages:
            begin, end = max(address, page * PAGE_SIZE), min(address + size, (page + 1) * PAGE_SIZE)
            found.append((known[thread, page] + begin % PAGE_SIZE, end - begin))
        return found

    replace_everywhere("move_words", move_words, move_and_look_ahead)
    user_memory.runs = known_runs


# -- how they are planted ---------------------------------------------------------------------------------------------

CALLED = BY_NAME["ipc_call"]


def handler_of(name: str) -> Handler:
    """The function that carries a call out."""
    return dispatcher.ROWS[BY_NAME[name].number].handler  # type: ignore[no-any-return]


def replace(name: str, handler: Handler) -> None:
    """Let a coroutine carry a call out."""
    number = BY_NAME[name].number
    dispatcher.ROWS[number] = dispatcher.ROWS[number]._replace(handler=handler, may_sleep=True)


def replace_everywhere(name: str, function: Any, other: Any) -> None:
    """Put another function in the place of one that modules have imported by its name."""
    for module in tuple(sys.modules.values()):
        if module.__name__.startswith("fluke_async") and getattr(module, name, None) is function:
            setattr(module, name, other)


def put_a_point_before_the_wait(names: tuple[str, ...], kind: type[KernelObject]) -> None:
    """Let calls that are about to wait for such an object lose the processor when they have decided it."""
    park = Scheduler.park
    late: dict[Thread, KernelObject | None] = {}

    def decide(self: Scheduler, thread: Thread, target: KernelObject) -> None:
        if thread in late and isinstance(target, kind):
            late[thread] = target
        else:
            park(self, thread, target)

    def with_a_point(original: Handler) -> Handler:
        async def handler(core: Core, thread: Thread) -> int:
            inner = original(core, thread)
            while True:
                late[thread] = None
                try:
                    suspension = inner.send(None)
                except StopIteration as end:
                    return int(end.value)
                finally:
                    target = late.pop(thread)
                if target is not None:
                    await COPY
                    park(core, thread, target)
                await suspension

        return handler

    Scheduler.park = decide  # type: ignore[method-assign]
    for name in names:
        replace(name, with_a_point(handler_of(name)))


MISTAKES: tuple[Callable[[], None], ...] = (
    mutex_found_free_before_a_point,
    heir_of_a_mutex_found_before_a_point,
    mutex_found_locked_before_a_point,
    mutex_unlocked_a_point_before_the_sleep,
    no_server_found_before_a_point,
    no_client_found_before_a_point,
    server_found_before_a_point,
    waiter_of_a_signal_found_before_a_point,
    waiters_of_a_broadcast_found_at_once,
    stack_resumed_without_its_epochs,
    client_of_a_reply_looked_up_once,
    pages_of_a_message_looked_up_once,
)
