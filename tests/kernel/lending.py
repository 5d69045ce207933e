"""Mutexes and conditions that lend priority, and the threads at both ends."""

from __future__ import annotations

from fluke_async.abi.codes import MutexFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import Machine, Part

LOW, MIDDLE, HIGH = 5, 10, 20
PRIORITY_AT = THREAD_STATE.offset_of("priority")


def mutex_with(machine: Machine, flags: int, ceiling: int = 0) -> Mutex:
    """A free mutex that lends."""
    mutex = machine.new(Mutex)
    state = machine.buffer([0, flags, 0, ceiling])
    assert machine.invoke("mutex_set_state", mutex=mutex, state=state).exception is None
    return mutex


def inheriting(machine: Machine) -> Mutex:
    return mutex_with(machine, MutexFlags.INHERIT_PRI)


def owner_of(machine: Machine, *mutexes: Mutex, priority: int = LOW, then: tuple[Part, ...] = ()) -> Thread:
    """A thread that owns these mutexes, and then does `then`."""
    owner = machine.spawn(*[machine.call("mutex_lock", mutex=mutex) for mutex in mutexes], *then, priority=priority)
    machine.run()
    assert all(mutex.owner is owner for mutex in mutexes)
    return owner


def waiter_for(machine: Machine, mutex: Mutex, *, priority: int = HIGH) -> Thread:
    """A thread that waits for a mutex; an interrupt ends its program."""
    lock = machine.call("mutex_lock", mutex=mutex)
    waiter = machine.spawn(lock, "handler", priority=priority, interrupt_handler="handler")
    machine.run()
    assert waiter.waiting_for is mutex
    return waiter


def set_priority(machine: Machine, thread: Thread, priority: int) -> None:
    """Change a thread's base priority as a program does it, leaving the rest as it is."""
    state = machine.buffer(THREAD_STATE.size // 8)
    assert machine.invoke("thread_get_state", thread=thread, state=state).exception is None
    machine.write(state + PRIORITY_AT, [priority])
    assert machine.invoke("thread_set_state", thread=thread, state=state).exception is None


def lending_room(machine: Machine, inheritor: Thread) -> WaitingRoom:
    room = WaitingRoom(machine)
    reference = machine.reference(inheritor)
    assert machine.invoke("cond_set_state", cond=room.cond, inheritor_ref=reference).exception is None
    return room
