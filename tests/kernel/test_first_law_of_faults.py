"""At every point of exchanges with keepers, everything is destroyed and created again: nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.cpu.scripted_cpu import Line
from fluke_async.kernel import message
from fluke_async.kernel.objects.port import Port
from tests.kernel.law_scenarios import Scenario, answer_after
from tests.kernel.machine import Machine, Part
from tests.kernel.paging import FAILED, Paging
from tests.kernel.test_first_law import Run
from tests.kernel.test_first_law import test_everything_can_be_created_again_at_all_points_of_one_run as recreate_often
from tests.kernel.test_first_law import test_everything_can_be_created_again_at_every_point as recreate_once_each

KEEPER = 11  # its priority: below the clients', so that questions wait


def adder(paging: Paging, page: int, word: int, number: int) -> list[Part]:
    """Steps that add a number to a word of a page."""
    at = paging.address(page, word)
    return [("load", "s2", "zero", at), ("add", "s2", "s2", number), ("store", "s2", "zero", at)]


def crowd(machine: Machine) -> tuple[int, int]:
    """Six threads of three priorities want two pages, which go away again."""
    paging = Paging(machine)
    paging.pager(priority=KEEPER)
    for number in range(6):
        steps = adder(paging, number % 2, number, number + 1)
        paging.spawn(("burn", 10 + number), steps, paging.protect(0, prot=0), steps, priority=12 + number % 3)
    return paging.memory, 6


def nested(machine: Machine) -> tuple[int, int]:
    """A region over a region; the keeper of the upper one lives in memory of the lower one, which goes away too."""
    outer = Paging(machine, 6)
    inner = Paging(machine, 2, over=outer)
    outer.pager(priority=KEEPER)
    receive = {"receive_buffer": outer.address(5), "receive_words": 5}
    outer.spawn(
        machine.call("ipc_setup_wait_receive", portset=inner.portset, **receive),
        "serve",
        ("load", "s2", "zero", outer.address(5, 3)),
        ("store", "s2", "zero", outer.address(4)),
        *inner.protect(0, 1),
        machine.call("ipc_reply_wait_receive", **receive),
        ("jump", "serve"),
        priority=KEEPER,
    )
    for number in range(2):
        steps = adder(inner, 1, number, 5 + number)
        away = [*inner.protect(1, prot=0), *outer.protect(1, 5, prot=0)]
        inner.spawn(("burn", 10 + number), steps, away, steps, priority=12)
    return outer.memory + PAGE_SIZE, 2


def failures(machine: Machine) -> tuple[int, int]:
    """A keeper that gives nothing; handlers note what they get, and skip the instruction by mending the page."""
    paging, log = Paging(machine), machine.buffer(8)
    reply = machine.buffer([FAILED])
    receive = {"receive_buffer": machine.buffer(8), "receive_words": 8}
    machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=paging.portset, **receive),
        "serve",
        machine.call("ipc_reply", send_buffer=reply, send_words=1),
        machine.call("ipc_wait_receive", **receive),
        ("jump", "serve"),
        priority=KEEPER,
    )
    for number in range(2):
        note = [machine.keep("a1", log + 24 * number), machine.keep("a2", log + 24 * number + 8)]
        mend = [*paging.protect(number), machine.bare_call("thread_return_from_exception")]
        disable = machine.call("thread_disable_exceptions", thread=machine.next_slot)
        body = [
            ("load", "s2", "zero", paging.address(number)),
            ("li", "s3", 5),
            machine.keep("s3", log + 24 * number + 16),
        ]
        paging.spawn(*body, ("jump", "end"), "handler", note, mend, "end", disable, handler="handler", priority=12)
    return log, 6


def device(machine: Machine) -> tuple[int, int]:
    """A device that says yes after some time, whether it is so or not; a thread brings the page in the end."""
    paging = Paging(machine, device=True)
    say_yes_after(machine, paging.port, 400)
    for number in range(2):
        paging.spawn(("burn", 5 + number), adder(paging, 1, number, 7), priority=12)
    machine.spawn(("burn", 1000), *paging.protect(1), priority=KEEPER)
    return paging.memory + PAGE_SIZE, 2


def say_yes_after(machine: Machine, port: Port, delay: int) -> None:
    """Make a port a device's; the same question, asked again before it is answered, is one."""
    due: dict[Any, int] = {}

    def receive(request: Any) -> None:
        key = (request.thread.hash, request.words)

        def reply() -> None:
            if request.is_open:
                del due[key]
                message.answer(machine.core, request, ())

        machine.core.at(due.setdefault(key, machine.core.time + delay), reply)

    port.receiver = receive


def interrupted(machine: Machine) -> tuple[int, int]:
    """A thread that waits for a page, from user mode and in a call, is interrupted; its handler wants pages too."""
    paging = Paging(machine)
    paging.pager(priority=KEEPER)
    victim = paging.spawn(
        adder(paging, 1, 0, 3),
        paging.protect(2, prot=0),
        machine.call("mutex_create", mutex=paging.address(2, 2)),
        adder(paging, 1, 1, 4),
        ("jump", "end"),
        "handler",
        adder(paging, 3, 0, 1),
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
        priority=12,
    )
    interrupt = machine.call("thread_interrupt", thread=victim)
    machine.spawn(
        *[part for number in range(3) for part in (("burn", 3), interrupt, sleep(machine, 700, number))], priority=14
    )
    return paging.memory + PAGE_SIZE, 2


def stopped(machine: Machine) -> tuple[int, int]:
    """A thread stops another in its question, and loads it again later, when the page has come."""
    paging, state = Paging(machine), machine.buffer(THREAD_STATE.size // WORD_SIZE)
    victim = paging.spawn(adder(paging, 1, 0, 3), adder(paging, 2, 0, 4), priority=14)
    machine.spawn(
        machine.call("thread_get_state", thread=victim, state=state),
        ("burn", 2500),
        machine.call("thread_set_state", thread=victim, state=state),
        priority=12,
    )
    paging.pager(("burn", 300), *paging.protect(1, 2), priority=13)
    return paging.memory + PAGE_SIZE, 2 * PAGE_SIZE // WORD_SIZE


def dying(machine: Machine) -> tuple[int, int]:
    """A keeper dies over a question, and another takes it."""
    paging = Paging(machine)
    first = paging.pager(("burn", 5000), priority=12)
    for number in range(2):
        paging.spawn(("burn", 10), adder(paging, number, number, 2 + number), priority=12)
    machine.spawn(*[("burn", 40), sleep(machine, 900), machine.call("thread_destroy", thread=first)], priority=14)
    paging.pager(priority=KEEPER)
    return paging.memory, 2 * PAGE_SIZE // WORD_SIZE


def sleep(machine: Machine, delay: int, number: int = 0) -> list[Line]:
    """A call of a device that answers after some time."""
    port = machine.new(Port)
    answer_after(machine, port, delay)
    operands = {"send_buffer": machine.buffer([number]), "send_words": 1}
    return machine.call("ipc_call", destination_ref=machine.reference(port), **operands)


SCENARIOS = (crowd, nested, failures, device, interrupted, stopped, dying)
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


@pytest.mark.parametrize("parked", [True, False], ids=["parked", "reissued"])
@each_scenario
def test_exchange_goes_on_when_all_is_created_again_at_any_point(
    scenario: Scenario, parked: bool, model: str, preemption: str
) -> None:
    asked = Run(scenario, model, preemption)
    asked.to_the_end()
    assert asked.machine.core.statistics.hard_faults
    recreate_once_each(scenario, parked, model, preemption)


@each_scenario
def test_exchange_goes_on_when_all_is_created_again_at_all_points(
    scenario: Scenario, model: str, preemption: str
) -> None:
    assert scenario in SCENARIOS
    recreate_often(scenario, model, preemption)
