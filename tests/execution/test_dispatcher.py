"""The life of a system call: numbers, costs, registers, marked points."""

from __future__ import annotations

import ast
import inspect

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, ExceptionCode
from fluke_async.abi.entry_point import Class
from fluke_async.abi.entry_points import BY_NAME, CHUNK_COST, COMPLETION_COST, ENTRY_POINTS, STAGE_COST
from fluke_async.execution import dispatcher
from fluke_async.execution.dispatcher import ROWS
from fluke_async.kernel import ipc
from fluke_async.kernel.objects import mutex as mutex_module
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

COARSE = 10**7


def test_every_row_of_the_table_has_a_handler() -> None:
    assert ROWS.keys() == {entry.number for entry in ENTRY_POINTS}


def test_calls_that_suspend_are_long_or_of_several_stages_or_have_marked_points() -> None:
    suspending = {entry.name for entry in ENTRY_POINTS if ROWS[entry.number].may_sleep}
    sleeping = {entry.name for entry in ENTRY_POINTS if entry.call_class in (Class.LONG, Class.MULTI_STAGE)}
    visiting = {entry.name for entry in ENTRY_POINTS if entry.has_points}
    in_steps = {entry.name for entry in ENTRY_POINTS if entry.goes_in_steps}
    assert suspending == (sleeping | visiting) - in_steps == {entry.name for entry in ENTRY_POINTS if entry.can_be_cut}


@pytest.mark.parametrize("number", [0, 93, 0xFFF, 0x1FFF, 2**64 - 1])
def test_foreign_number_is_an_exception_that_names_it(machine: Machine, number: int) -> None:
    thread = machine.spawn(("li", "a7", number), ("ecall",))
    machine.run()
    assert thread.exception == (ExceptionCode.FOREIGN_SYSTEM_CALL, number)
    assert thread.pc == 4 + min(machine.programs)  # on the ecall


def test_cost_of_a_call_is_charged_when_it_ends(machine: Machine) -> None:
    for name, operands in (
        ("thread_self", {}),
        ("mutex_lock", {"mutex": machine.new(Mutex)}),
        ("ref_create", {"ref": machine.slot()}),
        ("ref_type", {"ref": machine.reference()}),
    ):
        before = machine.core.time
        thread = machine.spawn(machine.call(name, **operands))
        machine.run()
        instructions = len(operands) + 1
        assert machine.core.time - before == instructions + BY_NAME[name].cost
        assert QUANTUM_INSTRUCTIONS - thread.quantum_left == machine.core.time - before


def test_cost_of_a_call_that_has_no_end_of_its_own(machine: Machine) -> None:
    """Returning from a handler costs time too, else a thread could stop the clock."""
    thread = machine.spawn(machine.call("thread_return_from_exception"), start=False)
    thread.saved = (0, 0, 0, BY_NAME["thread_return_from_exception"].number, thread.pc + 4)
    machine.core.start(thread)
    for _ in range(10):
        machine.step()
    assert machine.core.time >= 5 * BY_NAME["thread_return_from_exception"].cost


def test_costs_of_an_exchange(model: str, preemption: str) -> None:
    """Stages, chunks and completions are charged, waits and dispatches are not."""
    machine = Machine(model, preemption)
    service = Service(machine)
    words = 2 * COPY_CHUNK_WORDS
    server = service.server(room=words, reply_words=1)
    machine.run()
    setup = machine.core.time
    assert setup == len(BY_NAME["ipc_setup_wait_receive"].arguments) + 1 + STAGE_COST
    service.client([1] * words)
    machine.run()
    call = len(BY_NAME["ipc_call"].arguments) + 1
    reply = len(BY_NAME["ipc_reply_wait_receive"].arguments) + 1
    expected = (
        call
        + 2 * CHUNK_COST
        + COMPLETION_COST  # of the server's receive
        + 3  # its work
        + reply
        + CHUNK_COST // COPY_CHUNK_WORDS
        + COMPLETION_COST  # of the client's call
        + STAGE_COST  # the server waits again
    )
    assert machine.core.time - setup == expected
    assert server.waiting_for is service.portset


def late_arrival(machine: Machine, priority: int) -> tuple[int, int]:
    """A client copies eight chunks and somebody gets ready in the third: its first and the copy's last instant."""
    machine.effort = COARSE
    service = Service(machine)
    words = 8 * COPY_CHUNK_WORDS
    service.server(room=words, priority=5)
    machine.run()
    client, _ = service.client([1] * words, priority=10)
    late = machine.spawn(("burn", 1), priority=priority, start=False)
    machine.start_at(machine.core.time + 2500, late)
    machine.run()
    assert machine.done(client, late)
    chunks = machine.happened(Event.CHUNK)
    started = next(event[0] for event in machine.happened(Event.SWITCH, late))
    return started, chunks[7][0]


def test_urgent_thread_preempts_at_a_marked_point(model: str) -> None:
    machine = Machine(model, "partial")
    started, end = late_arrival(machine, 20)
    assert started < end
    assert machine.core.statistics.preemptions == 1
    arrival = machine.happened(Event.START)[-1][0]
    assert started == arrival  # actions are taken in at the point, not before


def test_nobody_preempts_a_call_without_preemption(model: str) -> None:
    machine = Machine(model, "none")
    started, end = late_arrival(machine, 20)
    assert started >= end
    assert machine.core.statistics.preemptions == 0


@pytest.mark.parametrize("priority", [10, 3])
def test_equal_or_lesser_thread_does_not_preempt(model: str, priority: int) -> None:
    machine = Machine(model, "partial")
    started, end = late_arrival(machine, priority)
    assert started >= end


def test_end_of_the_time_slice_preempts_at_a_marked_point(model: str, preemption: str) -> None:
    machine = Machine(model, preemption, effort=COARSE)
    service = Service(machine)
    words = 8 * COPY_CHUNK_WORDS
    service.server(room=words, priority=5)
    machine.run()
    client, _ = service.client([1] * words, priority=10)
    client.quantum_left = 3000
    end_of_slice = machine.core.time + client.quantum_left
    other = machine.spawn(("burn", 1), priority=10)
    machine.run()
    assert machine.done(client, other)
    started = machine.happened(Event.SWITCH, other)[0][0]
    chunks = [event[0] for event in machine.happened(Event.CHUNK)]
    assert (started < chunks[words // machine.core.chunk_words - 1]) == (preemption != "none")
    if preemption != "none":
        assert started == next(time for time in chunks if time >= end_of_slice)


def test_operations_do_nothing_between_a_wait_and_the_decision_what_to_do() -> None:
    """No `try`, `with` or value of an await in an operation: one loop, and after an await comes its start."""
    operations = 0
    for module in (ipc, mutex_module):
        for function in ast.walk(ast.parse(inspect.getsource(module))):
            if not isinstance(function, ast.AsyncFunctionDef):
                continue
            operations += 1
            assert isinstance(function.body[-1], ast.While)
            for node in ast.walk(function):
                assert not isinstance(node, ast.Try | ast.With | ast.AsyncWith | ast.AsyncFor)
                assert not (isinstance(node, ast.Assign) and isinstance(node.value, ast.Await))
                for body in (getattr(node, "body", None), getattr(node, "orelse", None)):
                    check_after_awaits(body, node is function.body[-1])
    assert operations == 5
    assert not any(isinstance(node, ast.Await) for node in ast.walk(ast.parse(inspect.getsource(dispatcher))))


def check_after_awaits(body: list[ast.stmt] | None, in_loop: bool) -> None:
    """After an await comes `continue`, or the end of the loop's body."""
    for index, statement in enumerate(body if isinstance(body, list) else ()):
        if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Await):
            assert isinstance(body, list)
            following = body[index + 1 :]
            assert (not following and in_loop) or isinstance(following[0], ast.Continue)
