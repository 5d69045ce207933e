"""Mutexes: owned by one thread at a time, handed over in order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PRIORITY_MAX, PRIORITY_MIN, ExceptionCode, MutexFlags, ObjectType, Status
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.layouts import MUTEX_STATE
from fluke_async.abi.registers import A0, ENTRY_POINT
from fluke_async.kernel.checks import mistake, number
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.base import Lender, Link, Links, StateBits
from fluke_async.kernel.priority import lend
from fluke_async.kernel.suspension import WAIT

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

INHERIT, CEILING, OWNER_DEAD = (
    int(flag) for flag in (MutexFlags.INHERIT_PRI, MutexFlags.PRI_CEILING, MutexFlags.OWNER_DEAD)
)  # plain numbers: flags cost a microsecond
LOCK = BY_NAME["mutex_lock"].number
LENDS = INHERIT | CEILING
SETTABLE_FLAGS = LENDS | OWNER_DEAD | int(MutexFlags.MULTITASK)


class Mutex(Lender):
    """
    Locked or not, and by whom; the owner of a locked mutex can be unknown after it died (OWNER_DEAD).

    By its flags it lends its owner the priority of the first waiter, or at least `ceiling`.
    """

    __slots__ = ("ceiling", "flags", "locked", "owner")

    type = ObjectType.MUTEX
    wrong_type = ExceptionCode.NOT_MUTEX
    layout = MUTEX_STATE
    named_by_waiters = True
    links = (Link("owner", frozenset({ObjectType.THREAD}), ExceptionCode.NOT_THREAD_REF),)

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.flags = 0
        self.locked = False
        self.ceiling = PRIORITY_MIN
        self.owner: Thread | None = None

    @property
    def heir(self) -> Thread | None:
        return self.owner if self.flags & INHERIT else None

    @property
    def lent_priority(self) -> int:
        waiter = self.first_waiter() if self.flags & INHERIT else None
        ceiling = self.ceiling if self.flags & CEILING else PRIORITY_MIN
        return ceiling if waiter is None else max(ceiling, waiter.effective_priority)

    def own(self, core: Core, thread: Thread | None) -> None:
        """Make `thread` the owner, or nobody."""
        before = self.owner
        if before is not None and before.owned is not None:
            before.owned.discard(self)
        self.owner = thread
        self.locked = thread is not None
        if thread is not None:
            if thread.owned is None:
                thread.owned = set()
            thread.owned.add(self)
        if self.flags & LENDS:
            lend(core, self, before, thread)

    def owner_died(self) -> None:
        """Stay locked, with nobody as the owner, until a new one is named."""
        self.owner = None
        self.flags |= OWNER_DEAD

    def on_borrower_gone(self) -> None:
        """It is the owner, of whose death the mutex is told apart."""

    def hand_over(self, core: Core) -> None:
        """Give the mutex to the first waiter, or free it; the waiter's call is completed at once."""
        while (waiter := self.first_waiter()) is not None:
            if self._is_locked_by_call(core, waiter):
                self.own(core, waiter)
                core.complete(waiter, Status.SUCCESS)
                return
            core.wake(waiter)  # its registers say something else by now: it looks for itself
        self.own(core, None)

    def _is_locked_by_call(self, core: Core, waiter: Thread) -> bool:
        """Whether a waiter's registers ask for this mutex: to be parked here by a state is not enough."""
        try:
            named = object_at(core, waiter, waiter.registers[A0], Mutex)
        except ProgramException:
            return False
        return named is self and waiter.question is None and waiter.registers[ENTRY_POINT] == LOCK

    def export_bits(self) -> StateBits:
        return {"hash": self.hash, "flags": self.flags, "locked": int(self.locked), "ceiling": self.ceiling}

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        flags = number(bits, "flags") if bits is not None else self.flags
        locked = bool(number(bits, "locked")) if bits is not None else self.locked
        ceiling = number(bits, "ceiling") if bits is not None else self.ceiling
        if flags & ~SETTABLE_FLAGS:
            raise mistake(by, ExceptionCode.INVALID_STATE, flags)
        if ceiling > PRIORITY_MAX:
            raise mistake(by, ExceptionCode.INVALID_STATE, ceiling)
        owner: Thread | None = links.get("owner", self.owner)  # type: ignore[assignment]
        if bits is None and "owner" in links:
            locked = owner is not None
        if owner is not None and not locked:
            raise mistake(by, ExceptionCode.INVALID_STATE, 0)

        self.own(core, None)
        if owner is not None or not locked:
            flags &= ~OWNER_DEAD
        self.flags, self.ceiling = flags, ceiling
        self.own(core, owner)
        self.locked = locked
        if not locked:
            self.hand_over(core)

    def on_destroy(self, core: Core) -> None:
        self.own(core, None)


async def mutex_lock(core: Core, thread: Thread) -> int:
    """Own the mutex; who unlocks it completes this call."""
    while True:
        mutex = object_at(core, thread, thread.registers[A0], Mutex)
        if mutex.owner is thread:
            raise ProgramException(thread, ExceptionCode.MUTEX_LOCKED, thread.registers[A0])
        if not mutex.locked:
            mutex.own(core, thread)
            return Status.SUCCESS
        core.park(thread, mutex)
        await WAIT


def mutex_trylock(core: Core, thread: Thread) -> int:
    """Own the mutex if it is free."""
    mutex = object_at(core, thread, thread.registers[A0], Mutex)
    if mutex.owner is thread:
        raise ProgramException(thread, ExceptionCode.MUTEX_LOCKED, thread.registers[A0])
    if mutex.locked:
        return Status.MUTEX_HELD
    mutex.own(core, thread)
    return Status.SUCCESS


def mutex_unlock(core: Core, thread: Thread) -> int:
    """Hand the mutex to the first who waits."""
    mutex = object_at(core, thread, thread.registers[A0], Mutex)
    if mutex.owner is not thread:
        raise ProgramException(thread, ExceptionCode.MUTEX_NOT_OWNED, thread.registers[A0])
    mutex.hand_over(core)
    return Status.SUCCESS
