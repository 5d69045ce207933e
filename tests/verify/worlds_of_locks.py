"""Small worlds of mutexes and conditions. See `small_worlds`."""

from __future__ import annotations

from fluke_async.abi.codes import WORD_SIZE, Status
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from tests.kernel.machine import Part
from tests.verify.small_worlds import Judge, Stage, World, breath, wrong


def counting(machine: Stage, mutex: Mutex, count: int) -> list[Part]:
    """Count under a mutex, with a breath between reading the count and writing it."""
    return [
        machine.call("mutex_lock", mutex=mutex),
        ("load", "s0", "zero", count),
        breath(machine),
        ("add", "s0", "s0", 1),
        machine.keep("s0", count),
        machine.call("mutex_unlock", mutex=mutex),
    ]


def two_count_under_a_mutex(machine: Stage) -> Judge:
    mutex, count = machine.new(Mutex), machine.buffer(1)
    threads = [machine.spawn(counting(machine, mutex, count)) for _ in range(2)]
    return lambda: wrong(
        done=machine.done(*threads), counted=machine.word(count) == 2, free=not machine.now(mutex).locked
    )


def a_mutex_is_handed_over(machine: Stage) -> Judge:
    """One owns it, one waits for it, one comes for it."""
    mutex, count = machine.new(Mutex), machine.buffer(1)
    owner = machine.spawn(machine.call("mutex_unlock", mutex=mutex), start=False)
    machine.load(mutex, {"locked": 1}, owner=owner)
    waiter = machine.spawn(counting(machine, mutex, count))
    machine.run()
    assert waiter.waiting_for is mutex
    comer = machine.spawn(counting(machine, mutex, count))
    machine.core.start(owner)
    threads = owner, waiter, comer
    return lambda: wrong(
        done=machine.done(*threads), counted=machine.word(count) == 2, free=not machine.now(mutex).locked
    )


def who_unlocks_cannot_get_in_before_who_waits(machine: Stage) -> Judge:
    """The owner unlocks and tries again; it gets the mutex only if the one that waited is through with it."""
    mutex, through, seen = machine.new(Mutex), machine.buffer(1), machine.buffer([7, 7])
    owner = machine.spawn(
        machine.call("mutex_unlock", mutex=mutex),
        machine.call("mutex_trylock", mutex=mutex),
        machine.keep("a0", seen),
        ("load", "s0", "zero", through),
        machine.keep("s0", seen + WORD_SIZE),
        start=False,
    )
    machine.load(mutex, {"locked": 1}, owner=owner)
    waiter = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("li", "s0", 1),
        machine.keep("s0", through),
        machine.call("mutex_unlock", mutex=mutex),
    )
    machine.run()
    machine.core.start(owner)

    def judge() -> str:
        status, before = machine.read(seen, 2)
        in_order = (status, before) in ((Status.SUCCESS, 1), (Status.MUTEX_HELD, 0), (Status.MUTEX_HELD, 1))
        return wrong(done=machine.done(owner, waiter), in_order=in_order)

    return judge


def sleeping(machine: Stage, cond: Cond, count: int, times: int = 1) -> list[Part]:
    """Wait for a signal so many times, under a mutex that nobody else wants, and count."""
    mutex = machine.new(Mutex)
    return [
        machine.keep("zero", count),  # the page is there: one step less later
        machine.call("mutex_lock", mutex=mutex),
        [
            [*machine.call("cond_wait", cond=cond, mutex=mutex), ("li", "s0", number), machine.keep("s0", count)]
            for number in range(1, times + 1)
        ],
    ]


def a_sleeper_meets_its_signal(machine: Stage) -> Judge:
    """Who waits for a flag cannot sleep through it."""
    mutex, cond, flag = machine.new(Mutex), machine.new(Cond), machine.buffer(1)
    waiter = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        "look",
        ("load", "s0", "zero", flag),
        ("bnez", "s0", "raised"),
        machine.call("cond_wait", cond=cond, mutex=mutex),
        ("jump", "look"),
        "raised",
        machine.call("mutex_unlock", mutex=mutex),
    )
    raiser = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("li", "s0", 1),
        machine.keep("s0", flag),
        machine.call("mutex_unlock", mutex=mutex),
        machine.call("cond_signal", cond=cond),
    )
    return lambda: wrong(done=machine.done(waiter, raiser), free=not machine.now(mutex).locked)


def wake_two(machine: Stage, *calls: str) -> Judge:
    """Two sleepers, and as many threads as there are calls that wake them."""
    cond, counts = machine.new(Cond), [machine.buffer(1) for _ in range(2)]
    sleepers = [machine.spawn(sleeping(machine, cond, count)) for count in counts]
    machine.run()
    assert all(sleeper.waiting_for is cond for sleeper in sleepers)
    wakers = [machine.spawn(machine.call(call, cond=cond)) for call in calls]
    return lambda: wrong(done=machine.done(*sleepers, *wakers), woken=[*map(machine.word, counts)] == [1, 1])


def two_signals_for_two_sleepers(machine: Stage) -> Judge:
    return wake_two(machine, "cond_signal", "cond_signal")


def a_broadcast_and_a_signal(machine: Stage) -> Judge:
    return wake_two(machine, "cond_broadcast", "cond_signal")


def a_broadcast_leaves_alone_who_waits_again(machine: Stage) -> Judge:
    """Each of the sleepers returns once, and waits for the next."""
    cond, counts = machine.new(Cond), [machine.buffer(1) for _ in range(2)]
    sleepers = [machine.spawn(sleeping(machine, cond, count, times=2)) for count in counts]
    machine.run()
    waker = machine.spawn(machine.call("cond_broadcast", cond=cond))

    def judge() -> str:
        asleep = all(machine.now(sleeper).waiting_for is machine.now(cond) for sleeper in sleepers)
        return wrong(done=machine.done(waker), asleep=asleep, once=[*map(machine.word, counts)] == [1, 1])

    return judge


WORLDS = tuple(
    World(make)
    for make in (
        two_count_under_a_mutex,
        a_mutex_is_handed_over,
        who_unlocks_cannot_get_in_before_who_waits,
        a_sleeper_meets_its_signal,
        two_signals_for_two_sleepers,
        a_broadcast_and_a_signal,
        a_broadcast_leaves_alone_who_waits_again,
    )
)
