"""
The console: a program's standard output and input, as two sequences of bytes.

Requests, in 64-bit words; offsets and counts in bytes, the bytes themselves packed into words:

    PROBE                        -> OK
    WRITE offset count bytes...  -> OK end       the output now ends at `end`
    READ  offset count           -> OK count bytes...   at least one byte, or count 0 at the end of input

A write at an offset that has been written is a repetition: it is acknowledged, not done again. A read says from where,
so it can be repeated too; it also says that everything before its offset has arrived and can be forgotten.
"""

from __future__ import annotations

from collections.abc import Callable
from string import hexdigits
from typing import Protocol, TypedDict

import anyio

from fluke_async.abi.codes import WORD_SIZE
from fluke_async.abi.devices import CONSOLE_MAX_BYTES, PROBE, ConsoleOperation, DeviceStatus
from fluke_async.device import DevicePort, Request

OK, BAD_REQUEST, BAD_OFFSET = DeviceStatus.OK, DeviceStatus.BAD_REQUEST, DeviceStatus.BAD_OFFSET


class Input(Protocol):
    """Where more input comes from: any async stream of bytes."""

    async def receive(self) -> bytes: ...


class Output(Protocol):
    """Where the output goes."""

    @property
    def is_full(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    def on_room(self, action: Callable[[], None]) -> None: ...


class ConsoleState(TypedDict):
    """What there is to be known of a console: bytes written and read, and input in hexadecimal that was not read."""

    written: int
    input_start: int
    input: str


OFFSET_END = 1 << 63
NEW: ConsoleState = {"written": 0, "input_start": 0, "input": ""}


class Console:
    """
    One program's console; `stdin` is bytes, or a stream that is read while the program asks for more.

    With the `state` of another one, it is that one's continuation: the input begins with what was not read there.
    """

    def __init__(self, output: Output, stdin: bytes | Input | None, state: ConsoleState = NEW) -> None:
        self._output = output
        self._written = state["written"]
        self._input = bytearray(bytes.fromhex(state["input"]) + (stdin if isinstance(stdin, bytes) else b""))
        self._input_start = state["input_start"]
        self._stream = None if isinstance(stdin, bytes) else stdin
        self._readers: list[Request] = []
        self._writers: list[Request] = []
        self._wanted = anyio.Event()

    async def run(self, port: DevicePort) -> None:
        async with anyio.create_task_group() as tasks:
            if self._stream is not None:
                tasks.start_soon(self._receive, port, self._stream)
            async for request in port:
                self.decide(port, request)

    @property
    def expects_input(self) -> bool:
        """Whether more may come from a stream, which no state can hold."""
        return self._stream is not None

    @staticmethod
    def is_state(state: object) -> bool:
        """Whether this is the state of a console."""
        if not isinstance(state, dict) or state.keys() != NEW.keys():
            return False
        offsets, data = (state["written"], state["input_start"]), state["input"]
        if not all(type(offset) is int and 0 <= offset < OFFSET_END for offset in offsets) or type(data) is not str:
            return False
        return len(data) % 2 == 0 and set(data) <= set(hexdigits)

    @property
    def state(self) -> ConsoleState:
        """What another console needs to be the continuation of this one."""
        return {"written": self._written, "input_start": self._input_start, "input": self._input.hex()}

    def decide(self, port: DevicePort, request: Request) -> None:
        """Answer a request, or put it off."""
        match request.words:
            case [operation, *_] if operation == PROBE:
                request.reply(OK)
            case [ConsoleOperation.WRITE, offset, count, *data] if count <= len(data) * WORD_SIZE:
                packed = b"".join(word.to_bytes(WORD_SIZE, "little") for word in data)
                self._write(port, request, offset, packed[:count])
            case [ConsoleOperation.READ, offset, count, *_] if count > 0:
                self._read(request)
            case _:
                request.reply(BAD_REQUEST)

    def _write(self, port: DevicePort, request: Request, offset: int, data: bytes) -> None:
        if offset > self._written:
            request.reply(BAD_OFFSET, self._written)
            return
        if offset == self._written:
            self._written += len(data)
            self._output.write(data)
        if self._output.is_full:
            request.defer()
            if not self._writers:
                self._output.on_room(lambda: port.post(lambda: self._acknowledge(port)))
            self._writers = [writer for writer in self._writers if writer.is_open] + [request]
        else:
            request.reply(OK, self._written)

    def _acknowledge(self, port: DevicePort) -> None:
        port.record_input("console room", b"")
        writers, self._writers = self._writers, []
        for request in writers:
            request.reply(OK, self._written)

    def _read(self, request: Request) -> None:
        """Answer a read with what is there; put it off if nothing is, and more may come."""
        _, offset, count = request.words[:3]
        if not self._input_start <= offset <= self._input_start + len(self._input):
            request.reply(BAD_OFFSET, self._input_start)
            return
        del self._input[: offset - self._input_start]
        self._input_start = offset
        data = bytes(self._input[: min(count, CONSOLE_MAX_BYTES)])
        if not data and self._stream is not None:
            self._readers = [reader for reader in self._readers if reader.is_open] + [request]
            self._wanted.set()
            request.defer()
            return
        padded = data + bytes(-len(data) % WORD_SIZE)
        request.reply(OK, len(data), *memoryview(padded).cast("Q"))

    async def _receive(self, port: DevicePort, stream: Input) -> None:
        """Read the stream while somebody wants input; what comes enters at the kernel's fixed point."""
        while self._stream is not None:
            await self._wanted.wait()
            self._wanted = anyio.Event()
            try:
                data = await stream.receive()
            except (anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
                data = b""
            port.post(lambda data=data: self._arrived(port, data))  # type: ignore[misc]
            if not data:
                return

    def _arrived(self, port: DevicePort, data: bytes) -> None:
        port.record_input("console", data)
        if data:
            self._input += data
        else:
            self._stream = None
        readers, self._readers = self._readers, []
        for request in readers:
            if request.is_open:
                self._read(request)
