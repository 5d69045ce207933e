"""
The device port: what a device may ask of the kernel that it is plugged into.

A device is an async task. It receives requests in the order in which they were made, and decides about each at once,
before it awaits anything else: `reply` now, `reply_at` an instant of the kernel's clock, or `defer`, when the answer
depends on the outside. Guest code stands still until it has decided, so that what a program sees does not depend on
how the host schedules tasks. A request may come again after it was answered, because callers are restarted; so a
request must say by its arguments what it asks for, and doing it twice must do no harm.

An image of a program names the classes of its devices. A device with `state` and `load_state` has its state there too;
what others have to say, such as a store, belongs to the host and stays with it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cached_property
from typing import Any, Protocol

import anyio

from fluke_async.errors import FlukeError
from fluke_async.kernel.device_request import DeviceRequest

WORD_END = 1 << 64


class Device(Protocol):
    """An async task that answers requests."""

    async def run(self, port: DevicePort) -> None:
        """Serve `port` until cancelled; an exception from here stops the kernel."""
        ...


class StatefulDevice(Device, Protocol):
    """
    A device with a state that goes with the programs that use it: it is in their images.

    Both are used at a moment at which every request has been decided about. A request that was not answered by then is
    made again, by the program that goes on and by one that is restored.
    """

    @property
    def state(self) -> Mapping[str, Any]:
        """All of it, in plain values: numbers, texts, None, lists, and dicts by texts; bytes in hexadecimal."""
        ...

    def load_state(self, state: dict[str, Any]) -> None:
        """
        Be as the one was that had this state.

        Raises:
            FlukeError: it is none. Images may come from strangers, so look at all that is in it.
        """
        ...


class Host(Protocol):
    """What a device port needs of the kernel's driver."""

    def now_ns(self) -> int:
        """The kernel's clock."""
        ...

    def answer_at(self, instant_ns: int, request: DeviceRequest, words: tuple[int, ...]) -> None:
        """Complete the request's client when the kernel's clock has reached the instant."""
        ...

    def post(self, action: Callable[[], None]) -> None:
        """Do `action` at the driver's fixed point: how events of the outside come in."""
        ...

    def record_input(self, source: str, data: bytes) -> None:
        """Note in the trace that something came from outside."""
        ...


class Request:
    """One request: its words, and the three ways to decide about it."""

    __slots__ = ("_decided", "_port", "_request", "words")

    def __init__(self, port: DevicePort, request: DeviceRequest) -> None:
        self._port = port
        self._request = request
        self._decided = False
        self.words = request.words

    @property
    def is_open(self) -> bool:
        """Whether the caller still waits for an answer."""
        return self._request.is_open

    @property
    def is_awaited(self) -> bool:
        """Whether the caller could go on with an answer: neither it nor its program is stopped."""
        return self._request.is_awaited

    def reply(self, *words: int) -> None:
        """Answer now, or answer a deferred request at last."""
        self.reply_at(self._port.now_ns(), *words)

    def reply_at(self, instant_ns: int, *words: int) -> None:
        """
        Answer when the kernel's clock has reached the instant.

        Raises:
            FlukeError: a word does not fit into 64 bits.
        """
        for word in words:
            if not 0 <= word < WORD_END:
                raise FlukeError(f"a device's reply holds {word}: words are numbers from 0 to 2**64 - 1")
        self._decide()
        self._port.deferred.discard(self)
        if self.is_open:
            self._port.host.answer_at(instant_ns, self._request, words)

    def defer(self) -> None:
        """Keep the request open until the outside has spoken; the virtual clock waits meanwhile."""
        self._decide()
        if self.is_open:
            self._port.deferred = {request for request in self._port.deferred if request.is_open} | {self}

    def _decide(self) -> None:
        if not self._decided:
            self._decided = True
            self._port.decided()


class DevicePort:
    """One device's side of the ports that lead to it; `device` is the one that serves it."""

    def __init__(self, host: Host, device: Device | None = None) -> None:
        self.host = host
        self.device = device
        self.deferred: set[Request] = set()
        self._waiting: deque[Request] = deque()
        self._undecided = 0
        self._arrival = anyio.Event()
        self._settlement: anyio.Event | None = None

    @cached_property
    def scope(self) -> anyio.CancelScope:
        """What the device's task runs in; there is one only where there is an event loop."""
        return anyio.CancelScope()

    def now_ns(self) -> int:
        """The kernel's clock."""
        return self.host.now_ns()

    def post(self, action: Callable[[], None]) -> None:
        """Do `action` at the kernel's fixed point; the only place where an event from outside may touch a request."""
        self.host.post(action)

    def record_input(self, source: str, data: bytes) -> None:
        """Note in the trace that something came from outside."""
        self.host.record_input(source, data)

    async def __aiter__(self) -> AsyncIterator[Request]:
        """The requests, in order, for ever."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            self._arrival = anyio.Event()
            await self._arrival.wait()

    @property
    def has_open_requests(self) -> bool:
        """Whether a caller waits for something of the outside."""
        self.deferred = {request for request in self.deferred if request.is_open}
        return any(request.is_awaited for request in self.deferred)

    def hand_in(self, request: DeviceRequest) -> None:
        """Take a request from the kernel, for the device's task."""
        self._waiting.append(self.admit(request))
        self._arrival.set()

    def admit(self, request: DeviceRequest) -> Request:
        """A request as a device sees it; it has to be decided about."""
        self._undecided += 1
        return Request(self, request)

    def decided(self) -> None:
        """A request has been decided about."""
        self._undecided -= 1
        if not self._undecided and self._settlement is not None:
            self._settlement.set()

    @property
    def is_unsettled(self) -> bool:
        """Whether there is a request that has not been decided about."""
        return self._undecided > 0

    async def settled(self) -> None:
        """Wait until every request has been decided about."""
        if self.is_unsettled:
            self._settlement = anyio.Event()
            await self._settlement.wait()
            self._settlement = None
