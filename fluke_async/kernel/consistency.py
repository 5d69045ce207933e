"""Invariants that hold between any two steps of a kernel; for tests, and for reports of a bug."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.errors import KernelBug
from fluke_async.kernel.donation import is_donor
from fluke_async.kernel.objects.thread import Thread

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core


def check(core: Core) -> None:
    """Raise KernelBug, saying what is wrong, if the state contradicts itself."""
    for address, target in core.objects.items():
        if target.address != address or not target.active:
            raise KernelBug(f"{target} is filed under {address:#x}")
        if isinstance(target, Thread):
            _check_thread(target)
    if core.current is not None and core.current.place is not None and core.current.waiting_for:
        raise KernelBug(f"{core.current} runs and waits")


def _check_thread(thread: Thread) -> None:
    record = thread.continuation
    if (thread.waiting_for is None) != (record is None):
        raise KernelBug(f"{thread}: waiting_for and continuation disagree")
    if record is not None and (
        record.waiting_for is not thread.waiting_for
        or record.wait_order != thread.wait_order
        or record.negative_priority != -thread.effective_priority
    ):
        raise KernelBug(f"{thread}: {record} is not what its state says")
    asks = not thread.has_time and not thread.asked and thread.scheduler is not None and not thread.scheduler.receiver
    if record is None and (thread.place is not None) != (thread.runnable and (thread.has_time or asks)):
        raise KernelBug(f"{thread}: {thread.condition} but place is {thread.place}")
    if thread.callee is not None and thread.callee.client is not thread:
        raise KernelBug(f"{thread}: its server does not serve it")
    if (thread.donee is not None) != (is_donor(thread) and thread.is_awake and thread.has_time):
        raise KernelBug(f"{thread}: it gives its time to {thread.donee}")
    lent = max((lender.lent_priority for lender in thread.lenders or ()), default=0)
    lent = max((lent, *(donor.effective_priority for donor in thread.donors or ())))
    if thread.effective_priority != max(thread.priority, lent):
        raise KernelBug(f"{thread}: its priority is {thread.effective_priority}, but it is lent {lent}")
