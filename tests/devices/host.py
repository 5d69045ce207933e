"""A kernel's driver as a device sees it, played by a test: requests in, answers out, time by hand."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import cast

import anyio

from fluke_async.device import Device, DevicePort
from fluke_async.kernel.device_request import DeviceRequest


@dataclass(eq=False)
class Asked:
    """A request, and what became of it."""

    words: tuple[int, ...]
    is_open: bool = True

    @property
    def is_awaited(self) -> bool:
        return self.is_open


@dataclass
class ScriptedHost:
    """Implements `fluke_async.device.Host`; `answers` holds (time, request's words, reply's words)."""

    time_ns: int = 0
    answers: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = field(default_factory=list)
    inputs: list[tuple[str, bytes]] = field(default_factory=list)
    posted: list[Callable[[], None]] = field(default_factory=list)
    timeline: list[tuple[int, Callable[[], None]]] = field(default_factory=list)

    def now_ns(self) -> int:
        return self.time_ns

    def answer_at(self, instant_ns: int, request: DeviceRequest, words: tuple[int, ...]) -> None:
        self.timeline.append((instant_ns, lambda: self._answer(request, words)))

    def post(self, action: Callable[[], None]) -> None:
        self.posted.append(action)

    def _answer(self, request: DeviceRequest, words: tuple[int, ...]) -> None:
        if request.is_open:
            cast(Asked, request).is_open = False
            self.answers.append((self.time_ns, request.words, words))

    def record_input(self, source: str, data: bytes) -> None:
        self.inputs.append((source, data))

    def fixed_point(self) -> None:
        """Take in what was posted."""
        posted, self.posted = self.posted, []
        for action in posted:
            action()

    def advance(self, time_ns: int) -> None:
        """Let time pass; what is due is done in its order."""
        self.time_ns = time_ns
        due = sorted((entry for entry in self.timeline if entry[0] <= time_ns), key=lambda entry: entry[0])
        for entry in due:
            self.timeline.remove(entry)
            entry[1]()


@dataclass
class Bench:
    """A device that runs, and the means to ask it."""

    host: ScriptedHost
    port: DevicePort

    async def ask(self, *words: int) -> tuple[int, ...] | None:
        """The reply, if it comes at once."""
        before = len(self.host.answers)
        await self.ask_without_answer(*words)
        self.host.advance(self.host.time_ns)
        return self.host.answers[-1][2] if len(self.host.answers) > before else None

    async def ask_without_answer(self, *words: int) -> Asked:
        (asked,) = await self.ask_together(words)
        return asked

    async def ask_together(self, *messages: tuple[int, ...]) -> list[Asked]:
        """Hand in several requests before the device gets its turn."""
        requests = [Asked(words) for words in messages]
        for asked in requests:
            self.port.hand_in(cast(DeviceRequest, asked))
        await self.port.settled()
        return requests


@asynccontextmanager
async def running(device: Device) -> AsyncIterator[Bench]:
    host = ScriptedHost()
    port = DevicePort(host)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(device.run, port)
        yield Bench(host, port)
        tasks.cancel_scope.cancel()
