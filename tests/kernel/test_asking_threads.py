"""What becomes of a thread that asks its space's keeper: stopped, interrupted, made anew from its state."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode, ThreadFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.keeping import (
    EXCEPTION,
    FOREIGN,
    RESUME,
    SKIP,
    STATE_WORDS,
    STOP,
    Keeping,
    asking,
    serve,
    taken_or_not,
)
from tests.kernel.machine import Machine
from tests.kernel.recreation import recreate

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


@pytest.mark.parametrize("stranger", ["port", "device", "thread"])
def test_stranger_is_told_nothing_by_a_state_that_asks_it(machine: Machine, stranger: str) -> None:
    """Who is not the space's keeper wakes the thread, which then asks whom it should."""
    keeping, thread, keeper = asking(machine, taken=False)
    elsewhere = Keeping(machine, device=stranger == "device")
    other = elsewhere.keeper()
    machine.run()
    machine.forged = True
    machine.core.stop(thread)
    machine.load(thread, waiting_for=other.thread if stranger == "thread" else elsewhere.port)
    machine.core.start(thread)
    machine.run()
    assert not other.is_asked
    assert not elsewhere.requests
    if stranger != "thread":
        serve(keeping, keeper, thread)
    else:
        assert thread.waiting_for is other.thread  # as any thread that has been parked where it does not belong


@pytest.mark.parametrize("device", [False, True])
def test_stranger_is_told_nothing_where_there_is_nobody_to_ask(machine: Machine, device: bool) -> None:
    keeping, thread, _ = asking(machine, taken=False)
    elsewhere = Keeping(machine, device=device)
    machine.core.stop(thread)
    machine.load(thread, waiting_for=elsewhere.port)
    machine.load(keeping.space, keeper=None)
    assert thread.question == EXCEPTION
    if not device:
        elsewhere.keeper()
    machine.core.start(thread)
    machine.run()
    assert not elsewhere.requests
    assert (thread.exception, thread.waiting_for) == (EXCEPTION, None)


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
