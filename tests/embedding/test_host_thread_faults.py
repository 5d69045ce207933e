"""Pages that are away: host threads keep them and want them; a program that waits for itself to bring one is told."""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import anyio
import pytest

import fluke_async as fluke
from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, FaultReply, MessageKind, Prot
from fluke_async.abi.layouts import MAPPING_STATE, REGION_STATE, START_BLOCK
from fluke_async.embedding.snapshot import describe_thread
from tests.cpu import rv64
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import Part, call, elf
from tests.embedding.host_tasks import Attempt, clean, is_at_rest, thread_of, until

PAGES = 4
SIZE = PAGES * PAGE_SIZE


class HostPager:
    """A host thread that keeps a region over a window of its space; a page is brought by a mapping of its frame."""

    def __init__(self, me: fluke.HostThread) -> None:
        self.me = me
        self.asked: list[tuple[int, ...]] = []

    async def set_up(self) -> None:
        me = self.me
        self.frames = await me.buffer(SIZE)
        self._below = await me.share(self.frames)
        self._window = me._context.memory.take_window(SIZE)
        self.port = await me.port()
        state, self._state = await me.buffer(PAGE_SIZE), await me.buffer(PAGE_SIZE)
        region = (await me.buffer(PAGE_SIZE)).address
        state.write(REGION_STATE.pack({"start_va": self._window, "size": SIZE, "prot": int(Prot.ALL)}))
        await me.system_call("region_create", region=region)
        links = {"space_ref": me.space, "keeper_ref": self.port.reference}
        await me.system_call("region_set_state", region=region, state=state, **links)
        self.region = await me._context.new_reference()
        await me.system_call("region_reference", region=region, ref=self.region)
        self._mappings = [region + 16 * (1 + page) for page in range(PAGES)]
        for mapping in self._mappings:
            await me.system_call("mapping_create", mapping=mapping)

    async def bring(self, page: int, prot: int = Prot.ALL) -> None:
        place = {"region_off": page * PAGE_SIZE, "start_va": self._window + page * PAGE_SIZE}
        self._state.write(MAPPING_STATE.pack({**place, "size": PAGE_SIZE, "prot": int(prot)}))
        links = {"region_ref": self._below, "space_ref": self.me.space}
        await self.me.system_call("mapping_set_state", mapping=self._mappings[page], state=self._state, **links)

    async def serve(self, reply: FaultReply = FaultReply.RESOLVED) -> None:
        """Bring what is asked for, or say that it cannot be had."""
        async for request in self.me.serve(self.port):
            self.asked.append(request.words)
            if reply is FaultReply.RESOLVED:
                await self.bring(request.words[3] // PAGE_SIZE)
            await request.reply([reply])


@asynccontextmanager
async def paged(kernel: fluke.Kernel) -> AsyncIterator[tuple[HostPager, fluke.HostThread, fluke.Buffer]]:
    """A pager, another host thread, and where that one sees the pages."""
    async with clean(kernel), kernel.host_thread() as me, kernel.host_thread() as client:
        pager = HostPager(me)
        await pager.set_up()
        yield pager, client, await client.map(pager.region, SIZE)


@asynccontextmanager
async def serving(pager: HostPager, reply: FaultReply = FaultReply.RESOLVED) -> AsyncIterator[None]:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(pager.serve, reply)
        yield
        tasks.cancel_scope.cancel()


async def test_host_thread_is_brought_the_page_that_its_call_needs(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, paged(kernel) as (pager, client, view), serving(pager):
        mutex = await client.mutex(view, PAGE_SIZE + 32)
        async with mutex:
            assert thread_of(client).owned
        ((code, access, _, offset, thread_hash),) = pager.asked
        assert (code, access, offset) == (ExceptionCode.STORE_FAULT, Prot.WRITE, PAGE_SIZE + 32)
        assert thread_hash == thread_of(client).hash
        assert kernel.statistics().hard_faults == 1


async def test_kind_and_alias_tell_the_keeper_what_has_come(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, paged(kernel) as (pager, client, view):
        requests = pager.me.serve(pager.port)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(client.mutex, view)
            request = await anext(requests)
            registers = thread_of(pager.me).registers
            assert registers[12] == MessageKind.FAULT
            assert not request.is_one_way
            described = describe_thread(thread_of(client))
            assert described.entry_point == "fault"
            await pager.bring(0)
            await request.reply()


async def test_host_thread_is_told_what_its_keeper_cannot_give(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, paged(kernel) as (pager, client, view):
        async with serving(pager, FaultReply.FAILED):
            with pytest.raises(fluke.SystemCallError, match="mutex_create: STORE_FAULT") as caught:
                await client.mutex(view, PAGE_SIZE)
            assert caught.value.subcode == view.address + PAGE_SIZE
        assert is_at_rest(thread_of(client))
        async with await client.mutex():
            assert thread_of(client).owned


async def test_call_that_waits_for_a_page_can_be_cancelled(make_kernel: MakeKernel, way: str) -> None:
    """Before its keeper has taken the question, and after; the keeper's answer goes to nobody then."""
    async with make_kernel() as kernel, paged(kernel) as (pager, client, view):
        thread = thread_of(client)
        for taken in (False, True):
            attempt = Attempt(lambda: client.mutex(view, PAGE_SIZE), way)
            attempt.start()
            request = await anext(pager.me.serve(pager.port)) if taken else None
            await until(lambda: thread.fault is not None)
            attempt.cancel()
            await attempt.over()
            assert attempt.was_cancelled
            assert is_at_rest(thread)
            assert thread.fault is None
            if request is not None:
                await pager.bring(1)
                await request.reply()
        mutex = await client.mutex(view, PAGE_SIZE)
        async with mutex:
            assert thread.owned


async def test_buffer_is_read_and_written_where_its_pages_are(make_kernel: MakeKernel) -> None:
    """Python does not wait for a page: it is told that there is none, and nobody is asked."""
    async with make_kernel() as kernel, paged(kernel) as (pager, _, view):
        pager.frames.write(b"frame", PAGE_SIZE)
        act: list[tuple[ExceptionCode, Callable[[], object]]] = [
            (ExceptionCode.LOAD_FAULT, lambda: view.read(PAGE_SIZE, 5)),
            (ExceptionCode.STORE_FAULT, lambda: view.write(b"x", PAGE_SIZE)),
            (ExceptionCode.STORE_FAULT, lambda: view.write(bytes(2 * PAGE_SIZE), 0)),
        ]
        for code, access in act:
            with pytest.raises(fluke.SystemCallError, match=code.name) as caught:
                access()
            assert caught.value.code is code
        assert kernel.statistics().hard_faults == 0
        await pager.bring(1)
        assert view.read(PAGE_SIZE, 5) == b"frame"
        view.write(b"F", PAGE_SIZE)
        assert pager.frames.read(PAGE_SIZE, 5) == b"Frame"
        await pager.bring(1, Prot.READ)
        assert view.read(PAGE_SIZE, 5) == b"Frame"
        with pytest.raises(fluke.SystemCallError, match="STORE_FAULT"):
            view.write(b"x", PAGE_SIZE)
        await pager.bring(1, Prot.NONE)
        with pytest.raises(fluke.SystemCallError, match="LOAD_FAULT"):
            view.read(PAGE_SIZE, 1)
        assert pager.frames.read(PAGE_SIZE, 5) == b"Frame"
        assert pager.asked == []


async def test_end_of_the_keeper_is_told_to_who_asks(make_kernel: MakeKernel) -> None:
    """All of its memory goes with it."""
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as client:
        async with anyio.create_task_group() as tasks, kernel.host_thread() as me:
            pager = HostPager(me)
            await pager.set_up()
            view = await client.map(pager.region, SIZE)

            async def fail() -> None:
                with pytest.raises(fluke.SystemCallError, match="STORE_FAULT"):
                    await client.mutex(view)

            tasks.start_soon(fail)
            await until(lambda: thread_of(client).fault is not None)
        async with await client.mutex():
            assert thread_of(client).owned


# -- a program that waits for itself --------------------------------------------------------------------------------

OBJECTS, REGION_BITS, MAPPING_BITS, WINDOW, VIEW = 0x20000, 0x100, 0x140, 0x71000000, 0x70000000
PORTSET, PORT, REGION, MAPPING, PORTSET_REF, PORT_REF, REGION_REF = range(0, 0x70, 0x10)


def keeps_what_it_needs() -> bytes:
    """A program of one thread that maps a region of which it is the keeper, and loads from it."""

    def perform(name: str, *operands: int | str) -> tuple[int, ...]:
        """A call; numbers are offsets of objects or states, "space" is the reference to the program's space."""
        steps = [
            rv64.addi(f"a{number}", "s1", 0) if operand == "space"
            else rv64.addi(f"a{number}", "zero", 0) if isinstance(operand, str)
            else rv64.addi(f"a{number}", "s0", operand)
            for number, operand in enumerate(operands)
        ]  # fmt: skip
        return (*steps, *call(name))

    region_state = REGION_STATE.pack({"start_va": WINDOW, "size": PAGE_SIZE, "prot": int(Prot.ALL)})
    mapping_state = MAPPING_STATE.pack({"start_va": VIEW, "size": PAGE_SIZE, "prot": int(Prot.ALL)})
    data = bytes(REGION_BITS) + struct.pack("<64s", region_state) + mapping_state
    return elf(
        rv64.load("s1", "a0", START_BLOCK.offset_of("space_ref")),
        rv64.lui("s0", OBJECTS >> 12),
        *perform("portset_create", PORTSET),
        *perform("port_create", PORT),
        *perform("region_create", REGION),
        *perform("mapping_create", MAPPING),
        *[step for ref in (PORTSET_REF, PORT_REF, REGION_REF) for step in perform("ref_create", ref)],
        *perform("portset_reference", PORTSET, PORTSET_REF),
        *perform("port_set_state", PORT, "null", PORTSET_REF),
        *perform("port_reference", PORT, PORT_REF),
        *perform("region_set_state", REGION, REGION_BITS, "space", PORT_REF),
        *perform("region_reference", REGION, REGION_REF),
        *perform("mapping_set_state", MAPPING, MAPPING_BITS, REGION_REF, "space"),
        rv64.lui("s2", VIEW >> 12),
        rv64.load("s3", "s2", 0x18),
        rv64.EBREAK,
        parts=(Part(OBJECTS, data, PAGE_SIZE),),
    )


async def test_program_that_waits_for_itself_to_bring_a_page_is_a_deadlock(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(keeps_what_it_needs())
        end = await process.wait()
        assert end.reason == "deadlock"
        assert f"{VIEW + 0x18:#x}" in end.message
        await process.kill()
        assert kernel.statistics().memory_used_bytes == 0
