"""
What must hold between any two steps of the kernel, beyond what `kernel/consistency.py` looks at.

Written from the architecture: every queue is in order and holds those who belong there and nobody else; what two
objects know of each other agrees; effective priorities are what is lent and no more. What concerns memory is in
`memory_invariants`. Rules are assertions: without them, under `python -O`, nothing would be looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from fluke_async.abi.codes import MutexFlags
from fluke_async.abi.entry_point import Class
from fluke_async.abi.entry_points import BY_NAME, BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel import consistency
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject, Lender
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.ordered_queue import OrderedQueue
from fluke_async.verify.memory_invariants import check_memory


def check(core: Core, *, forged: bool = False) -> None:
    """All invariants of a kernel; `forged`: programs have parked threads where no call would have."""
    consistency.check(core)
    objects = list(core.objects.values())
    threads = [each for each in objects if isinstance(each, Thread)]
    check_queues(core, objects, threads)
    check_priorities(objects, threads)
    for thread in threads:
        check_thread(core, thread)
    for each in objects:
        if isinstance(each, Mutex):
            check_mutex(each)
            assert forged or each.locked or unwanted(each), f"{each} is free and waited for"
        elif isinstance(each, (Portset, Port)):
            check_port(each)
    check_memory(core, objects)


def check_queues(core: Core, objects: list[KernelObject], threads: list[Thread]) -> None:
    """Every thread is in exactly the queue that its state names, every queue in order."""
    queues: list[tuple[str, KernelObject | None, OrderedQueue]] = [("ready", None, core.ready)]
    for each in objects:
        if each.waiters is not None:
            queues.append(("waiters", each, each.waiters))
        if isinstance(each, Portset):
            queues.append(("callers", each, each.callers))
    found: dict[Thread, OrderedQueue] = {}
    for what, whose, queue in queues:
        members = list(queue.in_order())
        name = what, whose
        assert len(members) == len(queue), f"{name}: {len(queue)} is not how many there are"
        assert queue.head() is (members[0] if members else None), f"{name}: the head is not the first"
        keys = [entry[:2] for thread in members if (entry := thread.place) is not None]
        assert keys == sorted(keys), f"{name} is out of order"
        for thread in members:
            assert thread not in found, f"{thread} is in two queues, one is {name}"
            assert thread.active, f"{thread} is dead and in {name}"
            found[thread] = queue
    given = given_time(threads)
    for thread in threads:
        target = thread.waiting_for
        if target is None:
            belongs = place_of(core, thread, given) if thread.runnable else None
        elif not target.active:
            assert thread.stopped, f"{thread} waits for {target}, which is dead, and is not stopped"
            continue
        else:
            belongs = line_of(target)
        assert found.get(thread) is belongs, f"{thread} is not in the queue where it belongs, or in another"


def line_of(target: KernelObject) -> OrderedQueue:
    """The queue in which those stand who wait for an object."""
    line = target.portset.callers if isinstance(target, Port) and target.portset is not None else target.waiters
    assert line is not None, f"{target} has no queue, and somebody belongs there"
    return line


def place_of(core: Core, thread: Thread, given: set[Thread]) -> OrderedQueue | None:
    """The queue in which a thread stands that could run."""
    scheduler = thread.scheduler
    if scheduler is None or thread in given:
        return core.ready
    return None if thread.asked or scheduler.receiver is not None else line_of(scheduler)


def gifts(threads: Sequence[Thread]) -> Iterator[tuple[Thread, Thread]]:
    """Who gives time to whom, computed from links and registers alone."""
    gives = [
        (thread, thread.waiting_for)
        for thread in threads
        if isinstance(thread.waiting_for, Thread)
        and thread.question is None
        and not thread.stopped
        and thread.registers[ENTRY_POINT] == BY_NAME["thread_schedule"].number
        and thread.space is not None
        and not thread.space.account.is_halted
    ]
    given: set[Thread] = set()
    while True:
        found = [(giver, taker) for giver, taker in gives if giver.scheduler is None or giver in given]
        if {taker for _, taker in found} == given:
            return iter(found)
        given = {taker for _, taker in found}


def given_time(threads: Sequence[Thread]) -> set[Thread]:
    """Who gets time from others."""
    return {taker for _, taker in gifts(threads)}


def check_thread(core: Core, thread: Thread) -> None:
    """What a thread knows of others agrees with what they know of it; no stack outlives its suspension."""
    assert 0 <= thread.pc < 1 << 64
    assert thread.registers[0] == 0
    if thread.space is not None:
        assert thread in thread.space.account.threads
    for mutex in thread.owned or ():
        assert mutex.owner is thread
    if thread.stack is not None:
        inside = thread.waiting_for is not None or thread.in_kernel or core.unfinished is thread
        assert inside, f"{thread}: a stack is left over"
        assert not thread.stopped, f"{thread} is stopped and has a stack"
    assert not (thread.waiting_for is not None and thread.in_kernel)
    assert thread not in (thread.client, thread.server, thread.waiting_for), f"{thread} has a link to itself"
    if thread.waiting_for is not None and thread.question is None and thread.packed is None:
        entry = BY_NUMBER.get(thread.registers[ENTRY_POINT])
        may_wait = entry is not None and entry.call_class not in (Class.TRIVIAL, Class.SHORT)
        assert may_wait, f"{thread} waits in a call that cannot"
    assert not (thread.waiting_for is not None and thread.run_order), f"{thread} waits and has a place among the ready"
    assert not (thread.exception and thread.waiting_for), f"{thread} is stopped by a mistake and waits"
    if thread.callee is not None:
        assert thread.callee.active
    if thread.client is not None:
        assert thread in (thread.client.takers or ()), f"{thread}: its client {thread.client} does not know"
    for taker in thread.takers or ():
        assert taker.client is thread, f"{thread} is named by {taker}, which names {taker.client}"
    if thread.scheduler is not None:
        assert thread.scheduler.active
        assert thread in (thread.scheduler.scheduled or ())


def check_priorities(objects: Sequence[KernelObject], threads: Sequence[Thread]) -> None:
    """Effective priorities are those that follow from the rest of the state; lenders and borrowers know each other."""
    all_loans = list(loans(objects))
    expected = priorities_with(all_loans, threads)
    lenders: dict[Thread, set[Lender]] = {}
    for lender, borrower, _ in all_loans:
        lenders.setdefault(borrower, set()).add(lender)
    for thread in threads:
        assert (thread.lenders or set()) == lenders.get(thread, set()), f"{thread} is lent by {thread.lenders}"
        effective = thread.effective_priority
        assert effective == expected[thread], f"{thread} has priority {effective}, not {expected[thread]}"


def effective_priorities(objects: Sequence[KernelObject]) -> dict[Thread, int]:
    """The least priorities that satisfy the rules of lending, computed from base priorities, links and waits alone."""
    return priorities_with(list(loans(objects)), [each for each in objects if isinstance(each, Thread)])


def priorities_with(all_loans: Sequence[tuple[Lender, Thread, int]], threads: Sequence[Thread]) -> dict[Thread, int]:
    """The same, of these loans."""
    priorities = {each: each.priority for each in threads}
    waiters: dict[KernelObject, list[Thread]] = {}
    for thread in priorities:
        if thread.waiting_for is not None:
            waiters.setdefault(thread.waiting_for, []).append(thread)
    all_gifts = list(gifts(threads))
    while True:
        before = dict(priorities)
        for lender, borrower, least in all_loans:
            inherited = (priorities[waiter] for waiter in waiters.get(lender, ()) if inherits(lender))
            priorities[borrower] = max(priorities[borrower], least, *inherited)
        for giver, taker in all_gifts:
            priorities[taker] = max(priorities[taker], priorities[giver])
        if priorities == before:
            return priorities


def loans(objects: Sequence[KernelObject]) -> Iterator[tuple[Lender, Thread, int]]:
    """Who lends to whom, and how much at least."""
    for each in objects:
        if isinstance(each, Cond) and each.inheritor is not None:
            yield each, each.inheritor, 0
        elif isinstance(each, Mutex) and each.owner is not None:
            ceiling = each.flags & MutexFlags.PRI_CEILING
            if ceiling or inherits(each):
                yield each, each.owner, each.ceiling if ceiling else 0


def inherits(lender: Lender) -> bool:
    """Whether a lender lends the priority of who waits for it."""
    return isinstance(lender, Cond) or bool(isinstance(lender, Mutex) and lender.flags & MutexFlags.INHERIT_PRI)


def check_mutex(mutex: Mutex) -> None:
    """A mutex and its owner know each other, and it is locked then."""
    if mutex.owner is not None:
        assert mutex.locked
        assert mutex.owner.active
        assert mutex.owner.owned is not None
        assert mutex in mutex.owner.owned


def check_port(port: Port | Portset) -> None:
    """A port and its set know each other; who is scheduled by a port knows it."""
    if isinstance(port, Portset):
        for each in port.ports:
            assert each.active
            assert each.portset is port
        return
    if port.portset is not None:
        assert port.portset.active
        assert port in port.portset.ports
    for thread in port.scheduled or ():
        assert thread.scheduler is port


def unwanted(mutex: Mutex) -> bool:
    """Whether nobody waits for a mutex, but threads that were parked there stopped."""
    return mutex.waiters is None or all(thread.stopped for thread in mutex.waiters.in_order())
