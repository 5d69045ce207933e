"""A thread that waits for a keeper: what its state says, and that it can be stopped and started there."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import FAULT_IN_CALL, ExceptionCode
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.trace import Event
from tests.kernel.asking import asking, client_of, in_call_or_not, resolve, taken_or_not
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.paging import FAILED, VIEW, WRITE, Paging
from tests.kernel.states import state_of

# -- what the state says ----------------------------------------------------------------------------------------------


@in_call_or_not
@taken_or_not
def test_state_says_what_is_wanted_where_and_of_whom(machine: Machine, taken: bool, in_call: bool) -> None:
    paging, client, keeper = asking(machine, taken=taken, in_call=in_call)
    stamp = client.wait_order
    pc = client.pc
    state, waiting_for = machine.buffer(200), machine.reference()
    machine.invoke("thread_get_state", thread=client, state=state, waiting_for_ref=waiting_for)
    read = state_of(machine, client)
    assert (read["fault_access"], read["fault_address"]) == (WRITE | FAULT_IN_CALL * in_call, paging.address(1, 2))
    assert waiting_for.target is (keeper.thread if taken else paging.port)
    assert (read["wait_order"], read["run_order"], read["exception"]) == (stamp, 0, 0)
    assert stamp
    assert read["pc"] == pc
    assert client.stopped


def test_state_says_nothing_of_a_fault_when_it_is_over(machine: Machine) -> None:
    paging, client, keeper = asking(machine, taken=True)
    resolve(paging, keeper)
    state = state_of(machine, client)
    assert (state["fault_access"], state["fault_address"], state["wait_order"]) == (0, 0, 0)
    paging, client, keeper = asking(machine, taken=True)
    keeper.answer(FAILED)
    state = state_of(machine, client)
    assert (state["fault_access"], state["fault_address"], state["wait_order"]) == (0, 0, 0)
    assert (state["exception"], state["exception_subcode"]) == (ExceptionCode.STORE_FAULT, paging.address(1, 2))


def test_keeper_is_seen_to_serve_a_client(machine: Machine) -> None:
    _, client, keeper = asking(machine, taken=True)
    reference = machine.reference()
    machine.invoke("thread_get_state", thread=keeper.thread, client_ref=reference)
    assert reference.target is client
    assert keeper.thread.client is client


@pytest.mark.parametrize("answered", [True, False])
def test_order_of_the_question_ends_with_it(machine: Machine, answered: bool) -> None:
    """Whether it is answered or needs no answer any more: the thread's next wait is one of a newcomer."""
    paging, mutex = Paging(machine), machine.new(Mutex)
    lock = machine.call("mutex_lock", mutex=mutex)
    first = None if answered else paging.reader(0)
    late = paging.spawn(("load", "s2", "zero", VIEW), lock)
    machine.run()
    machine.spawn(lock)
    machine.run()
    patient = machine.spawn(lock)
    machine.run()
    keeper = paging.keeper()
    machine.run()
    paging.bring(0)
    keeper.answer()
    assert first is None or machine.done(first)
    assert len(keeper.questions) == 1
    assert list(mutex.queue().in_order()) == [patient, late]


# -- stopping and starting --------------------------------------------------------------------------------------------


@in_call_or_not
@taken_or_not
def test_stopped_thread_keeps_its_place_and_is_served_there(machine: Machine, taken: bool, in_call: bool) -> None:
    """It goes on when it starts, as far as it got."""
    paging, client, keeper = asking(machine, taken=taken, in_call=in_call)
    machine.core.stop(client)
    resolve(paging, keeper)
    assert (client.condition, client.waiting_for) == (Condition.STOPPED, None)
    assert not machine.done(client)
    machine.core.start(client)
    machine.run()
    assert machine.done(client)
    assert len(keeper.questions) == 1
    assert len(machine.happened(Event.ASK, client)) == 1


@taken_or_not
def test_stopped_thread_gets_its_exception_there(machine: Machine, taken: bool) -> None:
    paging, client, keeper = asking(machine, taken=taken)
    machine.core.stop(client)
    if not taken:
        machine.core.start(keeper.thread)
    machine.run()
    keeper.answer(FAILED)
    state = state_of(machine, client)
    assert (state["exception"], state["exception_subcode"]) == (ExceptionCode.STORE_FAULT, paging.address(1, 2))
    assert client.stopped


@in_call_or_not
def test_page_that_comes_while_the_thread_is_stopped_needs_no_answer(machine: Machine, in_call: bool) -> None:
    paging, client, keeper = asking(machine, taken=False, in_call=in_call)
    machine.core.stop(client)
    paging.bring(1)
    machine.core.start(keeper.thread)
    machine.run()
    assert keeper.questions == []
    machine.core.start(client)
    machine.run()
    assert machine.done(client)


@taken_or_not
def test_stopping_and_starting_changes_nothing(machine: Machine, taken: bool) -> None:
    paging, client, keeper = asking(machine, taken=taken)
    before = client.continuation
    for _ in range(3):
        machine.core.stop(client)
        machine.core.start(client)
        machine.run()
        assert client.continuation == before
    resolve(paging, keeper)
    assert machine.done(client)
    assert len(keeper.questions) == 1


def test_device_is_asked_again_by_a_thread_that_was_stopped(machine: Machine) -> None:
    """For what it wants then; the first question is closed."""
    paging = Paging(machine, device=True)
    client = client_of(paging, in_call=False)
    machine.run()
    (first,) = paging.requests
    machine.core.stop(client)
    assert not first.is_open
    machine.core.start(client)
    machine.run()
    _, second = paging.requests
    assert second.words == first.words
    paging.bring(1)
    paging.reply(FAILED)  # to the first: nobody hears it
    assert client.waiting_for is paging.port
    paging.reply()
    assert machine.done(client)


def test_device_is_not_asked_for_a_thread_that_is_stopped(machine: Machine) -> None:
    """A client's copy finds that the page of a stopped server is away: the question is put when that one starts."""
    paging, service = Paging(machine, present=True, device=True), Service(machine)
    room = {"receive_buffer": VIEW, "receive_words": 8}
    server = paging.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset, **room))
    machine.run()
    machine.core.stop(server)
    paging.take(0)
    client, _ = service.client([5])
    machine.run()
    assert (server.waiting_for, client.waiting_for) == (paging.port, server)
    assert not paging.requests
    machine.core.start(server)
    machine.run()
    (request,) = paging.requests
    assert request.words == paging.question(server, 0, WRITE)[:5]
    paging.bring(0)
    paging.reply()
    assert machine.done(server)
    assert paging.seen(0) == [5]
