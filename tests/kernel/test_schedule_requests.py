"""Requests for time: who asks whom, when, and what the scheduler gets."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode, MessageKind, Sensitivity, Status
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.scheduling import settle
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.scheduled import ALIAS, FOREVER, Scheduled, give

ON_REQUEST = Sensitivity.ON_REQUEST


def test_a_scheduler_is_told_once_and_again_after_a_wait(machine: Machine) -> None:
    scheduled, mutex, buffer = Scheduled(machine), machine.new(Mutex), machine.buffer(4)
    thread = scheduled.thread(machine.call("mutex_lock", mutex=mutex))
    mutex.own(machine.core, machine.spawn(start=False))
    first = machine.spawn(scheduled.receive(buffer))
    machine.run()
    assert machine.done(first)
    assert machine.read(buffer, 2) == [1, thread.hash]
    assert (machine.register(first, "a1"), machine.register(first, "a2")) == (ALIAS, MessageKind.SCHEDULE)
    second = machine.spawn(scheduled.receive(buffer))
    machine.run()
    assert second.condition is Condition.WAITING
    assert give(machine, thread, FOREVER)[0] == Status.THREAD_BLOCKED
    assert thread.waiting_for is mutex
    mutex.hand_over(machine.core)
    machine.run()
    assert machine.done(second), "it asks anew when it is ready, and finds the server waiting"
    assert thread.asked


@pytest.mark.parametrize("room", [0, 1, 2])
def test_what_does_not_fit_of_a_request_is_cut_off(machine: Machine, room: int) -> None:
    scheduled, buffer = Scheduled(machine), machine.buffer([0, 0])
    thread = scheduled.thread()
    machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=scheduled.portset, receive_buffer=buffer, receive_words=room)
    )
    machine.run()
    assert thread.asked
    assert machine.read(buffer, 2) == [1, thread.hash][:room] + [0] * (2 - room)


def test_any_message_ends_a_sensitive_donation(machine: Machine) -> None:
    scheduled, service, buffer = Scheduled(machine), Service(machine), machine.buffer(4)
    machine.load(service.port, portset=scheduled.portset)
    thread = scheduled.thread(("burn", FOREVER))
    donor = machine.spawn(scheduled.receive(buffer), scheduled.donate(thread, FOREVER, ON_REQUEST))
    machine.run_for(2000)
    assert donor.donee is thread
    service.client([1], priority=20)
    machine.run()
    assert machine.register(donor, "a0") == Status.THREAD_REQUESTED


def test_a_request_that_is_there_already_ends_a_sensitive_donation_before_it_begins(machine: Machine) -> None:
    scheduled, buffer = Scheduled(machine), machine.buffer(4)
    first, _ = scheduled.thread(("burn", 10)), scheduled.thread()
    donor = machine.spawn(scheduled.receive(buffer), scheduled.donate(first, 500, ON_REQUEST))
    machine.run()
    assert (machine.register(donor, "a0"), machine.register(donor, "a1")) == (Status.THREAD_REQUESTED, 500)


def test_threads_run_by_themselves_when_their_scheduler_is_gone(machine: Machine) -> None:
    scheduled, buffer = Scheduled(machine), machine.buffer(4)
    threads = [scheduled.thread(("burn", 100)) for _ in range(3)]
    machine.spawn(scheduled.receive(buffer))
    machine.run()
    assert [thread.asked for thread in threads] == [True, False, False]
    machine.core.destroy(scheduled.port)
    machine.run()
    assert machine.done(*threads)


def test_requests_go_with_their_port_to_another_set(machine: Machine) -> None:
    scheduled, other, buffer = Scheduled(machine), Service(machine), machine.buffer(4)
    thread = scheduled.thread(("burn", 100))
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=other.portset, receive_buffer=buffer, receive_words=4)
    )
    machine.run()
    assert server.condition is Condition.WAITING
    machine.load(scheduled.port, portset=other.portset)
    machine.run()
    assert machine.done(server)
    assert thread.asked


def test_a_device_is_no_scheduler(machine: Machine) -> None:
    scheduled = Scheduled(machine)
    scheduled.port.receiver = machine.requests.append
    thread = scheduled.thread(("burn", 100))
    machine.run()
    assert thread.condition is Condition.ASKING
    assert give(machine, thread, FOREVER)[0] == Status.THREAD_BLOCKED


@pytest.mark.parametrize("state", ["asking", "asked", "given up", "another scheduler", "new"])
def test_a_scheduler_knows_of_a_thread_that_a_program_loads_if_it_knew_before(machine: Machine, state: str) -> None:
    """A request that comes twice takes time, one that is lost does harm."""
    scheduled, buffer, room = Scheduled(machine), machine.buffer(4), machine.buffer(200)
    thread = scheduled.thread(("burn", 5000))
    links: dict[str, object] = {}
    if state != "asking":
        machine.spawn(scheduled.receive(buffer))
    machine.run()
    machine.invoke("thread_get_state", thread=thread, state=room)
    if state == "given up":
        assert give(machine, thread, FOREVER)[0] == Status.THREAD_BLOCKED
    elif state == "another scheduler":
        scheduled = Scheduled(machine)
        links["scheduler_ref"] = machine.reference(scheduled.port)
    elif state == "new":
        links["scheduler_ref"] = machine.reference(scheduled.port)
        links["space_ref"] = machine.reference(thread.space)
        thread = machine.new(Thread)
    machine.invoke("thread_set_state", thread=thread, state=room, **links)
    is_known = state in ("asked", "new")
    assert thread.asked == is_known
    again = machine.spawn(scheduled.receive(buffer))
    machine.run()
    assert machine.done(again) == (not is_known)


@pytest.mark.parametrize("sensitivity", list(Sensitivity))
def test_a_donor_whose_port_set_has_gone_is_told_when_it_is_looked_at_if_it_waits_for_calls_there(
    machine: Machine, sensitivity: Sensitivity
) -> None:
    scheduled = Scheduled(machine)
    thread = scheduled.thread(("burn", 3000))
    donor = machine.spawn(scheduled.receive(machine.buffer(4)), scheduled.donate(thread, FOREVER, sensitivity))
    machine.run_for(800)
    assert donor.donee is thread
    machine.core.destroy(scheduled.portset)
    machine.core.stop(thread)
    machine.core.start(thread)
    machine.run_for(5)
    assert machine.failure(donor) is (ExceptionCode.NO_OBJECT if sensitivity is ON_REQUEST else None)
    assert (donor.donee is thread) == (sensitivity is not ON_REQUEST)


@pytest.mark.parametrize("told", [1, 3])
def test_servers_are_brought_to_look_by_a_request_and_one_receives_it(machine: Machine, told: int) -> None:
    """The others go on waiting, in the order that they had."""
    scheduled = Scheduled(machine)
    servers = [machine.spawn(scheduled.receive(machine.buffer(4))) for _ in range(3)]
    machine.run()
    threads = [scheduled.thread() for _ in range(told)]
    machine.run()
    assert all(thread.asked for thread in threads)
    assert machine.done(*servers[:told])
    assert [server for server in servers if server.waiting_for is scheduled.portset] == servers[told:]
    waiters = scheduled.portset.waiters
    assert waiters is not None
    assert list(waiters.in_order()) == servers[told:]


def test_to_settle_what_was_noted_is_done_by_nobody(machine: Machine) -> None:
    """No thread pays for it, and none is said to have done it."""
    scheduled = Scheduled(machine)
    thread = scheduled.thread(("burn", 50))
    donor = machine.spawn(scheduled.donate(thread, FOREVER))
    while donor.donee is not thread:
        machine.step()
    machine.core.current = thread
    machine.core.stop(thread)
    before = thread.quantum_left, donor.quantum_left
    settle(machine.core)
    assert machine.core.current is None
    assert (thread.quantum_left, donor.quantum_left) == before


def test_a_thread_that_has_waited_asks_anew_also_where_its_donor_does_not_come_to_see_it(machine: Machine) -> None:
    scheduled, mutex, buffer = Scheduled(machine), machine.new(Mutex), machine.buffer(4)
    thread = scheduled.thread(("burn", 40), machine.call("mutex_lock", mutex=mutex))
    mutex.own(machine.core, machine.spawn(start=False))
    donor = machine.spawn(scheduled.receive(buffer), scheduled.donate(thread, FOREVER))
    while thread.waiting_for is None:
        machine.step()
    assert not thread.asked, "it is known no more whether it is ready"
    machine.core.destroy(donor)
    mutex.hand_over(machine.core)
    machine.run()
    assert thread.condition is Condition.ASKING
    assert not thread.asked
    server = machine.spawn(scheduled.receive(buffer))
    machine.run()
    assert machine.done(server)
    assert thread.asked


def test_a_thread_that_a_donor_finds_stopped_asks_anew_when_it_is_started(machine: Machine) -> None:
    scheduled, buffer = Scheduled(machine), machine.buffer(4)
    thread = scheduled.thread(("burn", 100))
    machine.spawn(scheduled.receive(buffer))
    machine.run()
    assert thread.asked
    machine.core.stop(thread)
    assert give(machine, thread, 50) == (Status.THREAD_BLOCKED, 50)
    assert not thread.asked
    machine.core.start(thread)
    again = machine.spawn(scheduled.receive(buffer))
    machine.run()
    assert machine.done(again)


def test_a_scheduler_that_gives_the_time_on_that_it_has_asked_for_need_not_ask_again(machine: Machine) -> None:
    upper, lower = Scheduled(machine), Scheduled(machine)
    thread = lower.thread(("burn", 5000))
    inner = upper.thread(lower.donate(thread, 300), ("burn", 50))
    machine.spawn(upper.receive(machine.buffer(4)))
    machine.run()
    assert inner.asked
    donor = machine.spawn(upper.donate(inner, 200), priority=20)
    while thread.donors is None:
        machine.step()
    assert inner.asked, "it uses its time, as far as its own scheduler can tell"
    machine.run()
    assert machine.register(donor, "a0") == Status.SUCCESS
    assert inner.waiting_for is None, "what it gives has gone with what it was given"
    assert inner.asked
    server = machine.spawn(upper.receive(machine.buffer(4)))
    machine.run()
    assert server.waiting_for is upper.portset
