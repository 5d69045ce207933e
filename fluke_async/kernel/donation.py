"""
Donated time: a thread in `thread_schedule` gives its processor to the thread that it waits for.

A thread with a scheduler has no time of its own: it can run while somebody gives it some, and else asks at its
scheduler's port. One without a scheduler always has time. Who has time can pass it on, so that schedulers can be
scheduled. Who gives to whom is never exported: it follows from who waits for whom in which call, and what is left of
the time is in that call's registers. The scheme is that of CPU inheritance (Ford and Susarla, OSDI '96).

What follows from a change for places in queues is done at once; what ends a call of a donor, or brings a server to
look, is only *noted*, and settled before the next thread runs (`kernel/scheduling.py`). So a thread can be stopped and
started again, or its donor be, and nobody notices.
"""

from __future__ import annotations

from heapq import heappush
from typing import TYPE_CHECKING, NamedTuple

from fluke_async.abi.codes import ObjectType
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A1, A2, ENTRY_POINT
from fluke_async.kernel.priority import renew

if TYPE_CHECKING:
    from fluke_async.kernel.objects.base import Links
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.thread import Thread
    from fluke_async.kernel.scheduler import Scheduler

SCHEDULE = BY_NAME["thread_schedule"].number
QUANTUM, SENSITIVITY = A1, A2
WORD = 1 << 64


class Request(NamedTuple):
    """The place of a thread that asks its scheduler for time: it stands among those who call at the port."""

    negative_priority: int
    run_order: int
    thread: Thread
    port: Port


def is_donor(thread: Thread) -> bool:
    """Whether a thread waits for another to use its time; it may have none, or be stopped."""
    target = thread.waiting_for
    if target is None or target.type is not ObjectType.THREAD or thread.question is not None:
        return False
    return thread.registers[ENTRY_POINT] == SCHEDULE


def quantum_left(donor: Thread) -> int:
    """What is left of the time that a donor gives; it may be overdrawn."""
    word: int = donor.registers[QUANTUM]
    return word - WORD if word >= WORD // 2 else word


# -- who has time ---------------------------------------------------------------------------------------------------


def renew_time(core: Scheduler, thread: Thread) -> None:
    """Whether a thread has time, or can use or give it, may have changed: put it, and who gets its time, in place."""
    link: Thread | None = thread
    while link is not None:
        link = _pass_on(core, link)


def withdraw(core: Scheduler, donor: Thread) -> None:
    """A donor gives no more."""
    renew_time(core, _unlink(core, donor))


def _pass_on(core: Scheduler, thread: Thread) -> Thread | None:
    """Put one thread in place; returns the one whose time depends on it and has changed."""
    if thread.waiting_for is None:
        core.leave_place(thread)
        core.take_place(thread)
        return None
    if thread.donors is not None:
        note_donors(core, thread)
    waits_to_give = is_donor(thread)
    if waits_to_give:
        note(core, thread)
    gives = waits_to_give and thread.has_time and thread.is_awake and thread.waiting_for.active
    if gives == (thread.donee is not None):
        return None
    core.links_ranked += 1
    return _link(core, thread) if gives else _unlink(core, thread)


def _link(core: Scheduler, donor: Thread) -> Thread:
    donee: Thread = donor.waiting_for  # type: ignore[assignment]  # whoever gives waits for a thread
    donor.donee = donee
    if donee.donors is None:
        donee.donors = {}
    donee.donors[donor] = None
    if donor.registers[SENSITIVITY]:
        core.sensitive[donor] = None
    note(core, donor)
    renew(core, donee)
    return donee


def _unlink(core: Scheduler, donor: Thread) -> Thread:
    donee, donor.donee = donor.donee, None
    assert donee is not None
    assert donee.donors is not None
    del donee.donors[donor]
    donee.donors = donee.donors or None
    core.sensitive.pop(donor, None)
    note(core, donor)
    renew(core, donee)
    return donee


# -- what is left of it ---------------------------------------------------------------------------------------------


def first_donor(thread: Thread) -> Thread:
    """Whose time a thread uses, of all that give it some: the first in the order of waiting."""
    donors = thread.donors
    assert donors is not None
    if len(donors) == 1:
        return next(iter(donors))
    return min(donors, key=lambda donor: (-donor.effective_priority, donor.wait_order, donor))


def time_given(thread: Thread) -> int:
    """How long a thread can run on what it is given."""
    donor = first_donor(thread)
    left = quantum_left(donor)
    while donor.donors is not None:
        donor = first_donor(donor)
        left = min(left, quantum_left(donor))
    return left


def pay(core: Scheduler, thread: Thread, cost: int) -> None:
    """A thread has used time: all pay through whom it came."""
    core.links_ranked -= 1  # the first link is no more work than any step
    while thread.donors is not None:
        thread = first_donor(thread)
        left = quantum_left(thread) - cost
        thread.registers[QUANTUM] = left % WORD
        core.links_ranked += 1
        if left <= 0:
            note(core, thread)


# -- what has to be looked at ---------------------------------------------------------------------------------------


def ask(core: Scheduler, thread: Thread) -> None:
    """A thread that could run has no time: it asks its scheduler, if that does not know already."""
    port = thread.scheduler
    assert port is not None
    if thread.asked or port.receiver is not None:  # no device gives time
        return
    port.queue().push(Request(-thread.effective_priority, thread.run_order, thread, port))
    announce(core, port)


def stays_known(thread: Thread, links: Links) -> bool:
    """
    Whether a program may load that a thread's scheduler knows of it.

    A state may be older than the moment at which its scheduler gave it up, or another's may be loaded: then it asks
    anew, for a request that is lost would do harm. One that has no space yet is new, and known to nobody.
    """
    if thread.space is None:
        return True
    scheduler = thread.export_link("scheduler")
    return thread.asked and scheduler is not None and links.get("scheduler", scheduler) is scheduler


def announce(core: Scheduler, port: Port) -> None:
    """Somebody has come to a port, or the port to a set: servers look, and donors that are sensitive to that."""
    _note(core, (0, port.hash, port))
    for donor in core.sensitive:
        note(core, donor)


def note(core: Scheduler, donor: Thread) -> None:
    """It is to be seen whether a donor goes on waiting."""
    _note(core, (donor.wait_order, donor.hash, donor))


def note_donors(core: Scheduler, thread: Thread) -> None:
    """Whether a thread can use the time that it is given may have changed."""
    for donor in thread.donors or ():
        note(core, donor)


def _note(core: Scheduler, entry: tuple[int, int, Port | Thread]) -> None:
    heappush(core.unsettled, entry)
    core.links_ranked += 1
