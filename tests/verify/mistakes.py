"""
Mistakes that are planted in the kernel to see whether verification finds them.

Each replaces a function of the kernel, for the rest of its process, by one that is wrong in a way in which real kernels
have been wrong. What a mistake does to a program that runs undisturbed is little or nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, A1, PROGRESS_WORDS
from fluke_async.execution import dispatcher
from fluke_async.kernel import ipc
from fluke_async.kernel.core import Core
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects import thread_state
from fluke_async.kernel.objects.cond import MUTEX_LOCK, Cond
from fluke_async.kernel.objects.mutex import Mutex, mutex_lock
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from fluke_async.kernel.suspension import WAIT


def stage_kept_in_a_local() -> None:
    """`cond_wait` sleeps with its registers as they were, and goes on to the lock behind the wait, as a stack can."""

    async def cond_wait(core: Core, thread: Thread) -> int:
        target = object_at(core, thread, thread.registers[A0], Cond)
        mutex = object_at(core, thread, thread.registers[A1], Mutex)
        if mutex.owner is not thread:
            raise ProgramException(thread, ExceptionCode.MUTEX_NOT_OWNED, thread.registers[A1])
        mutex.hand_over(core)
        core.park(thread, target)
        await WAIT
        thread.registers[A0] = thread.registers[A1]
        core.enter_stage(thread, MUTEX_LOCK)
        return await mutex_lock(core, thread)

    replace_handler("cond_wait", cond_wait)


def order_of_waiters_not_exported() -> None:
    """The state says nothing of the order among waiters."""
    replace_exported("wait_order", lambda _: 0)


def time_slice_not_exported() -> None:
    """What is left of the time slice is exported as a whole one."""
    replace_exported("quantum_left", lambda _: QUANTUM_INSTRUCTIONS)


def owner_not_exported() -> None:
    """The link to a mutex's owner comes out as null."""
    Mutex.export_link = lambda _self, _name: None  # type: ignore[assignment,method-assign]


def lent_priority_exported() -> None:
    """The state gives the effective priority for the thread's own."""
    original = thread_state.export_bits

    def export_bits(thread: Thread) -> Any:
        return {**original(thread), "priority": thread.effective_priority}

    thread_state.export_bits = export_bits


def progress_kept_beside_the_thread() -> None:
    """How much of a request has arrived stands in a table of the kernel's, not in the server's registers."""
    original = ipc.move_request_chunk
    progress: dict[Thread, int] = {}

    def move_request_chunk(core: Core, client: Thread, server: Thread) -> bool:
        server.registers[PROGRESS_WORDS] = progress.get(server, 0)
        whole = original(core, client, server)
        if whole:
            progress.pop(server, None)
        else:
            progress[server] = server.registers[PROGRESS_WORDS]
            server.registers[PROGRESS_WORDS] = 0
        return whole

    ipc.move_request_chunk = move_request_chunk


def replace_handler(name: str, handler: Any) -> None:
    """Let the dispatcher call another function for a call."""
    number = BY_NAME[name].number
    dispatcher.ROWS[number] = dispatcher.ROWS[number]._replace(handler=handler)


def replace_exported(name: str, value: Callable[[int], int]) -> None:
    """Change one field of the state that threads export."""
    original = thread_state.export_bits

    def export_bits(thread: Thread) -> Any:
        bits = dict(original(thread))
        exported = bits[name]
        assert isinstance(exported, int)
        return bits | {name: value(exported)}

    thread_state.export_bits = export_bits


MISTAKES: tuple[Callable[[], None], ...] = (
    stage_kept_in_a_local,
    order_of_waiters_not_exported,
    time_slice_not_exported,
    owner_not_exported,
    lent_priority_exported,
    progress_kept_beside_the_thread,
)
