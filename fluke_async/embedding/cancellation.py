"""
Cancellation where something must not be left half done.

A scope of anyio cancels its tasks again and again until they have left it, so whoever puts a cancellation off loses
nothing. `asyncio.Task.cancel` speaks once.
"""

from __future__ import annotations

import asyncio
import math

import anyio
from anyio.lowlevel import checkpoint, checkpoint_if_cancelled


async def wait_to_the_end(event: anyio.Event) -> None:
    """Wait for `event` whatever comes; a cancellation is raised when it is there."""
    cancellation: BaseException | None = None
    while not event.is_set():
        try:
            with anyio.CancelScope(shield=True):
                await event.wait()
        except anyio.get_cancelled_exc_class() as error:
            cancellation = error
    if cancellation is not None:
        raise cancellation


class PutOff:
    """Cancellations that came too late for something, and come again when their task next waits."""

    def __init__(self) -> None:
        self._task: asyncio.Task[object] | None = None

    def put_off(self, cancellation: BaseException) -> None:
        """Let a cancellation that was caught come again."""
        task = self._task = asyncio.current_task()
        if task is not None and anyio.current_effective_deadline() > -math.inf:
            task.uncancel()  # the same request, not another one: who asked for it counts them
            task.cancel(*cancellation.args)

    async def checkpoint(self) -> None:
        """Raise what is due, before the task begins what could again be over too soon to be cancelled."""
        await checkpoint_if_cancelled()
        task, self._task = self._task, None
        if task is not None and task is asyncio.current_task():
            await checkpoint()
