"""A program's mistakes: told to the thread that made them, and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import ExceptionCode
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.trace import Event
from tests.kernel.machine import UNMAPPED, Machine

HANDLER = (
    ("jump", "end"),
    "handler",
    ("add", "s2", "a0", 0),
    ("add", "s3", "a1", 0),
    ("add", "s4", "a2", 0),
    ("jump", "end"),
    "end",
)


@pytest.mark.parametrize(
    ("steps", "code", "subcode"),
    [
        ([("load", "s1", "zero", UNMAPPED)], ExceptionCode.LOAD_FAULT, UNMAPPED),
        ([("store", "s1", "zero", UNMAPPED + 8)], ExceptionCode.STORE_FAULT, UNMAPPED + 8),
        ([("li", "a7", 1), ("ecall",)], ExceptionCode.FOREIGN_SYSTEM_CALL, 1),
        (["lock"], ExceptionCode.NO_OBJECT, "slot"),
    ],
)
def test_handler_gets_thread_code_and_subcode(
    machine: Machine, steps: list[Any], code: ExceptionCode, subcode: Any
) -> None:
    slot = machine.slot()
    steps = [machine.call("mutex_lock", mutex=slot) if step == "lock" else step for step in steps]
    thread = machine.spawn(*steps, *HANDLER, handler="handler")
    machine.run()
    found = [machine.register(thread, name) for name in ("s2", "s3", "s4")]
    assert found == [machine.addresses[thread], code, slot if subcode == "slot" else subcode]
    assert not thread.exceptions_enabled


def test_return_from_exception_goes_back_to_what_failed(machine: Machine) -> None:
    """The handler mends the cause, and the same instruction, or call, is done again."""
    slot = machine.slot()
    thread = machine.spawn(
        machine.call("mutex_lock", mutex=slot),
        machine.call("mutex_unlock", mutex=slot),
        ("li", "s2", 1),
        machine.call("ipc_send", destination_ref=machine.reference(machine.new(Port))),
        "handler",
        machine.call("mutex_create", mutex=slot),
        machine.bare_call("thread_return_from_exception"),
        handler="handler",
    )
    machine.run()
    assert len(machine.happened(Event.EXCEPTION, thread)) == 1
    assert machine.register(thread, "s2") == 1
    assert machine.stage(thread) == "ipc_send"


def test_without_a_handler_the_thread_stops_alone_and_says_why(machine: Machine) -> None:
    bad = machine.spawn(("burn", 10), ("illegal",), ("burn", 10))
    good = machine.spawn(("burn", 1000), priority=5)
    machine.run()
    assert machine.done(good)
    assert bad.exception is not None
    assert bad.exception[0] is ExceptionCode.ILLEGAL_INSTRUCTION
    assert bad.condition is Condition.EXCEPTION
    assert machine.core.statistics.exceptions == 2
    (event, _) = machine.happened(Event.EXCEPTION)
    assert event[3] is ExceptionCode.ILLEGAL_INSTRUCTION


def test_exception_in_a_handler_stops_the_thread(machine: Machine) -> None:
    """Exceptions are disabled there, so the second is nobody's."""
    thread = machine.spawn(("illegal",), "handler", ("ebreak",), handler="handler")
    machine.run()
    assert thread.exception is not None
    assert thread.exception[0] is ExceptionCode.BREAKPOINT
    assert thread.saved[-1] == min(machine.programs)


def test_unhandled_exception_needs_attention_at_once(machine: Machine) -> None:
    thread = machine.spawn(("illegal",))
    assert machine.hart.run(10**6) is Outcome.ATTENTION
    assert thread.exception is not None


def test_failed_thread_goes_on_when_its_state_is_set_anew(machine: Machine) -> None:
    thread = machine.spawn(("burn", 1), ("illegal",), ("li", "s2", 1))
    machine.run()
    state = machine.buffer(200)
    machine.invoke("thread_get_state", thread=thread, state=state)
    offset = thread.layout.offset_of("pc")
    machine.write(state + offset, [machine.word(state + offset) + 4])
    machine.invoke("thread_set_state", thread=thread, state=state)
    assert machine.failure(thread) is ExceptionCode.ILLEGAL_INSTRUCTION, "what has stopped it is in its state"
    machine.write(state + thread.layout.offset_of("exception"), [0, 0])
    machine.invoke("thread_get_state", thread=thread)
    machine.invoke("thread_set_state", thread=thread, state=state)
    assert machine.done(thread)
    assert machine.register(thread, "s2") == 1


def test_handled_mistake_in_a_call_leaves_no_trace_of_the_call(machine: Machine) -> None:
    """A thread that was woken into a mistake runs its handler, not the call again."""
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    thread = machine.spawn(machine.call("mutex_lock", mutex=mutex), *HANDLER, handler="handler")
    machine.run()
    machine.invoke("mutex_destroy", mutex=mutex)
    assert machine.done(thread)
    assert machine.register(thread, "s3") == ExceptionCode.NO_OBJECT
    assert len(machine.happened(Event.EXCEPTION, thread)) == 2
    assert not thread.in_kernel
