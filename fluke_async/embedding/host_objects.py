"""
Kernel objects of a host thread: each a place in its memory, and the calls that can be made on it.

They belong to one host thread: calls on them are calls of that thread. Another one shares the memory that they are in
(`HostThread.share` and `HostThread.map`) and names them there (`HostThread.mutex_at`).
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, ClassVar, Self

import anyio

from fluke_async.abi.codes import Status
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.device import DevicePort
from fluke_async.embedding.host_call import always
from fluke_async.errors import FlukeError
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference

if TYPE_CHECKING:
    from fluke_async.embedding.driver import Driver
    from fluke_async.embedding.host_context import HostContext
    from fluke_async.kernel.objects.base import KernelObject
    from fluke_async.kernel.objects.thread import Thread

GIVE = "give a port or reference of a host thread, or what Kernel.plug_in returned"
MUTEX_LOCK = BY_NAME["mutex_lock"].number


class HostObject:
    """An object at an address of a host thread's memory."""

    kind: ClassVar[str]

    def __init__(self, owner: HostContext, address: int) -> None:
        self.owner = owner
        self.address = address

    def __repr__(self) -> str:
        return f"<{type(self).__name__} at {self.address:#x}>"


class HostMutex(HostObject):
    """A mutex. `async with mutex:` holds it, and gives it back however the block is left."""

    kind = "mutex"

    async def lock(self) -> None:
        """
        Own the mutex; wait, in order, until it is free.

        Raises:
            SystemCallError: the host thread owns it already, or it has been destroyed.
        """
        await self.owner.perform("mutex_lock", mutex=self)

    async def trylock(self) -> bool:
        """
        Own the mutex if it is free; whether it was.

        Raises:
            SystemCallError: the host thread owns it already, or it has been destroyed.
        """
        return (await self.owner.make("mutex_trylock", {"mutex": self})).status == Status.SUCCESS

    async def unlock(self) -> None:
        """
        Give the mutex to the first who waits. If this is cancelled, it may still be locked.

        Raises:
            SystemCallError: the host thread does not own it.
        """
        await self.owner.perform("mutex_unlock", mutex=self)

    async def __aenter__(self) -> Self:
        await self.lock()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self.owner.perform("mutex_unlock", always, mutex=self)
        except FlukeError:
            if not self.owner.caller.has_ended:  # else there is nothing to give back
                raise


class HostCond(HostObject):
    """A condition: waiting for what others signal."""

    kind = "cond"

    async def wait(self, mutex: HostMutex) -> None:
        """
        Unlock the mutex, wait for a signal, and lock it again; it may return without one, so wait in a loop.

        When this is cancelled, the mutex is locked again before the cancellation is raised; a signal that had come is
        passed on. (So does `asyncio.Condition`.)

        Raises:
            SystemCallError: the host thread does not own the mutex, or an object has been destroyed.
        """
        signalled = False

        def is_unlocked(thread: Thread) -> bool:
            """Whether the call is to be finished: it has become one that locks the mutex again."""
            nonlocal signalled
            if thread.registers[ENTRY_POINT] != MUTEX_LOCK:
                return False
            signalled = not isinstance(thread.waiting_for, Cond)
            if not signalled:
                self.owner.driver.core.wake(thread)
            return True

        try:
            await self.owner.perform("cond_wait", is_unlocked, cond=self, mutex=mutex)
        except anyio.get_cancelled_exc_class():
            if signalled:
                with suppress(anyio.get_cancelled_exc_class(), FlukeError):  # one is raised anyway
                    await self.owner.perform("cond_signal", always, cond=self)
            raise

    async def signal(self) -> None:
        """Let the first who waits go on; nothing is remembered if there is none."""
        await self.owner.perform("cond_signal", cond=self)

    async def broadcast(self) -> None:
        """Let all go on that wait by now."""
        await self.owner.perform("cond_broadcast", cond=self)


class HostReference(HostObject):
    """
    What a host thread holds to name an object somewhere else: a port or a region, most often.

    It can be passed in messages, to `HostThread.call`, to `HostThread.map`, and to `Kernel.spawn` among the services.
    """

    kind = "ref"

    async def type(self) -> int:
        """The type of what it refers to, as `ObjectType` counts; `ObjectType.NULL` if that is gone."""
        return (await self.owner.make("ref_type", {"ref": self})).status

    async def release(self) -> None:
        """Refer to nothing any more, and make room for another reference."""
        await self.owner.drop(self)


class HostPort(HostObject):
    """
    A port that its host thread serves; see `HostThread.serve`.

    Programs get it by name (`Kernel.spawn` with `services`), host threads pass it to `HostThread.call`.
    """

    kind = "port"

    def __init__(self, owner: HostContext, address: int, portset: int, reference: HostReference) -> None:
        super().__init__(owner, address)
        self.portset = portset
        self.reference = reference


Named = HostPort | HostReference | DevicePort
"""What can be referred to from anywhere in a kernel."""


def resolve(driver: Driver, named: Named) -> KernelObject | DevicePort:
    """
    What is named.

    Raises:
        FlukeError: it is nothing of the kind, belongs to another kernel, or is not there any more.
    """
    if not isinstance(named, HostPort | HostReference | DevicePort):
        raise FlukeError(f"{named!r} cannot be referred to: {GIVE}")
    if (named.host if isinstance(named, DevicePort) else named.owner.driver) is not driver:
        raise FlukeError(f"{named!r} belongs to another kernel: {GIVE}")
    if isinstance(named, DevicePort):
        return named
    found = named.owner.memory.object(named.address, Port if isinstance(named, HostPort) else Reference)
    target = found.target if isinstance(found, Reference) else found
    if target is None:
        raise FlukeError(f"{named!r} is not there any more: its object or its host thread has ended")
    return target
