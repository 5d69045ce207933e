"""Programs of a few instructions, as ELF files, and streams that tests hold in their hands."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import ByteReceiveStream, ByteSendStream

import fluke_async as fluke
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.cpu.protocol import EXECUTE, PAGE_SIZE, READ, WRITE
from tests.cpu import rv64

CODE_ADDRESS = 0x10000
HEADER, PROGRAM_HEADER = struct.Struct("<16sHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")
ELF_FLAGS = ((READ, 4), (WRITE, 2), (EXECUTE, 1))


@dataclass(frozen=True)
class Part:
    """A loadable segment of an ELF file."""

    address: int
    data: bytes = b""
    memory_size: int = 0
    access: int = READ | WRITE


def elf(*instructions: int, parts: tuple[Part, ...] = (), entry: int = CODE_ADDRESS) -> bytes:
    """A static RV64 program: `instructions` at `CODE_ADDRESS`, and further segments."""
    code = Part(CODE_ADDRESS, rv64.code(*instructions), access=READ | EXECUTE)
    everything = (code, *parts)
    offset = HEADER.size + PROGRAM_HEADER.size * len(everything)
    headers = contents = b""
    for part in everything:
        flags = sum(theirs for ours, theirs in ELF_FLAGS if part.access & ours)
        size = max(part.memory_size, len(part.data))
        where = (part.address, part.address, len(part.data), size, PAGE_SIZE)
        headers += PROGRAM_HEADER.pack(1, flags, offset + len(contents), *where)
        contents += part.data
    sizes = (HEADER.size, PROGRAM_HEADER.size, len(everything), 64, 0, 0)
    identity = b"\x7fELF\x02\x01\x01"
    return HEADER.pack(identity, 2, 243, 1, entry, HEADER.size, 0, 0, *sizes) + headers + contents


def call(name: str) -> tuple[int, ...]:
    """A system call; its arguments are in the registers already."""
    number = BY_NAME[name].number
    upper = number + 0x800 >> 12
    return rv64.lui("a7", upper), rv64.addi("a7", "a7", number - (upper << 12)), rv64.ECALL


LOOP = elf(rv64.addi("a1", "a1", 1), rv64.jal(-4))
"""Counts in a1, two instructions a turn, without one system call."""


async def pass_time(kernel: fluke.Kernel, instructions: int = 3_000_000) -> None:
    """Let everybody else run while another program computes; long enough for all of them to come to rest."""
    process = await kernel.spawn(LOOP, budget=instructions)
    await process.wait()
    await process.kill()


async def idle() -> None:
    """Let the event loop turn: a kernel in which nothing is ready finds out what to do next."""
    for _ in range(50):
        await anyio.lowlevel.checkpoint()


async def cut_off(
    turns: int, kernel: fluke.Kernel, process: fluke.Process, *works: Callable[[], Coroutine[Any, Any, object]]
) -> None:
    """Begin something, cancel it after so many turns of the event loop, and end all other processes that came of it."""
    async with anyio.create_task_group() as tasks:
        for work in works:
            tasks.start_soon(work)
        for _ in range(turns):
            await anyio.lowlevel.checkpoint()
        tasks.cancel_scope.cancel()
    await idle()
    for each in kernel.processes():
        if each is not process:
            await each.kill()


RECEIVES_FROM_NOBODY = elf(
    rv64.addi("a0", "sp", -64),
    *call("portset_create"),
    rv64.addi("a0", "sp", -64),
    *call("ipc_setup_wait_receive"),
    rv64.EBREAK,
)
"""Waits at a port set that has no port."""


@dataclass
class Feed(ByteReceiveStream):
    """Input that a test gives piece by piece; `wanted` tells that somebody waits for it."""

    pieces: deque[bytes] = field(default_factory=deque)
    has_ended: bool = False
    wanted: anyio.Event = field(default_factory=anyio.Event)
    change: anyio.Event = field(default_factory=anyio.Event)

    def give(self, data: bytes) -> None:
        self.pieces.append(data)
        self.change.set()

    def end(self) -> None:
        self.has_ended = True
        self.change.set()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        while not self.pieces:
            if self.has_ended:
                raise anyio.EndOfStream
            self.change = anyio.Event()
            self.wanted.set()
            await self.change.wait()
        self.wanted = anyio.Event()
        return self.pieces.popleft()

    async def aclose(self) -> None:
        """It holds nothing."""


@dataclass
class Sink(ByteSendStream):
    """Output that arrives after `turns` turns of the event loop for each piece."""

    turns: int = 0
    data: bytes = b""

    async def send(self, item: bytes) -> None:
        for _ in range(self.turns):
            await anyio.lowlevel.checkpoint()
        self.data += item

    async def aclose(self) -> None:
        """It holds nothing."""
