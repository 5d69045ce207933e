"""
Effective priority: a thread's own, or what it is lent, whichever is greater.

A mutex with INHERIT_PRI lends its owner the priority of its first waiter, one with PRI_CEILING at least its ceiling; a
condition lends its inheritor that of its first waiter; who donates time lends its own with it. What is lent goes on
along the chain of waits, and decides every place in every queue. It is never exported: it follows from base
priorities, links and queues. The protocols are those of Sha, Rajkumar and Lehoczky (1990), with POSIX's meaning of a
ceiling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.kernel.objects.base import Lender

if TYPE_CHECKING:
    from fluke_async.kernel.objects.thread import Thread
    from fluke_async.kernel.scheduler import Scheduler


def lend(core: Scheduler, lender: Lender, before: Thread | None, after: Thread | None) -> None:
    """A lender has passed from one thread to another; either may be nobody."""
    if before is not None and before.lenders is not None:
        before.lenders.discard(lender)
        renew(core, before)
    if after is not None:
        if after.lenders is None:
            after.lenders = set()
        after.lenders.add(lender)
        renew(core, after)


def renew(core: Scheduler, thread: Thread) -> None:
    """
    What `thread` is lent has changed: rank it again, and whoever inherits from it in turn.

    Where the chain of waits runs into a ring, which is a deadlock, its threads could keep up among themselves what
    nobody lends them any more. So they begin with their own priorities, and what is lent goes round twice: once to
    reach the greatest, once to pass it on to all.
    """
    chain, seen = [], set()
    link: Thread | None = thread
    while link is not None and link not in seen:
        chain.append(link)
        seen.add(link)
        target = link.waiting_for
        link = link.donee or (target.heir if isinstance(target, Lender) else None)
    core.links_ranked += len(chain)
    ring = [] if link is None else chain[chain.index(link) :]
    for each in ring:
        core.rank(each, each.priority)
    for each in (*chain, *ring):
        priority = _derived(each)
        if priority != each.effective_priority:
            core.rank(each, priority)
        elif not ring:
            return


def _derived(thread: Thread) -> int:
    priority = thread.priority
    for lender in thread.lenders or ():
        priority = max(priority, lender.lent_priority)
    for donor in thread.donors or ():
        priority = max(priority, donor.effective_priority)
    return priority
