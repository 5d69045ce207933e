"""Five configurations from one source: what tells them apart, and that programs cannot."""

from __future__ import annotations

import ast
import re
import typing

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, WORD_SIZE
from fluke_async.cli import options as run_options
from fluke_async.cli import verify
from fluke_async.execution.configuration import CONFIGURATIONS, GRAINS, MODELS, Preemption
from fluke_async.kernel.suspension import COPY, VISIT, WAIT
from fluke_async.kernel.trace import Event
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.tidy import ROOT

PACKAGE = ROOT / "fluke_async"
OF_A_CONFIGURATION = re.compile(r"\b(preempted_at|preemptible|chunk_words|visited_pages|self\.model)\b")
DRIVERS = ("configuration", "interrupt", "process")


def code_lines(source: str) -> list[str]:
    """The lines that are code: neither blank, nor comments, nor texts, nor imports."""
    lines = source.splitlines()
    for node in ast.walk(ast.parse(source)):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if is_text or isinstance(node, ast.Import | ast.ImportFrom):
            assert isinstance(node, ast.stmt)
            for number in range(node.lineno, (node.end_lineno or node.lineno) + 1):
                lines[number - 1] = ""
    return [line for line in lines if line.strip() and not line.strip().startswith("#")]


def lines_that_tell_them_apart() -> int:
    own = [f"execution/{name}.py" for name in DRIVERS]
    count = sum(len(code_lines((PACKAGE / name).read_text("utf-8"))) for name in own)
    for path in sorted([*PACKAGE.glob("execution/*.py"), *PACKAGE.glob("kernel/**/*.py")]):
        if path.relative_to(PACKAGE).as_posix() not in own:
            count += sum(1 for line in code_lines(path.read_text("utf-8")) if OF_A_CONFIGURATION.search(line))
    return count


def test_page_says_how_many_lines_tell_the_configurations_apart() -> None:
    page = (PACKAGE / "README.md").read_text("utf-8")
    said = re.search(r"(\d+)\s+lines\s+tell\s+the\s+five\s+configurations\s+apart", page)
    assert said is not None
    assert int(said[1]) == lines_that_tell_them_apart() < 100


def test_there_are_five_and_only_stacks_can_be_preempted_everywhere() -> None:
    assert len(set(CONFIGURATIONS)) == len(CONFIGURATIONS) == 5
    assert {each.model for each in CONFIGURATIONS} == set(MODELS)
    assert {Preemption(each.preemption) for each in CONFIGURATIONS} == set(GRAINS) == set(Preemption)
    assert [each.model for each in CONFIGURATIONS if each.preemption == "full"] == ["process"]
    assert not any(WAIT in grain.points for grain in GRAINS.values())


@pytest.mark.parametrize("options", [run_options.Machine, verify.Selection])
def test_commands_take_what_there_is(options: type) -> None:
    offered = typing.get_type_hints(options, include_extras=True)
    for name, values in (("model", list(MODELS)), ("preemption", [each.value for each in Preemption])):
        literal = next(each for each in (offered[name], *typing.get_args(offered[name])) if typing.get_args(each))
        if literal is offered[name] and type(None) in typing.get_args(literal):
            literal = typing.get_args(literal)[0]
        assert list(typing.get_args(literal)) == values


@pytest.fixture
def fine() -> Machine:
    return Machine("process", "full")


def test_a_page_lies_between_two_marked_points_of_a_copy(fine: Machine) -> None:
    service, words = Service(fine), 2 * COPY_CHUNK_WORDS + 5
    service.server(room=words, reply_words=words)
    service.client([1] * words, room=words)
    fine.run()
    moved = [event[3] for event in fine.happened(Event.CHUNK)]
    assert sum(moved) == 2 * words
    assert max(moved) == PAGE_SIZE // WORD_SIZE


def late_signal(machine: Machine) -> tuple[bool, list[int]]:
    """A broadcast to six, in the middle of which somebody urgent gets ready; whether that one ran before its end."""
    machine.effort = 10**7
    room = WaitingRoom(machine)
    waiters = room.waiters(10, 11, 12, 10, 11, 12)
    broadcaster = machine.spawn(machine.call("cond_broadcast", cond=room.cond), priority=20)
    urgent = machine.spawn(("burn", 1), priority=25, start=False)
    machine.start_at(machine.core.time + 100, urgent)
    machine.run()
    assert machine.done(broadcaster, urgent, *waiters)
    began = machine.happened(Event.SWITCH, urgent)[0][0]
    ended = next(event[0] for event in machine.happened(Event.FINISH, broadcaster))
    return began < ended, room.log


def test_a_broadcast_is_preempted_under_full_preemption_alone(model: str, preemption: str) -> None:
    machine = Machine(model, preemption)
    is_preempted, log = late_signal(machine)
    assert is_preempted == (VISIT in GRAINS[Preemption(preemption)].points) == (preemption == "full")
    assert sorted(log) == [1, 2, 3, 4, 5, 6]
    assert machine.core.statistics.preemptions == int(is_preempted)


def test_a_broadcast_that_is_preempted_leaves_those_who_come_meanwhile(fine: Machine) -> None:
    """Its place in the order of waits is its own from the first step on."""
    fine.effort = 10**7
    room = WaitingRoom(fine)
    room.waiters(10, 11, 12)
    late = room.waiter(9, priority=25, start=False)
    broadcaster = fine.spawn(fine.call("cond_broadcast", cond=room.cond), priority=20)
    fine.start_at(fine.core.time + 60, late)
    fine.run()
    assert fine.done(broadcaster)
    assert late.waiting_for is room.cond
    assert sorted(room.log) == [1, 2, 3]
    assert fine.core.statistics.preemptions > 0


def test_no_marked_point_of_a_copy_is_passed_over_when_a_time_slice_ends(model: str, preemption: str) -> None:
    """Two clients that copy take turns wherever they can be preempted."""
    machine = Machine(model, preemption, effort=10**7)
    service, words = Service(machine), 8 * COPY_CHUNK_WORDS
    for _ in range(2):
        service.server(room=words, priority=15)
    machine.run()
    clients = [service.client([n] * words, priority=10)[0] for n in range(2)]
    clients[0].quantum_left = 3 * COPY_CHUNK_WORDS
    machine.run()
    copied = [event[2] for event in machine.happened(Event.CHUNK)]
    first_run = next(index for index, who in enumerate(copied) if who == clients[1].hash)
    assert (copied.count(clients[0].hash) > first_run) == (COPY in GRAINS[Preemption(preemption)].points)
