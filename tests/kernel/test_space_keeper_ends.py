"""What becomes of a thread that asks its space's keeper, when it or the keeper is stopped, changed or destroyed."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import ExceptionCode, ThreadFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Condition, Thread
from tests.kernel.keeping import RESUME, STOP, Keeper, Keeping
from tests.kernel.machine import Machine
from tests.kernel.recreation import recreate

SKIP = 4
FOREIGN = (("li", "a7", 64), ("li", "a0", 5), ("ecall",), ("add", "s3", "a0", 0))
EXCEPTION = (ExceptionCode.FOREIGN_SYSTEM_CALL, 64)
STATE_WORDS = THREAD_STATE.size // 8
taken_or_not = pytest.mark.parametrize("taken", [False, True], ids=["in line", "taken"])


def asking(machine: Machine, taken: bool, **options: Any) -> tuple[Keeping, Thread, Keeper]:
    """A thread that asks about a foreign call; the keeper has its question, or only begins to serve later."""
    keeping = Keeping(machine)
    keeper = keeping.keeper(start=taken)
    thread = keeping.spawn(*FOREIGN, **options)
    machine.run()
    assert thread.waiting_for is (keeper.thread if taken else keeping.port)
    return keeping, thread, keeper


def serve(keeping: Keeping, keeper: Keeper, thread: Thread) -> None:
    """Let the keeper begin, if it has not, and answer; the thread then is done."""
    if keeper.thread.stopped:
        keeping.machine.core.start(keeper.thread)
    keeping.machine.run()
    assert keeper.question.thread_hash == thread.hash
    keeper.resume(pc=keeper.question.pc + SKIP, a0=1000)
    assert keeping.done(thread)
    assert keeping.machine.register(thread, "s3") == 1000


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


# -- the thread itself ------------------------------------------------------------------------------------------------


@taken_or_not
def test_thread_that_is_destroyed_is_asked_about_no_more(machine: Machine, taken: bool) -> None:
    keeping, thread, keeper = asking(machine, taken)
    machine.invoke("thread_destroy", thread=thread)
    if taken:
        keeper.answer(RESUME)
    else:
        machine.core.start(keeper.thread)
        machine.run()
    assert keeper.asked == taken
    assert keeper.thread.waiting_for is keeping.portset


@taken_or_not
def test_thread_that_is_stopped_is_answered(machine: Machine, taken: bool) -> None:
    keeping, thread, keeper = asking(machine, taken)
    machine.core.stop(thread)
    if not taken:
        machine.core.start(keeper.thread)
        machine.run()
    keeper.resume(pc=keeper.question.pc + SKIP, a0=1000)
    assert (thread.condition, thread.exception) == (Condition.STOPPED, None)
    machine.core.start(thread)
    machine.run()
    assert keeping.done(thread)
    assert machine.register(thread, "s3") == 1000


@taken_or_not
def test_interrupt_is_taken_and_the_instruction_done_again(machine: Machine, taken: bool) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper(start=taken)
    thread = keeping.spawn(
        *FOREIGN,
        ("jump", "rest"),
        "handler",
        ("add", "s5", "s5", 1),
        machine.bare_call("thread_return_from_exception"),
        interrupt_handler="handler",
    )
    machine.run()
    for times in (1, 2):
        machine.invoke("thread_interrupt", thread=thread)
        assert machine.register(thread, "s5") == times
        assert thread.question is not None
    if taken:
        keeper.answer(RESUME)  # for nobody: that question has been given up
    serve(keeping, keeper, thread)


@taken_or_not
def test_thread_can_be_made_anew_from_its_state(machine: Machine, taken: bool) -> None:
    """In line it keeps its place; a server that had its question has lost its client."""
    keeping, thread, keeper = asking(machine, taken)
    second = keeping.spawn(*FOREIGN)
    machine.run()
    state, port_ref, space_ref = machine.buffer(STATE_WORDS), machine.new(Reference), machine.new(Reference)
    machine.invoke("thread_get_state", thread=thread, state=state, space_ref=space_ref, waiting_for_ref=port_ref)
    address = machine.addresses[thread]
    machine.invoke("thread_destroy", thread=thread)
    machine.invoke("thread_create", thread=address)
    made = machine.found(address)
    assert isinstance(made, Thread)
    offset = THREAD_STATE.offset_of("flags")
    machine.write(state + offset, [machine.word(state + offset) & ~int(ThreadFlags.STOPPED)])
    links = {"space_ref": space_ref, "waiting_for_ref": port_ref}
    assert machine.invoke("thread_set_state", thread=made, state=state, **links).exception is None
    if taken:  # it waits for a server that does not serve it, until that is gone
        assert made.waiting_for is keeper.thread
        keeper.answer(STOP)
        machine.invoke("thread_destroy", thread=keeper.thread)
        keeper = keeping.keeper()
        machine.run()
    serve(keeping, keeper, made)
    serve(keeping, keeper, second)


@taken_or_not
def test_state_without_a_wait_is_that_of_a_thread_stopped_by_the_exception(machine: Machine, taken: bool) -> None:
    _, thread, keeper = asking(machine, taken)
    state = machine.buffer(STATE_WORDS)
    machine.invoke("thread_get_state", thread=thread, state=state)
    offset = THREAD_STATE.offset_of("flags")
    machine.write(state + offset, [machine.word(state + offset) & ~int(ThreadFlags.STOPPED)])
    nothing = machine.reference()
    machine.invoke("thread_set_state", thread=thread, state=state, waiting_for_ref=nothing)
    assert thread.condition is Condition.EXCEPTION
    assert thread.exception == EXCEPTION
    assert thread.takers is None
    if taken:
        keeper.answer(RESUME)
    assert thread.exception == EXCEPTION


@pytest.mark.parametrize("bits", [True, False], ids=["state and link", "link"])
def test_thread_that_an_exception_has_stopped_asks_when_it_is_parked_at_the_keeper(
    machine: Machine, bits: bool
) -> None:
    keeping = Keeping(machine)
    machine.load(keeping.space, keeper=None)
    thread = keeping.spawn(*FOREIGN)
    machine.run()
    assert thread.exception == EXCEPTION
    keeper = keeping.keeper()
    machine.invoke("space_set_state", space=keeping.space, keeper_ref=machine.reference(keeping.port))
    machine.core.stop(thread)
    machine.load(thread, dict(thread.export_bits()) if bits else None, waiting_for=keeping.port)
    assert thread.exception is None
    assert thread.question == EXCEPTION
    machine.core.start(thread)
    machine.run()
    serve(keeping, keeper, thread)


@pytest.mark.parametrize("kind", [Mutex, Portset])
def test_state_that_asks_can_be_parked_at_ports_and_threads_only(machine: Machine, kind: type[KernelObject]) -> None:
    _, thread, _ = asking(machine, taken=False)
    machine.core.stop(thread)
    reference = machine.reference(machine.new(kind))
    refused = machine.invoke("thread_set_state", thread=thread, waiting_for_ref=reference)
    assert refused.exception is ExceptionCode.INVALID_STATE


def test_state_cannot_ask_two_questions(machine: Machine) -> None:
    keeping, thread, _ = asking(machine, taken=False)
    state = machine.buffer(STATE_WORDS)
    machine.invoke("thread_get_state", thread=thread, state=state)
    machine.write(state + THREAD_STATE.offset_of("fault_access"), [1, 0x1000])
    reference = machine.reference(keeping.port)
    refused = machine.invoke("thread_set_state", thread=thread, state=state, waiting_for_ref=reference)
    assert refused.exception is ExceptionCode.INVALID_STATE


@pytest.mark.parametrize("stranger", ["port", "thread"])
def test_stranger_is_told_nothing_by_a_state_that_asks_it(machine: Machine, stranger: str) -> None:
    """Who is not the space's keeper wakes the thread, which then asks whom it should."""
    keeping, thread, keeper = asking(machine, taken=False)
    elsewhere = Keeping(machine)
    other = elsewhere.keeper()
    machine.run()
    machine.forged = True
    machine.core.stop(thread)
    machine.load(thread, waiting_for=elsewhere.port if stranger == "port" else other.thread)
    machine.core.start(thread)
    machine.run()
    assert not other.is_asked
    if stranger == "port":
        serve(keeping, keeper, thread)
    else:
        assert thread.waiting_for is other.thread  # as any thread that has been parked where it does not belong


@taken_or_not
def test_handler_that_a_state_brings_takes_the_next_mistake(machine: Machine, taken: bool) -> None:
    """A thread that asks is loaded anew, with exceptions enabled and a handler: its instruction is done again."""
    keeping = Keeping(machine)
    keeping.keeper(start=taken)
    thread = keeping.spawn(
        *FOREIGN, ("jump", "rest"), "handler", ("add", "s4", "a1", 0), ("jump", "rest"), handler="handler", start=False
    )
    thread.exceptions_enabled = False
    machine.core.start(thread)
    machine.run()
    assert thread.question is not None
    bits = dict(thread.export_bits())
    assert isinstance(bits["flags"], int)
    bits |= {"flags": bits["flags"] | ThreadFlags.EXCEPTION_ENABLE, "exception": 0, "exception_subcode": 0}
    machine.core.stop(thread)
    machine.load(thread, bits, waiting_for=None)
    machine.run()
    assert machine.register(thread, "s4") == ExceptionCode.FOREIGN_SYSTEM_CALL
    assert keeping.done(thread)


@pytest.mark.parametrize("parked", [True, False], ids=["parked", "reissued"])
@taken_or_not
def test_exchange_goes_on_when_everything_is_created_again(machine: Machine, taken: bool, parked: bool) -> None:
    keeping, thread, keeper = asking(machine, taken)
    rest, address, server = (machine.addresses[each] for each in (keeping.rest, thread, keeper.thread))
    recreate(machine, parked=parked)
    keeping.rest = machine.found(rest)  # type: ignore[assignment]
    made = machine.found(address)
    assert isinstance(made, Thread)
    if not taken:
        machine.core.start(machine.found(server))  # type: ignore[arg-type]
    machine.run()
    if taken and not parked:
        keeper.answer(RESUME)  # for nobody: it is asked anew
    keeper.resume(pc=keeper.question.pc + SKIP, a0=1000)
    assert keeping.done(made)
    assert machine.register(made, "s3") == 1000
