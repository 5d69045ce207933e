"""
Conditions: where threads wait until another says that something has changed.

Waiting has two stages. The first unlocks the mutex and parks the thread on the condition; before it sleeps, its
registers have become those of `mutex_lock`, which is the second. So a waiter that is interrupted, exported, or woken
for whatever reason, locks its mutex and returns: a spurious return, which every user of conditions expects.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PRIORITY_MIN, CondFlags, ExceptionCode, ObjectType, Status
from fluke_async.abi.entry_points import BY_NAME, COMPLETION_COST
from fluke_async.abi.layouts import COND_STATE
from fluke_async.abi.registers import A0, A1, ENTRY_POINT
from fluke_async.kernel.checks import mistake, number
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.base import Lender, Link, Links, StateBits
from fluke_async.kernel.objects.mutex import Mutex, mutex_lock
from fluke_async.kernel.priority import lend
from fluke_async.kernel.suspension import VISIT, WAIT

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

MUTEX_LOCK = BY_NAME["mutex_lock"].number
SETTABLE_FLAGS = int(CondFlags.MULTITASK)


class Cond(Lender):
    """A condition variable; its inheritor, if it has one, is lent the priority of the first waiter."""

    __slots__ = ("flags", "inheritor")

    type = ObjectType.COND
    wrong_type = ExceptionCode.NOT_COND
    layout = COND_STATE
    links = (Link("inheritor", frozenset({ObjectType.THREAD}), ExceptionCode.NOT_THREAD_REF),)
    ends_stage = True

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.flags = 0
        self.inheritor: Thread | None = None

    @property
    def heir(self) -> Thread | None:
        return self.inheritor

    @property
    def lent_priority(self) -> int:
        waiter = self.first_waiter()
        return PRIORITY_MIN if waiter is None else waiter.effective_priority

    def first_waiter_before(self, wait_order: int) -> Thread | None:
        """The first waiter of those with an earlier order; a greater priority may stand before it."""
        first = self.first_waiter()
        if first is None or first.wait_order < wait_order:
            return first
        return next((waiter for waiter in self.queue().in_order() if waiter.wait_order < wait_order), None)

    def export_bits(self) -> StateBits:
        return {"hash": self.hash, "flags": self.flags}

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        flags = self.flags if bits is None else number(bits, "flags")
        if flags & ~SETTABLE_FLAGS:
            raise mistake(by, ExceptionCode.INVALID_STATE, flags)
        self.flags = flags
        if "inheritor" in links:
            before, self.inheritor = self.inheritor, links["inheritor"]  # type: ignore[assignment]
            lend(core, self, before, self.inheritor)

    def on_destroy(self, core: Core) -> None:
        before, self.inheritor = self.inheritor, None
        lend(core, self, before, None)

    def on_borrower_gone(self) -> None:
        self.inheritor = None


async def cond_wait(core: Core, thread: Thread) -> int:
    """Unlock the mutex and wait for a signal; then lock it again, as `mutex_lock`."""
    while True:
        registers = thread.registers
        if registers[ENTRY_POINT] == MUTEX_LOCK:
            return await mutex_lock(core, thread)
        cond = object_at(core, thread, registers[A0], Cond)
        mutex = object_at(core, thread, registers[A1], Mutex)
        if mutex.owner is not thread:
            raise ProgramException(thread, ExceptionCode.MUTEX_NOT_OWNED, registers[A1])
        mutex.hand_over(core)
        registers[A0] = registers[A1]
        core.enter_stage(thread, MUTEX_LOCK)
        core.park(thread, cond)
        await WAIT


def cond_signal(core: Core, thread: Thread) -> int:
    """Let the first waiter go on; nothing is remembered if there is none."""
    waiter = object_at(core, thread, thread.registers[A0], Cond).first_waiter()
    if waiter is not None:
        core.wake(waiter)
    return Status.SUCCESS


async def cond_broadcast(core: Core, thread: Thread) -> int:
    """
    Let all go on that wait by now.

    The broadcast takes a place in the order of waits at its first step, which is exported: whoever waits again, or
    comes later, stands behind it and is left alone, however often the broadcast is cut off.
    """
    while True:
        cond = object_at(core, thread, thread.registers[A0], Cond)
        if not thread.wait_order:
            thread.wait_order = core.new_stamp()
        waiter = cond.first_waiter_before(thread.wait_order)
        if waiter is None:
            return Status.SUCCESS
        core.wake(waiter)
        core.charge(COMPLETION_COST)
        await VISIT
