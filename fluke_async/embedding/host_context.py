"""What the parts of one host thread share: its memory, its calls, the places of its objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fluke_async.abi.codes import Status
from fluke_async.embedding.host_call import Finishing, HostCaller
from fluke_async.embedding.host_memory import Buffer, HostMemory
from fluke_async.embedding.host_objects import HostObject, HostPort, HostReference, Named, resolve
from fluke_async.embedding.system_call import (
    SystemCallError,
    SystemCallResult,
    argument_registers,
    find_entry_point,
    has_status,
    result_of,
)
from fluke_async.errors import FlukeError

if TYPE_CHECKING:
    from fluke_async.embedding.driver import Driver

Operand = int | HostObject | Buffer


class HostContext:
    """Behind one `HostThread`; made at the fixed point. `space` is a reference to its own space."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.memory = HostMemory(driver.core)
        self.caller = HostCaller(driver, self.memory.thread)
        self.space = HostReference(self, self.memory.own_space)

    def end(self) -> None:
        """Destroy the thread with all that is in its memory; at the fixed point only."""
        self.caller.end("this host thread has ended: use it inside its `async with` block")
        self.memory.free()

    # -- calls ----------------------------------------------------------------------------------------------------

    async def perform(self, name: str, finishing: Finishing | None = None, /, **operands: Operand) -> SystemCallResult:
        """A call that is expected to succeed: the same as `system_call`, but another status raises."""
        result = await self.make(name, operands, finishing)
        if result.status and has_status(find_entry_point(name)):
            raise SystemCallError.of_status(name, Status(result.status))
        return result

    async def make(
        self, name: str, operands: dict[str, Operand], finishing: Finishing | None = None
    ) -> SystemCallResult:
        """Any call of the table; see `HostThread.system_call`."""
        entry = find_entry_point(name)
        words = argument_registers(entry, {operand: self._word(value) for operand, value in operands.items()})
        return result_of(entry, await self.caller.call(entry, words, finishing))

    def _word(self, value: Operand) -> int:
        if isinstance(value, Buffer | HostObject):
            self.check_own(value)
            return value.address
        return value

    def check_own(self, value: HostObject | Buffer) -> None:
        """
        See that something lies in this thread's memory.

        Raises:
            FlukeError: it belongs to another host thread.
        """
        if (value.memory if isinstance(value, Buffer) else value.owner.memory) is not self.memory:
            raise FlukeError(f"{value!r} belongs to another host thread: use it there, or share its memory")

    # -- places of objects ----------------------------------------------------------------------------------------

    async def new_reference(self) -> HostReference:
        """A reference to nothing."""
        return HostReference(self, await self.create("ref"))

    async def drop(self, reference: HostReference) -> None:
        """End a reference."""
        await self.perform("ref_destroy", ref=reference)
        self.driver.post(lambda: self.memory.clear_slot(reference.address))

    async def create(self, kind: str, within: Buffer | None = None, offset: int = 0) -> int:
        """Make an object, anywhere or in a buffer; returns its address."""
        if within is not None:
            if not 0 <= offset < within.size:
                raise FlukeError(f"offset {offset} is outside {within!r}: stay inside")
            await self.perform(f"{kind}_create", **{kind: within.address + offset})
            return within.address + offset
        with self.places(1) as (address,):
            await self.perform(f"{kind}_create", **{kind: address})
            return address

    @contextmanager
    def places(self, count: int) -> Iterator[list[int]]:
        """Places for objects; if they are not all made, none is left."""
        places = [self.memory.take_slot() for _ in range(count)]
        try:
            yield places
        except BaseException:
            self.driver.post(lambda: self._clear(places))
            raise

    def _clear(self, places: list[int]) -> None:
        for place in places:
            self.memory.clear_slot(place)

    async def known(self, target: Named) -> HostReference:
        """A reference of this thread's own to what it names: anything that `resolve` takes."""
        if isinstance(target, HostPort):
            target = target.reference
        if isinstance(target, HostReference) and target.owner is self:
            return target
        address = self.memory.imported.get(resolve(self.driver, target))
        if address is None:
            address = await self.caller.at_fixed_point(lambda: self._import(target))
        return HostReference(self, address)

    def _import(self, target: Named) -> int:
        self.memory.check()
        return self.memory.reference_to(resolve(self.driver, target))
