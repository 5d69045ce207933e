"""What a thread waits for or needs to go on is destroyed, moved or taken out of its memory: it alone finds out."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode, MutexFlags, ObjectType, Prot, Status
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from tests.kernel import waits
from tests.kernel.machine import MEMORY, MEMORY_SIZE, Machine
from tests.kernel.waits import Kind, each_wait

NAMED_BY_REGISTERS = (waits.mutex_lock, waits.receive)
STATUSES = {
    waits.ipc_send: Status.INVALID_DEST,
    waits.ipc_call_for_a_server: Status.IPC_CONNECT_INVALID_DEST,
    waits.ipc_call_for_a_device: Status.IPC_CONNECT_INVALID_DEST,
}
NEXT_WAITS: dict[Kind, tuple[str, type[KernelObject]]] = {
    waits.cond_wait: ("mutex_lock", Mutex),
    waits.ipc_call_for_a_reply: ("ipc_call", Port),
    waits.receive_the_rest: ("ipc_wait_receive", Portset),
}
each_time = pytest.mark.parametrize("stopped", [False, True], ids=["running", "stopped"])


def test_every_kind_of_wait_has_an_outcome() -> None:
    assert {*NAMED_BY_REGISTERS, *STATUSES, *NEXT_WAITS} == set(waits.WAITS)


def change(machine: Machine, call: str, target: KernelObject, **operands: int) -> None:
    """Have a program destroy or move an object."""
    prefix = ObjectType(target.type).name.lower()
    assert machine.invoke(f"{prefix}_{call}", **{prefix: target}, **operands).exception is None


def start_again(machine: Machine, thread: Thread, target: KernelObject | None) -> None:
    """Let a thread that was stopped before go on, and find out."""
    assert thread.stopped
    assert thread.waiting_for is target
    machine.core.start(thread)
    machine.run()


@each_time
@each_wait
def test_what_a_thread_waits_for_is_destroyed(machine: Machine, kind: Kind, stopped: bool) -> None:
    wait = kind(machine)
    thread = machine.spawn(*wait.parts)
    target = wait.reach(thread, machine)
    address = machine.addresses[target]
    if stopped:
        machine.core.stop(thread)
    change(machine, "destroy", target)
    if stopped:
        start_again(machine, thread, target)
    if kind in NAMED_BY_REGISTERS:
        result = machine.result(thread)
        assert (result.exception, result.subcode) == (ExceptionCode.NO_OBJECT, address)
    elif kind in STATUSES:
        assert machine.done(thread)
        assert machine.register(thread, "a0") == STATUSES[kind]
    else:
        stage, next_type = NEXT_WAITS[kind]
        assert machine.stage(thread) == stage
        assert type(thread.waiting_for) is next_type


@each_time
@each_wait
def test_what_a_thread_waits_for_is_moved(machine: Machine, kind: Kind, stopped: bool) -> None:
    """Who named it by its address finds nothing there; who named it by a reference waits on."""
    wait = kind(machine)
    thread = machine.spawn(*wait.parts)
    target = wait.reach(thread, machine)
    old, new = machine.addresses[target], machine.slot()
    if stopped:
        machine.core.stop(thread)
    change(machine, "move", target, new_address=new)
    machine.addresses[target] = new
    if stopped:
        start_again(machine, thread, None if kind in NAMED_BY_REGISTERS else target)
    if kind in NAMED_BY_REGISTERS:
        result = machine.result(thread)
        assert (result.exception, result.subcode) == (ExceptionCode.NO_OBJECT, old)
    else:
        assert thread.waiting_for is target
        wait.end()
        assert machine.done(thread)
        assert machine.register(thread, "a0") == Status.SUCCESS


@each_wait
def test_a_thread_that_waits_is_destroyed(machine: Machine, kind: Kind) -> None:
    """Nothing that was to end its wait trips over it."""
    wait = kind(machine)
    thread = machine.spawn(*wait.parts)
    target = wait.reach(thread, machine)
    machine.invoke("thread_destroy", thread=thread)
    assert target.first_waiter() is None
    wait.end()
    assert not thread.active
    assert thread.place is None


@pytest.mark.parametrize("flags", [0, MutexFlags.INHERIT_PRI])
def test_mutex_passes_over_waiters_whose_memory_is_gone(machine: Machine, flags: int) -> None:
    """A waiter that cannot see the mutex any more gets a fault of its own; the next one gets the mutex."""
    space, mutex = machine.new_space(), machine.new(Mutex)
    machine.load(mutex, {"flags": flags})
    lock = machine.call("mutex_lock", mutex=mutex)
    owner = machine.spawn(lock, ("burn", 500), machine.call("mutex_unlock", mutex=mutex), priority=10)
    machine.run_for(100)
    blind = machine.spawn(lock, priority=20, space=space)
    sighted = machine.spawn(lock, priority=15)
    machine.run_for(150)
    assert mutex.first_waiter() is blind
    (mapping,) = [each for each in space._mappings if each.start == MEMORY]
    bits = {"start_va": MEMORY, "size": MEMORY_SIZE, "prot": int(Prot.NONE)}
    machine.load(mapping, bits)
    machine.run()
    assert machine.done(owner, sighted)
    assert mutex.owner is sighted
    result = machine.result(blind)
    assert (result.exception, result.subcode) == (ExceptionCode.LOAD_FAULT, machine.addresses[mutex])


def test_waiters_without_a_space_wait_for_one(machine: Machine) -> None:
    space, mutex, cond = machine.new_space(), machine.new(Mutex), machine.new(Cond)
    wait = machine.call("cond_wait", cond=cond, mutex=mutex)
    homeless = machine.spawn(machine.call("mutex_lock", mutex=mutex), wait, space=space)
    machine.run()
    machine.core.destroy(space)
    machine.invoke("cond_signal", cond=cond)
    assert (homeless.waiting_for, homeless.space, mutex.locked) == (None, None, False)
    machine.core.stop(homeless)
    machine.load(homeless, None, space=machine.space)
    machine.core.start(homeless)
    machine.run()
    assert machine.done(homeless)
    assert mutex.owner is homeless


# -- links that no call would have made -------------------------------------------------------------------------------


def test_mutex_can_be_locked_by_a_state_with_nobody_as_its_owner(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    machine.invoke("mutex_set_state", mutex=mutex, state=machine.buffer([0, 0, 1, 0]))
    waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    assert waiter.waiting_for is mutex
    assert machine.invoke("mutex_trylock", mutex=mutex).status == Status.MUTEX_HELD
    assert machine.invoke("mutex_unlock", mutex=mutex).exception is ExceptionCode.MUTEX_NOT_OWNED
    machine.invoke("mutex_set_state", mutex=mutex, state=machine.buffer([0, 0, 0, 0]))
    assert machine.done(waiter)


@pytest.mark.parametrize("flags", [0, MutexFlags.INHERIT_PRI])
def test_owner_named_by_a_state_may_be_a_thread_that_cannot_run(machine: Machine, flags: int) -> None:
    mutex = machine.new(Mutex)
    machine.load(mutex, {"flags": flags})
    waiter = machine.spawn(machine.call("mutex_lock", mutex=mutex), start=False, priority=20)
    for owner in (machine.new(Thread), machine.spawn(start=False), machine.spawn(("burn", 1))):
        machine.run()
        owner_ref = machine.reference(owner)
        machine.invoke("mutex_set_state", mutex=mutex, owner_ref=owner_ref)
        if waiter.stopped:
            machine.core.start(waiter)
            machine.run()
        assert mutex.owner is owner
        assert waiter.waiting_for is mutex
        assert (owner.effective_priority == 20) == bool(flags)
        machine.invoke("thread_destroy", thread=owner)
        assert mutex.flags == flags | MutexFlags.OWNER_DEAD
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference())
    assert machine.done(waiter)


def test_owner_that_waits_for_its_own_mutex_can_be_helped(machine: Machine) -> None:
    """A waiter is named as the owner of a mutex whose owner died; the mutex is not handed to it while it waits."""
    mutex = machine.new(Mutex)
    machine.load(mutex, {"flags": MutexFlags.INHERIT_PRI})
    owner = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    waiters = [machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=10 + n) for n in range(2)]
    machine.run()
    machine.invoke("thread_destroy", thread=owner)
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference(waiters[0]))
    assert (mutex.owner, mutex.flags) == (waiters[0], MutexFlags.INHERIT_PRI)
    assert [waiter.waiting_for for waiter in waiters] == [mutex] * 2
    assert waiters[0].effective_priority == 11
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference())
    assert mutex.owner is waiters[1]
    assert machine.done(waiters[1])
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference())
    assert machine.done(waiters[0])


@pytest.mark.parametrize(("locked", "owned"), [(False, False), (True, True), (True, False)])
def test_owner_dead_is_a_flag_of_locked_mutexes_without_an_owner(machine: Machine, locked: bool, owned: bool) -> None:
    mutex, owner = machine.new(Mutex), machine.spawn(start=False)
    flags = MutexFlags.OWNER_DEAD | MutexFlags.MULTITASK
    operands = {"owner_ref": machine.reference(owner)} if owned else {}
    machine.invoke("mutex_set_state", mutex=mutex, state=machine.buffer([0, flags, locked, 0]), **operands)
    assert mutex.flags == (flags if locked and not owned else MutexFlags.MULTITASK)
    assert (mutex.locked, mutex.owner) == (locked, owner if owned else None)
