"""What becomes of a thread that asks its space's keeper, when it or the keeper is stopped, changed or destroyed."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.keeping import EXCEPTION, FOREIGN, SKIP, Keeping, asking, serve, taken_or_not
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

# -- nobody to ask ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [True, False])
def test_keeper_whose_port_has_gone_is_none(machine: Machine, device: bool) -> None:
    keeping = Keeping(machine, device=device)
    machine.invoke("port_destroy", port=keeping.port)
    thread = keeping.spawn(*FOREIGN)
    machine.run()
    assert thread.exception == EXCEPTION


@taken_or_not
def test_port_that_dies_stops_who_stands_in_line_there(machine: Machine, taken: bool) -> None:
    """A server that has the question already may answer it all the same."""
    keeping, thread, keeper = asking(machine, taken)
    machine.invoke("port_destroy", port=keeping.port)
    if taken:
        serve(keeping, keeper, thread)
    else:
        assert thread.exception == EXCEPTION


@pytest.mark.parametrize("another", [True, False], ids=["another", "none"])
def test_thread_that_is_stopped_while_the_port_dies_tries_again_when_it_starts(machine: Machine, another: bool) -> None:
    keeping, thread, _ = asking(machine, taken=False)
    machine.core.stop(thread)
    machine.invoke("port_destroy", port=keeping.port)
    bits = thread.export_bits()
    assert [bits[name] for name in ("exception", "exception_subcode", "wait_order")] == [0, 0, 0]
    other = Keeping(machine, space=keeping.space) if another else None
    machine.core.start(thread)
    machine.run()
    if other is None:
        machine.load(keeping.space, keeper=None)
        assert thread.exception == EXCEPTION
    else:
        other.rest = keeping.rest
        serve(other, other.keeper(), thread)


@taken_or_not
def test_new_keeper_is_asked_by_who_stands_in_line(machine: Machine, taken: bool) -> None:
    keeping, thread, keeper = asking(machine, taken)
    other = Keeping(machine)
    other.rest = keeping.rest
    newcomer = other.keeper()
    machine.run()
    machine.invoke("space_set_state", space=keeping.space, keeper_ref=machine.reference(other.port))
    assert newcomer.is_asked != taken
    serve(other, keeper if taken else newcomer, thread)
    later = keeping.spawn(*FOREIGN)
    machine.run()
    serve(other, newcomer, later)


def test_dismissed_keeper_leaves_who_stands_in_line_stopped(machine: Machine) -> None:
    keeping, thread, _ = asking(machine, taken=False)
    machine.invoke("space_set_state", space=keeping.space, keeper_ref=machine.reference())
    assert thread.exception == EXCEPTION


def test_same_keeper_set_again_changes_nothing(machine: Machine) -> None:
    keeping, thread, keeper = asking(machine, taken=False)
    order = thread.wait_order
    machine.invoke("space_set_state", space=keeping.space, keeper_ref=machine.reference(keeping.port))
    assert (thread.waiting_for, thread.wait_order) == (keeping.port, order)
    serve(keeping, keeper, thread)


@pytest.mark.parametrize("device", [True, False])
@taken_or_not
def test_space_that_dies_takes_its_question_back(machine: Machine, taken: bool, device: bool) -> None:
    """The thread does its instruction again, should it be given a space."""
    if device and not taken:
        return
    if device:
        keeping = Keeping(machine, device=True)
        thread = keeping.spawn(*FOREIGN)
        machine.run()
        assert keeping.requests
    else:
        keeping, thread, keeper = asking(machine, taken)
    machine.invoke("space_destroy", space=keeping.space)
    assert thread.condition is Condition.EMPTY
    assert (thread.waiting_for, thread.question, thread.takers) == (None, None, None)
    if device:
        assert keeping.requests == []
    elif taken:
        keeper.resume(pc=keeper.question.pc + SKIP)
    assert thread.condition is Condition.EMPTY
    core = machine.core
    core.stop(thread)
    machine.load(thread, space=machine.space)
    core.start(thread)
    machine.run()
    assert thread.exception == EXCEPTION


@taken_or_not
def test_thread_that_is_stopped_while_its_space_dies_may_be_answered_still(machine: Machine, taken: bool) -> None:
    """Or it finds out, when somebody would take its question, that there is none."""
    keeping, thread, keeper = asking(machine, taken)
    machine.core.stop(thread)
    machine.invoke("space_destroy", space=keeping.space)
    if taken:
        keeper.resume(pc=keeper.question.pc + SKIP, a0=1000)
    else:
        machine.core.start(keeper.thread)
        machine.run()
        assert not keeper.is_asked
    assert thread.question is None
    machine.load(thread, space=machine.space)
    machine.core.start(thread)
    machine.run()
    assert keeping.done(thread) == taken
    assert thread.exception == (None if taken else EXCEPTION)


# -- whoever serves goes away -----------------------------------------------------------------------------------------


def test_another_server_is_asked_when_one_dies(machine: Machine) -> None:
    keeping, thread, keeper = asking(machine, taken=True)
    machine.invoke("thread_destroy", thread=keeper.thread)
    assert thread.waiting_for is keeping.port
    serve(keeping, keeping.keeper(), thread)


def test_server_that_is_stopped_answers_when_it_goes_on(machine: Machine) -> None:
    keeping, thread, keeper = asking(machine, taken=True)
    machine.core.stop(keeper.thread)
    machine.run()
    assert thread.waiting_for is keeper.thread
    machine.core.start(keeper.thread)
    machine.run()
    serve(keeping, keeper, thread)


def test_server_that_is_stopped_before_it_has_received_receives_when_it_goes_on(machine: Machine) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper()
    machine.run()
    machine.core.stop(keeper.thread)
    thread = keeping.spawn(*FOREIGN)
    machine.run()
    assert thread.waiting_for is keeper.thread
    assert not keeper.is_asked
    serve(keeping, keeper, thread)


def test_server_that_receives_again_without_an_answer_is_asked_again(machine: Machine) -> None:
    keeping = Keeping(machine)
    receive = {"receive_buffer": machine.buffer(36), "receive_words": 36}
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=keeping.portset, **receive),
        machine.call("ipc_wait_receive", **receive),
    )
    thread = keeping.spawn(*FOREIGN)
    machine.run()
    assert machine.done(server)
    assert thread.waiting_for is server
    assert machine.core.statistics.exceptions_asked == 2


def test_server_with_a_mistake_where_it_receives_leaves_the_question_to_another(machine: Machine) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper(room=36)
    machine.run()
    keeper.thread.registers[13] = 0x4000_0000  # its buffer, where nothing is mapped
    thread = keeping.spawn(*FOREIGN)
    machine.run()
    assert machine.failure(keeper.thread) is ExceptionCode.STORE_FAULT
    assert thread.waiting_for is keeping.port
    serve(keeping, keeping.keeper(), thread)


def test_thread_that_is_parked_at_the_port_set_without_serving_it_is_not_told(machine: Machine) -> None:
    keeping, elsewhere = Keeping(machine), Keeping(machine)
    forger = elsewhere.keeper()
    machine.run()
    machine.forged = True
    machine.core.stop(forger.thread)
    machine.load(forger.thread, waiting_for=keeping.portset)
    machine.core.start(forger.thread)
    thread = keeping.spawn(*FOREIGN)
    machine.run()
    assert not forger.is_asked
    assert forger.thread.waiting_for is elsewhere.portset
    assert thread.waiting_for is keeping.port


def test_keeper_with_a_mistake_in_the_space_it_keeps_asks_like_any_other(machine: Machine) -> None:
    """Nobody can answer then: all is idle."""
    keeping = Keeping(machine)
    keeper = keeping.server(("illegal",), space=keeping.space)
    thread = keeping.spawn(*FOREIGN)
    machine.run()
    assert machine.step() is Outcome.IDLE
    assert thread.waiting_for is keeper
    assert keeper.waiting_for is keeping.port
    assert keeper.condition is thread.condition is Condition.WAITING


def test_keeper_that_others_catch_in_a_mistake_does_not_ask_itself(machine: Machine) -> None:
    """It waits where it is asked, and what is wrong is found by who sends."""
    keeping = Keeping(machine)
    keeper = keeping.keeper(space=keeping.space)
    machine.run()
    keeper.thread.registers[13] += 1
    for name in ("ipc_send", "ipc_call"):
        message = {"send_buffer": machine.buffer(1), "send_words": 1}
        machine.spawn(machine.call(name, destination_ref=machine.reference(keeping.port), **message))
    machine.run()
    assert keeper.thread.waiting_for is keeping.port
    assert keeper.thread.client is None


def test_call_goes_back_to_its_client_when_its_server_asks(machine: Machine) -> None:
    """A server with a mistake of its own keeps its client, and answers it in the end."""
    keeping, service = Keeping(machine), Service(machine)
    keeper = keeping.keeper()
    server = service.server(work=(("illegal",),), space=keeping.space)
    client, buffer = service.client([5], room=1)
    machine.run()
    assert client.waiting_for is server
    assert server.waiting_for is keeper.thread
    keeper.resume(pc=keeper.question.pc + SKIP)
    assert machine.done(client)
    assert machine.word(buffer) == 6
