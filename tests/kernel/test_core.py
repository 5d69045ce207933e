"""The few moves that everything is made of: time, stamps, stopping, waking, completing."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PRIORITY_DEFAULT, Status
from fluke_async.abi.entry_points import COMPLETION_COST
from fluke_async.errors import KernelBug
from fluke_async.kernel.consistency import check
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine
from tests.kernel.messages import Service, preempted_between_chunks


def waiting(machine: Machine, priority: int = PRIORITY_DEFAULT) -> tuple[Thread, Mutex]:
    """A thread in the queue of a mutex that somebody holds for good."""
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=30)
    machine.run()
    thread = machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=priority)
    machine.run()
    assert thread.waiting_for is mutex
    return thread, mutex


def test_hashes_of_the_kernels_choice_are_distinct(machine: Machine) -> None:
    hashes = [machine.new(Mutex).hash for _ in range(50)]
    assert len(set(hashes)) == 50
    assert 0 not in hashes


def test_continuation_says_what_the_state_says(machine: Machine) -> None:
    thread, mutex = waiting(machine, priority=9)
    record = thread.continuation
    assert record is not None
    assert record.waiting_for is mutex
    assert record.wait_order == thread.wait_order
    assert -record.negative_priority == 9


def test_completed_call_is_over_before_its_thread_runs(machine: Machine) -> None:
    thread, _ = waiting(machine)
    pc, time = thread.pc, machine.core.time
    machine.core.current = None
    machine.core.complete(thread, Status.NO_MEMORY)
    assert thread.pc == pc + 4
    assert machine.register(thread, "a0") == Status.NO_MEMORY
    assert thread.wait_order == 0
    assert thread.stack is None
    assert machine.core.time == time + COMPLETION_COST
    assert machine.core.ready.head() is thread


def test_woken_call_looks_again_and_keeps_its_place(machine: Machine) -> None:
    first, mutex = waiting(machine)
    second = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    order = first.wait_order
    machine.core.wake(first)
    machine.run()
    assert first.waiting_for is mutex
    assert first.wait_order == order
    assert list(mutex.queue().in_order()) == [first, second]


def test_waiter_moves_when_its_priority_changes(machine: Machine) -> None:
    first, mutex = waiting(machine)
    second = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    machine.core.reorder(second, 20, second.wait_order)
    assert list(mutex.queue().in_order()) == [second, first]


def test_stopping_and_starting_a_waiter_changes_nothing_that_others_see(machine: Machine) -> None:
    thread, mutex = waiting(machine)
    before = dict(thread.export_bits())
    machine.core.stop(thread)
    machine.core.start(thread)
    assert thread.export_bits() == before
    assert mutex.first_waiter() is thread


def test_stopped_waiter_of_a_destroyed_object_looks_again_when_it_starts(machine: Machine) -> None:
    thread, mutex = waiting(machine)
    machine.core.stop(thread)
    machine.invoke("mutex_destroy", mutex=mutex)
    assert thread.waiting_for is mutex
    assert thread.export_link("waiting_for") is None
    machine.core.start(thread)
    machine.run()
    assert machine.failure(thread) is not None


def test_destroying_a_ready_a_waiting_and_a_stopped_thread(machine: Machine) -> None:
    waiter, mutex = waiting(machine)
    ready = machine.spawn(("burn", 5))
    stopped = machine.spawn(("burn", 5), start=False)
    for thread in (waiter, ready, stopped):
        machine.core.destroy(thread)
        assert thread.place is None
        assert thread not in machine.space.account.threads
    machine.run()
    assert mutex.first_waiter() is None
    assert not machine.happened(Event.SWITCH, ready)


def test_objects_of_a_frame_end_with_it(machine: Machine) -> None:
    mutexes = [machine.new(Mutex) for _ in range(5)]
    frame = mutexes[0].address & -4096
    machine.core.destroy_objects_in(frame)
    assert not any(mutex.active for mutex in mutexes)
    assert all(address & -4096 != frame for address in machine.core.objects)
    machine.core.destroy_objects_in(frame)


def test_kernel_work_is_paid_by_the_clock_and_by_who_runs(machine: Machine) -> None:
    thread = machine.spawn(("burn", 1))
    quantum = thread.quantum_left
    machine.core.current = None
    machine.core.charge(10)
    machine.core.current = thread
    machine.core.charge(7)
    machine.core.current = None
    assert machine.core.time == 17
    assert thread.quantum_left == quantum - 7


@pytest.mark.parametrize("damage", ["address", "place", "order", "callee"])
def test_check_finds_what_cannot_be(machine: Machine, damage: str) -> None:
    thread, mutex = waiting(machine)
    check(machine.core)
    if damage == "address":
        mutex.address += 16
    elif damage == "place":
        thread.place = None
    elif damage == "order":
        thread.wait_order += 1
    else:
        thread.callee = machine.new(Thread)
    with pytest.raises(KernelBug):
        check(machine.core)


def test_a_new_thread_comes_last_among_those_of_its_priority(machine: Machine) -> None:
    first = machine.spawn(("burn", 10))
    second = machine.spawn(("burn", 10))
    assert first.run_order < second.run_order
    assert machine.core.ready.head() is first
    machine.core.stop(first)
    machine.core.start(first)
    assert machine.core.ready.head() is first, "it was ready before, and keeps its place"


def test_the_trace_says_who_stops_and_starts_a_thread(machine: Machine) -> None:
    """A thread by its hash; 0 is somebody outside."""
    thread = machine.spawn(("burn", 5), start=False)
    machine.core.start(thread)
    machine.core.stop(thread)
    by = machine.spawn(machine.call("thread_get_state", thread=thread))
    machine.run()
    said = [(event[1], *event[2:]) for event in machine.events if event[1] in (Event.STOP, Event.START)]
    assert (Event.START, 0, thread.hash) in said
    assert said[-2:] == [(Event.START, 0, by.hash), (Event.STOP, by.hash, thread.hash)]
    assert (Event.STOP, 0, thread.hash) in said


@preempted_between_chunks
@pytest.mark.parametrize("stopped", [False, True])
def test_a_thread_that_was_stopped_in_its_call_makes_it_again(model: str, preemption: str, stopped: bool) -> None:
    """As one does that was created again; one that was preempted there is in its call still."""
    machine = Machine(model, preemption)
    words = 3 * COPY_CHUNK_WORDS
    service = Service(machine)
    service.server(room=words, priority=5)
    machine.run()
    client, _ = service.client([1] * words, priority=5)
    urgent = machine.spawn(("burn", 1), priority=20, start=False)
    machine.start_at(machine.core.time + 1500, urgent)
    while not machine.happened(Event.PREEMPT, client):
        machine.step()
    assert client.in_kernel
    if stopped:
        machine.core.stop(client)
        assert not client.in_kernel
        machine.core.start(client)
    machine.run()
    assert machine.done(client)
    calls = [event for event in machine.happened(Event.TRAP, client) if event[3] == "ipc_call"]
    assert len(calls) == 1 + stopped
