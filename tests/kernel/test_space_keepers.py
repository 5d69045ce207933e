"""A space's keeper is asked about the mistakes that its threads do not handle, and says how they go on."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import ExceptionCode, MessageKind
from fluke_async.abi.registers import RECEIVE_BUFFER
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.trace import Event
from tests.kernel.keeping import ALIAS, QUESTION_WORDS, REPLY_WORDS, RESUME, STOP, Keeping
from tests.kernel.machine import UNMAPPED, Machine, Part
from tests.kernel.messages import Service
from tests.kernel.paging import FAILED, VIEW, Paging

FOREIGN: list[Part] = [("li", "a7", 64), ("li", "a0", 5), ("ecall",), ("add", "s3", "a0", 0)]
SKIP = 4

# -- what a keeper receives -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("server_first", [True, False])
@pytest.mark.parametrize(
    ("steps", "code", "subcode"),
    [
        ([("load", "s1", "zero", UNMAPPED)], ExceptionCode.LOAD_FAULT, UNMAPPED),
        ([("store", "s1", "zero", UNMAPPED + 8)], ExceptionCode.STORE_FAULT, UNMAPPED + 8),
        ([("li", "a7", 64), ("ecall",)], ExceptionCode.FOREIGN_SYSTEM_CALL, 64),
        ([("illegal",)], ExceptionCode.ILLEGAL_INSTRUCTION, "pc"),
        ([("ebreak",)], ExceptionCode.BREAKPOINT, "pc"),
        (["lock"], ExceptionCode.NO_OBJECT, "slot"),
    ],
)
def test_keeper_learns_who_has_made_which_mistake_with_which_registers(
    machine: Machine, steps: list[Any], code: ExceptionCode, subcode: Any, server_first: bool
) -> None:
    keeping, slot = Keeping(machine), machine.slot()
    steps = [machine.call("mutex_lock", mutex=slot) if step == "lock" else step for step in steps]
    keeper = keeping.keeper(start=server_first)
    machine.run()
    thread = keeping.spawn(("li", "s9", 99), *steps)
    machine.run()
    if not server_first:
        assert thread.waiting_for is keeping.port
        machine.core.start(keeper.thread)
        machine.run()
    found = keeper.question
    assert found.code == code
    assert found.subcode == {"slot": slot, "pc": found.pc}.get(subcode, subcode)
    assert (found.thread_hash, found.pc, found.x) == (thread.hash, thread.pc, tuple(thread.registers))
    assert (found.alias, found.kind, found.words) == (ALIAS, MessageKind.EXCEPTION, QUESTION_WORDS)
    assert found.register("s9") == 99
    assert thread.waiting_for is keeper.thread
    assert thread.condition is Condition.WAITING
    assert [thread.export_bits()[name] for name in ("exception", "exception_subcode")] == [code, found.subcode]


@pytest.mark.parametrize("room", [0, 1, 3, 4, 20, QUESTION_WORDS])
def test_what_does_not_fit_is_cut_off(machine: Machine, room: int) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper(room=room)
    thread = keeping.spawn(FOREIGN)
    machine.run()
    question = keeper.question
    assert question.words == room
    words = (*question[:4], *question.x)
    assert words == ((ExceptionCode.FOREIGN_SYSTEM_CALL, 64, thread.hash, thread.pc, *thread.registers)[:room]) + (
        0,
    ) * (QUESTION_WORDS - room)


# -- how the thread goes on -------------------------------------------------------------------------------------------


def test_foreign_call_can_be_emulated(machine: Machine) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper()
    thread = keeping.spawn(FOREIGN, FOREIGN)
    machine.run()
    for number in range(2):
        question = keeper.question
        assert (question.subcode, question.register("a0")) == (64, 5)
        keeper.resume(pc=question.pc + SKIP, a0=1000 + number)
        assert machine.register(thread, "s3") == 1000 + number
    assert keeping.done(thread)
    assert machine.core.statistics.exceptions_asked == 2
    assert machine.core.statistics.exceptions == 0


def test_reply_of_all_words_loads_every_register_but_x0(machine: Machine) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper()
    thread = keeping.spawn(("illegal",))
    machine.run()
    expected = [0, *range(101, 132)]
    keeper.answer(RESUME, keeper.question.pc + SKIP, 77, *expected[1:])
    rest = dict.fromkeys((10, 17))  # a0 and a7 of the call in which it rests
    assert [word for number, word in enumerate(thread.registers) if number not in rest] == [
        word for number, word in enumerate(expected) if number not in rest
    ]
    assert keeping.done(thread)


@pytest.mark.parametrize("words", [1, 2, REPLY_WORDS - 1, REPLY_WORDS, REPLY_WORDS + 1])
def test_shorter_reply_leaves_the_registers_and_the_instruction_is_tried_again(machine: Machine, words: int) -> None:
    keeping, slot = Keeping(machine), machine.slot()
    keeper = keeping.keeper()
    thread = keeping.spawn(machine.call("mutex_lock", mutex=slot))
    machine.run()
    assert machine.invoke("mutex_create", mutex=slot).status == 0
    pc = keeper.question.pc
    keeper.answer(*([RESUME, pc + SKIP] + [7] * 40)[:words])
    loaded = words >= REPLY_WORDS
    assert keeping.done(thread)
    mutex = machine.found(slot)
    assert isinstance(mutex, Mutex)
    assert mutex.locked != loaded
    assert machine.register(thread, "s5") == (7 if loaded else 0)


@pytest.mark.parametrize("reply", [(STOP,), (2,), (1 << 63,), (), (STOP, 0, *[9] * 32)])
def test_any_other_verdict_stops_the_thread_by_its_exception(machine: Machine, reply: tuple[int, ...]) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper()
    thread = keeping.spawn(FOREIGN)
    machine.run()
    before = tuple(thread.registers)
    assert machine.core.exceptions == []
    keeper.answer(*reply)
    assert thread.condition is Condition.EXCEPTION
    assert thread.exception == (ExceptionCode.FOREIGN_SYSTEM_CALL, 64)
    assert tuple(thread.registers) == before
    assert machine.core.exceptions == [thread]
    assert machine.core.statistics.exceptions == 1
    assert keeper.thread.waiting_for is keeping.portset


@pytest.mark.parametrize("times", [1, 4])
def test_keeper_that_mends_nothing_is_asked_again(machine: Machine, times: int) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper()
    thread = keeping.spawn(("illegal",))
    machine.run()
    for number in range(times):
        assert keeper.asked == number + 1
        keeper.answer(RESUME)
    assert thread.waiting_for is keeper.thread
    assert keeper.asked == times + 1


def test_threads_are_asked_about_in_order_of_priority_and_time(machine: Machine) -> None:
    keeping = Keeping(machine)
    threads = [keeping.spawn(("li", "s9", number), ("illegal",), priority=10 + number % 2) for number in range(4)]
    machine.run()
    keeper = keeping.keeper()
    machine.run()
    for number in (1, 3, 0, 2):
        assert keeper.question.register("s9") == number
        keeper.resume(pc=keeper.question.pc + SKIP)
    assert keeping.done(*threads)


def test_question_and_answer_leave_their_traces(machine: Machine) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper()
    thread = keeping.spawn(FOREIGN)
    machine.run()
    keeper.answer(STOP)
    code = ExceptionCode.FOREIGN_SYSTEM_CALL
    assert [event[3:] for event in machine.happened(Event.ASK_EXCEPTION)] == [(code, 64, keeping.port.hash)]
    assert [event[3:] for event in machine.happened(Event.ANSWERED, thread)] == [(code, STOP)]


@pytest.mark.parametrize("verdict", [RESUME, STOP])
def test_device_can_be_the_keeper(machine: Machine, verdict: int) -> None:
    keeping = Keeping(machine, device=True)
    thread = keeping.spawn(FOREIGN)
    machine.run()
    (request,) = keeping.requests
    assert request.words == (8, 64, thread.hash, thread.pc, *thread.registers)
    machine.core.stop(thread)
    assert keeping.requests == []
    machine.core.start(thread)
    machine.run()
    assert keeping.requests[0].words == request.words
    registers = list(thread.registers)
    registers[10] = 12
    keeping.reply(verdict, thread.pc + SKIP, *registers)
    assert keeping.done(thread) == (verdict == RESUME)
    assert machine.register(thread, "s3") == (12 if verdict == RESUME else 0)
    assert (thread.exception is not None) == (verdict == STOP)


# -- who asks ---------------------------------------------------------------------------------------------------------


def in_user_mode(machine: Machine, keeping: Keeping, paging: Paging) -> tuple[list[Part], ExceptionCode]:
    return [("load", "s1", "zero", UNMAPPED)], ExceptionCode.LOAD_FAULT


def foreign(machine: Machine, keeping: Keeping, paging: Paging) -> tuple[list[Part], ExceptionCode]:
    return [("li", "a7", 93), ("ecall",)], ExceptionCode.FOREIGN_SYSTEM_CALL


def in_short_call(machine: Machine, keeping: Keeping, paging: Paging) -> tuple[list[Part], ExceptionCode]:
    return [machine.call("mutex_trylock", mutex=machine.slot())], ExceptionCode.NO_OBJECT


def in_long_call(machine: Machine, keeping: Keeping, paging: Paging) -> tuple[list[Part], ExceptionCode]:
    return [machine.call("mutex_lock", mutex=machine.slot())], ExceptionCode.NO_OBJECT


def refused_fault(machine: Machine, keeping: Keeping, paging: Paging) -> tuple[list[Part], ExceptionCode]:
    return [("load", "s1", "zero", paging.address(1))], ExceptionCode.LOAD_FAULT


def refused_fault_in_call(machine: Machine, keeping: Keeping, paging: Paging) -> tuple[list[Part], ExceptionCode]:
    return [machine.call("mutex_create", mutex=paging.address(1))], ExceptionCode.STORE_FAULT


def bad_server(machine: Machine, keeping: Keeping, paging: Paging) -> tuple[list[Part], ExceptionCode]:
    """A server's buffer has become odd while it waits, which is found when a client copies."""
    service = Service(machine)
    service.client([1, 2, 3, 4], work=(("burn", 4000),), priority=8)
    machine.core.at(2000, lambda: spoil(service))
    receive = {"receive_buffer": machine.buffer(8), "receive_words": 4}
    return [machine.call("ipc_setup_wait_receive", portset=service.portset, **receive)], ExceptionCode.BUFFER_UNALIGNED


def spoil(service: Service) -> None:
    """The server that waits gets an odd buffer."""
    server = service.portset.first_waiter()
    assert server is not None
    server.registers[RECEIVE_BUFFER] += 1


CAUSES = (in_user_mode, foreign, in_short_call, in_long_call, refused_fault, refused_fault_in_call, bad_server)


@pytest.mark.parametrize("kept", [True, False], ids=["keeper", "no keeper"])
@pytest.mark.parametrize("handler", [True, False], ids=["handler", "no handler"])
@pytest.mark.parametrize("enabled", [True, False], ids=["enabled", "disabled"])
@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.__name__)
def test_handler_comes_first_then_the_keeper_then_the_end(
    machine: Machine, cause: Any, enabled: bool, handler: bool, kept: bool
) -> None:
    keeping, paging = Keeping(machine), Paging(machine)
    machine.load(
        paging.view_mapping,
        {"start_va": VIEW, "size": 4096 * 4, "prot": 7},
        region=paging.region,
        space=keeping.space,
    )
    if not kept:
        machine.load(keeping.space, keeper=None)
    pager, keeper = paging.keeper(), keeping.keeper()
    steps, code = cause(machine, keeping, paging)
    thread = keeping.spawn(
        [*steps, ("jump", "rest")],
        "handler",
        ("add", "s3", "a1", 0),
        ("jump", "rest"),
        handler="handler",
        start=False,
    )
    thread.exceptions_enabled = enabled
    if not handler:
        thread.handlers = thread.handlers._replace(trap=0)
    machine.core.start(thread)
    machine.run()
    if pager.is_asked:
        pager.answer(FAILED)
    assert machine.register(thread, "s3") == (code if enabled and handler else 0)
    if enabled and handler:
        assert keeping.done(thread)
        assert keeper.asked == 0
    elif kept:
        assert keeper.question.code == code
        assert thread.exception is None
        keeper.resume(pc=keeper.question.pc + SKIP)
        assert keeping.done(thread)
    else:
        assert thread.exception is not None
        assert thread.exception[0] is code
        assert keeper.asked == 0


def test_interrupt_that_is_pending_waits_for_the_keepers_answer_where_exceptions_are_disabled(machine: Machine) -> None:
    keeping = Keeping(machine)
    keeper = keeping.keeper()
    thread = keeping.spawn(
        ("illegal",),
        machine.call("thread_enable_exceptions", thread=machine.next_slot),
        ("jump", "rest"),
        "handler",
        ("li", "s3", 3),
        machine.bare_call("thread_return_from_exception"),
        interrupt_handler="handler",
        start=False,
    )
    thread.exceptions_enabled = False
    machine.core.start(thread)
    machine.run()
    machine.invoke("thread_interrupt", thread=thread)
    assert thread.waiting_for is keeper.thread
    keeper.resume(pc=keeper.question.pc + SKIP)
    assert keeping.done(thread)
    assert machine.register(thread, "s3") == 3
