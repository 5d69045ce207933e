"""Timers of the tests' own, in the place of the standard one."""

from __future__ import annotations

import anyio
import anyio.lowlevel

from fluke_async.abi.devices import DeviceStatus, TimerOperation
from fluke_async.device import DevicePort, Request

LATENCY_NS = 1_000_000


class LatentTimer:
    """Needs a millisecond of the kernel's time for each answer."""

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            instant_ns = port.now_ns() + LATENCY_NS
            if request.words[0] == TimerOperation.WAIT_UNTIL:
                instant_ns = max(instant_ns, request.words[1])
            request.reply_at(instant_ns, DeviceStatus.OK, instant_ns)


class AskingTimer:
    """Asks somebody outside for each answer: another task, which answers some turns of the event loop later."""

    async def run(self, port: DevicePort) -> None:
        async with anyio.create_task_group() as tasks:
            async for request in port:
                request.defer()
                tasks.start_soon(self._answer, port, request)

    async def _answer(self, port: DevicePort, request: Request) -> None:
        for _ in range(20):
            await anyio.lowlevel.checkpoint()
        port.post(lambda: request.reply(DeviceStatus.OK, 7_000_000))
