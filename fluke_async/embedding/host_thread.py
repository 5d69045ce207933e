"""
Host threads: a task of the application owns a thread of the kernel, and makes system calls with `await`.

The thread has a space of its own, and registers like any other thread; its code is the task. So devices and services
can be written in Python, share memory and mutexes with programs, and call them or be called. All calls enter through
the driver's one queue. Compare the kernel threads of the original, whose code was in the kernel, and which used the
same calls as user programs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fluke_async.abi.codes import Prot
from fluke_async.abi.devices import TimerOperation
from fluke_async.abi.layouts import MAPPING_STATE, REGION_STATE
from fluke_async.device import DevicePort
from fluke_async.embedding.host_context import HostContext, Operand
from fluke_async.embedding.host_memory import Buffer, Room, whole_pages
from fluke_async.embedding.host_messages import Data, Message, Messenger, Requests
from fluke_async.embedding.host_objects import HostCond, HostMutex, HostPort, HostReference, Named
from fluke_async.embedding.system_call import SystemCallResult
from fluke_async.errors import FlukeError

MESSAGE_BYTES = 64 << 10  # room for a message unless the caller says how much
REFERENCES = 4  # likewise for references
SLEEP_MAX_NS = 1 << 62


class HostThread:
    """
    A thread of the kernel, for one task; made by `Kernel.host_thread`, and gone at the end of its block.

    It makes one call at a time. A cancelled await interrupts the call; if that was complete already, its result is
    returned, and the cancellation comes at the next await.

    A call that is a mistake raises `SystemCallError`; any call raises `FlukeError` when another one is under way, or
    when the host thread or the kernel has ended.
    """

    def __init__(self, context: HostContext, timer: DevicePort) -> None:
        self._context = context
        self._messenger = Messenger(context)
        self._state = Room(context.memory)
        self._timer = timer

    @property
    def space(self) -> HostReference:
        """A reference to the space of this thread."""
        return self._context.space

    # -- objects and memory ---------------------------------------------------------------------------------------

    async def mutex(self, within: Buffer | None = None, offset: int = 0) -> HostMutex:
        """A new mutex, anywhere, or at an offset of a buffer, which may be shared."""
        return HostMutex(self._context, await self._context.create("mutex", within, offset))

    async def cond(self, within: Buffer | None = None, offset: int = 0) -> HostCond:
        """A new condition, anywhere, or at an offset of a buffer, which may be shared."""
        return HostCond(self._context, await self._context.create("cond", within, offset))

    def mutex_at(self, address: int) -> HostMutex:
        """The mutex that somebody has made at an address of this thread's memory, mapped perhaps."""
        return HostMutex(self._context, address)

    def cond_at(self, address: int) -> HostCond:
        """The condition that somebody has made at an address of this thread's memory, mapped perhaps."""
        return HostCond(self._context, address)

    async def buffer(self, size: int) -> Buffer:
        """
        Memory of zeros, from a page on.

        Raises:
            FlukeError: the kernel's memory does not suffice, or the size is not positive.
        """
        self._context.caller.check_free()
        if size < 1:
            raise FlukeError(f"a buffer of {size} bytes is none: give a positive size")
        return self._context.memory.buffer(size)

    async def port(self) -> HostPort:
        """A new port, for `serve`."""
        with self._context.places(3) as (portset, port, reference):
            await self._context.perform("ref_create", ref=reference)
            await self._context.perform("portset_create", portset=portset)
            await self._context.perform("portset_reference", portset=portset, ref=reference)
            await self._context.perform("port_create", port=port)
            await self._context.perform("port_set_state", port=port, portset_ref=reference)
            await self._context.perform("port_reference", port=port, ref=reference)
            return HostPort(self._context, port, portset, HostReference(self._context, reference))

    async def share(self, buffer: Buffer, prot: int = Prot.READ | Prot.WRITE) -> HostReference:
        """
        A reference to a region of whole pages with the buffer in it, for others to map.

        They can see the buffer until this host thread ends, with at most the access `prot`.
        """
        if buffer.memory is not self._context.memory:
            raise FlukeError(f"{buffer!r} belongs to another host thread: share it there")
        bits = {"start_va": buffer.address, "size": whole_pages(buffer.size), "prot": int(prot)}
        with self._context.places(2) as (region, reference):
            await self._context.perform("ref_create", ref=reference)
            await self._context.perform("region_create", region=region)
            state = self._state.hold(REGION_STATE.pack(bits))
            await self._context.perform("region_set_state", region=region, state=state, space_ref=self.space)
            await self._context.perform("region_reference", region=region, ref=reference)
            return HostReference(self._context, reference)

    async def map(self, region: HostReference, size: int, offset: int = 0) -> Buffer:
        """
        Somebody else's memory: `size` bytes from an offset of a region, as far as it goes and with what it allows.

        What lies there may go away at any time; reading it then raises `SystemCallError`.
        """
        if size < 1:
            raise FlukeError(f"{size} bytes cannot be mapped: give a positive size")
        reference = await self._context.known(region)
        bits = {
            "region_off": offset,
            "start_va": self._context.memory.take_window(size),
            "size": whole_pages(size),
            "prot": int(Prot.READ | Prot.WRITE),
        }
        with self._context.places(1) as (mapping,):
            await self._context.perform("mapping_create", mapping=mapping)
            state = self._state.hold(MAPPING_STATE.pack(bits))
            await self._context.perform(
                "mapping_set_state", mapping=mapping, state=state, region_ref=reference, space_ref=self.space
            )
        return Buffer(self._context.memory, bits["start_va"], size)

    # -- messages and time ----------------------------------------------------------------------------------------

    async def call(self, port: Named, data: Data = b"", *, bytes_max: int = MESSAGE_BYTES) -> bytes:
        """
        Send an idempotent request and wait for the reply; of a reply longer than `bytes_max` the rest is cut off.

        Args:
            port: a port of this or another host thread, a reference to a port, or what `Kernel.plug_in` returned.
            data: bytes, filled up with zeros to whole words of 8; or such words as numbers.
            bytes_max: room for the reply, in bytes; whole words count.

        Raises:
            SystemCallError: there is no such port any more.
        """
        return (await self.exchange(port, data, bytes_max=bytes_max, references_max=0)).data

    async def exchange(
        self,
        port: Named,
        data: Data = b"",
        references: Sequence[Named] = (),
        *,
        bytes_max: int = MESSAGE_BYTES,
        references_max: int = REFERENCES,
    ) -> Message:
        """The same as `call`, with references in both directions."""
        return await self._messenger.exchange(port, data, references, bytes_max, references_max)

    async def send(self, port: Named, data: Data = b"", references: Sequence[Named] = ()) -> None:
        """
        Send a one-way message, of at most 8 KiB; wait until somebody takes it.

        Raises:
            SystemCallError: there is no such port any more.
        """
        await self._messenger.send(port, data, references)

    def serve(self, port: HostPort, *, bytes_max: int = MESSAGE_BYTES, references_max: int = REFERENCES) -> Requests:
        """
        Take requests: `async for request in me.serve(port): await request.reply(...)`.

        A request that is not answered when the next one is taken comes again, because its client calls again.

        Args:
            port: a port of this host thread.
            bytes_max: room for a request, in bytes; whole words count, and the rest is cut off.
            references_max: how many references may come with one.
        """
        if not isinstance(port, HostPort):
            raise FlukeError(f"{port!r} cannot be served: give what `port` of this host thread returned")
        self._context.check_own(port)
        return Requests(self._messenger, port, bytes_max, references_max)

    async def sleep(self, seconds: float) -> None:
        """
        Wait until the kernel's clock, virtual or real, has gone on by `seconds`.

        Raises:
            FlukeError: the time is negative or too long.
        """
        duration_ns = seconds * 1e9
        if not 0 <= duration_ns < math.inf or self._context.driver.now_ns() + duration_ns > SLEEP_MAX_NS:
            raise FlukeError(f"a sleep of {seconds} s cannot be: give a time from 0 to 146 years")
        end_ns = self._context.driver.now_ns() + round(duration_ns)
        await self.call(self._timer, (TimerOperation.WAIT_UNTIL, end_ns), bytes_max=16)

    # -- any call -------------------------------------------------------------------------------------------------

    async def system_call(self, name: str, /, **operands: Operand) -> SystemCallResult:
        """
        Make any call of the table.

        Args:
            name: as in the table, such as "thread_self".
            operands: by the table's names: numbers, objects, buffers, or addresses of this thread's memory; one that is
                not given is 0. Structures are packed and unpacked with `fluke_async.abi.layouts`.

        Raises:
            SystemCallError: the call was a mistake. (A status is returned, whatever it says.)
            FlukeError: there is no such call or operand, or a word is none.
        """
        return await self._context.make(name, operands)
