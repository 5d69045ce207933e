"""At every point of exchanges with space keepers, everything is destroyed and created again: nobody can tell."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, WORD_SIZE
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel import message
from fluke_async.kernel.objects.port import Port
from tests.kernel.keeping import QUESTION_WORDS, REPLY_OFFSET, RESUME, Keeping
from tests.kernel.law_scenarios import Scenario
from tests.kernel.machine import UNMAPPED, Machine, Part
from tests.kernel.messages import Service
from tests.kernel.paging import Paging
from tests.kernel.test_first_law import Run
from tests.kernel.test_first_law import test_everything_can_be_created_again_at_all_points_of_one_run as recreate_often
from tests.kernel.test_first_law import test_everything_can_be_created_again_at_every_point as recreate_once_each
from tests.kernel.test_first_law_of_faults import sleep

KEEPER = 11  # its priority: below that of those whom it keeps, so that questions wait
# The keeper's work: the call's number and its first argument make its result, in a0, and the thread goes on behind it.
EMULATE: tuple[Part, ...] = (
    ("load", "s3", "s2", 24),
    ("add", "s3", "s3", 4),
    ("store", "s3", "s2", 24),
    ("load", "s4", "s2", 32 + 8 * 17),
    ("load", "s5", "s2", 32 + 8 * 10),
    ("add", "s4", "s4", "s5"),
    ("store", "s4", "s2", 32 + 8 * 10),
)


def foreign(number: int, argument: int, log: int) -> list[Part]:
    """A foreign call, and a note of its result."""
    return [("li", "a0", argument), ("li", "a7", number), ("ecall",), ("store", "a0", "zero", log)]


def emulated(machine: Machine) -> tuple[int, int]:
    """Five threads of two priorities make foreign calls, which two threads of a keeper do for them."""
    keeping, log = Keeping(machine), machine.buffer(10)
    for _ in range(2):
        keeping.server(*EMULATE, priority=KEEPER)
    for number in range(5):
        steps = [foreign(64 + each, number, log + 8 * (2 * number + each)) for each in range(2)]
        keeping.spawn(("burn", 10 + number), steps, priority=12 + number % 2)
    return log, 10


def waited_for(machine: Machine) -> tuple[int, int]:
    """The keeper is there first, above its clients; it refuses the third of three threads."""
    keeping, log = Keeping(machine), machine.buffer(3)
    keeping.server(*EMULATE, ("store", "s5", "s2", REPLY_OFFSET), priority=14)  # its argument is the verdict
    for number in range(3):
        keeping.spawn(("burn", 1 + 30 * number), foreign(90, number // 2, log + 8 * number), priority=12)
    return log, 2


def refused(machine: Machine) -> tuple[int, int]:
    """A region's keeper fails; the space's keeper lets the threads skip the instruction, or the call."""
    paging = Paging(machine)
    keeping, log = Keeping(machine, space=paging.space), machine.buffer(8)
    machine.write(log + 56, [1])
    receive = {"receive_buffer": machine.buffer(8), "receive_words": 8}
    machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=paging.portset, **receive),
        "serve",
        machine.call("ipc_reply", send_buffer=log + 56, send_words=1),
        machine.call("ipc_wait_receive", **receive),
        ("jump", "serve"),
        priority=KEEPER,
    )
    keeping.server(priority=KEEPER)
    for number in range(2):
        keeping.spawn(
            ("burn", 10 + number),
            ("load", "s2", "zero", paging.address(number)),
            machine.call("mutex_create", mutex=paging.address(2, 2)),
            ("load", "s2", "zero", UNMAPPED),
            ("li", "s3", 5),
            ("store", "s3", "zero", log + 8 * number),
            priority=12,
        )
    return log, 2


def device(machine: Machine) -> tuple[int, int]:
    """A device is the keeper, and answers after some time."""
    keeping, log = Keeping(machine, device=True), machine.buffer(6)
    go_on_after(machine, keeping.port, 400)
    for number in range(3):
        steps = [foreign(64, number + each, log + 8 * (2 * number + each)) for each in range(2)]
        keeping.spawn(("burn", 5 + number), steps, priority=12)
    return log, 6


def go_on_after(machine: Machine, port: Port, delay: int) -> None:
    """Make a port a device's; the same question, asked again before it is answered, is one."""
    due: dict[Any, int] = {}

    def receive(request: Any) -> None:
        _, _, _, pc, *x = key = request.words

        def reply() -> None:
            if request.is_open:
                del due[key]
                x[10] += 1000
                message.answer(machine.core, request, (RESUME, pc + 4, *x))

        machine.core.at(due.setdefault(key, machine.core.time + delay), reply)

    port.receiver = receive


def interrupted(machine: Machine) -> tuple[int, int]:
    """A thread that asks is interrupted; its handler makes a foreign call too, and asks itself."""
    keeping, log = Keeping(machine), machine.buffer(6)
    keeping.server(*EMULATE, ("burn", 300), priority=KEEPER)
    victim = keeping.spawn(
        foreign(64, 1, log),
        foreign(65, 2, log + 8),
        ("jump", "rest"),
        "handler",
        ("li", "a7", 1000),
        ("ecall",),
        ("add", "s5", "s5", 1),
        ("store", "s5", "zero", log + 16),
        machine.bare_call("thread_return_from_exception"),
        interrupt_handler="handler",
        priority=12,
    )
    interrupt = machine.call("thread_interrupt", thread=victim)
    machine.spawn(
        *[part for number in range(3) for part in (("burn", 3), interrupt, sleep(machine, 700, number))], priority=14
    )
    return log, 3


def stopped(machine: Machine) -> tuple[int, int]:
    """A thread stops another that asks, and loads it again later, when it has been answered."""
    keeping, log, state = Keeping(machine), machine.buffer(2), machine.buffer(THREAD_STATE.size // WORD_SIZE)
    victim = keeping.spawn(foreign(64, 1, log), foreign(65, 2, log + 8), priority=14)
    machine.spawn(
        machine.call("thread_get_state", thread=victim, state=state),
        ("burn", 2500),
        machine.call("thread_get_state", thread=victim, state=state),
        ("load", "s2", "zero", state + THREAD_STATE.offset_of("flags")),
        ("add", "s2", "s2", -1),
        ("store", "s2", "zero", state + THREAD_STATE.offset_of("flags")),
        machine.call("thread_set_state", thread=victim, state=state),
        priority=12,
    )
    keeping.server(*EMULATE, ("burn", 300), priority=13)
    return log, 2


def dying(machine: Machine) -> tuple[int, int]:
    """A keeper dies over a question, another takes it; then the space gets another keeper."""
    keeping, log = Keeping(machine), machine.buffer(8)
    other = Keeping(machine, space=keeping.space)
    machine.load(keeping.space, keeper=keeping.port)
    first = keeping.server(*EMULATE, ("burn", 5000), priority=12)
    for number in range(2):
        steps = [foreign(64 + each, number, log + 8 * (4 * number + each)) for each in range(4)]
        keeping.spawn(("burn", 10), steps, priority=12)
    machine.spawn(
        sleep(machine, 900),
        machine.call("thread_destroy", thread=first),
        sleep(machine, 1300, 1),
        machine.call("space_set_state", space=keeping.space, keeper_ref=machine.reference(other.port)),
        priority=14,
    )
    keeping.server(*EMULATE, ("burn", 200), priority=KEEPER)
    other.server(*EMULATE, ("burn", 900), priority=KEEPER)
    return log, 8


def serving(machine: Machine) -> tuple[int, int]:
    """Servers and clients of long messages make mistakes in their calls: before, between and after chunks."""
    keeping, service = Keeping(machine), Service(machine)
    words = COPY_CHUNK_WORDS + 5
    keeping.server(priority=KEEPER)
    skipped: list[Part] = [machine.call("mutex_lock", mutex=machine.slot()), ("illegal",)]
    service.server(room=words, reply_words=words, work=tuple(skipped), space=keeping.space, priority=10)
    log = machine.buffer(2 * words)
    for number in range(2):
        bad: Any = {"destination_ref": service.reference, "send_buffer": UNMAPPED, "send_words": 1}
        keeping.spawn(
            ("burn", 10 + number),
            machine.call("ipc_call", **bad),
            machine.call("ipc_send", **bad),
            machine.call(
                "ipc_call",
                destination_ref=service.reference,
                send_buffer=machine.buffer([number] * words),
                send_words=words,
                receive_buffer=log + 8 * words * number,
                receive_words=words,
            ),
            priority=12,
        )
    return log, 2 * words


def odd_rooms(machine: Machine) -> tuple[int, int]:
    """A keeper with little room, which answers in a word, mends what is wrong; its own mistakes go to another."""
    keeping, log, slot = Keeping(machine), machine.buffer(4), machine.slot()
    upper = Keeping(machine)
    upper.server(priority=KEEPER)
    receive = {"receive_buffer": machine.buffer(QUESTION_WORDS), "receive_words": 2}
    machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=keeping.portset, **receive),
        "serve",
        ("illegal",),
        machine.call("mutex_create", mutex=slot),
        machine.call("ipc_reply_wait_receive", send_buffer=log + 16, send_words=1, **receive),
        ("jump", "serve"),
        priority=KEEPER,
        space=upper.space,
    )
    for number in range(2):
        keeping.spawn(
            machine.call("mutex_lock", mutex=slot),
            ("li", "s3", 5),
            ("store", "s3", "zero", log + 8 * number),
            machine.call("mutex_unlock", mutex=slot),
            priority=12,
        )
    return log, 2


SCENARIOS = (emulated, waited_for, refused, device, interrupted, stopped, dying, serving, odd_rooms)
each_scenario = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)


@pytest.mark.parametrize("parked", [True, False], ids=["parked", "reissued"])
@each_scenario
def test_exchange_goes_on_when_all_is_created_again_at_any_point(
    scenario: Scenario, parked: bool, model: str, preemption: str
) -> None:
    asked = Run(scenario, model, preemption)
    asked.to_the_end()
    assert asked.machine.core.statistics.exceptions_asked
    recreate_once_each(scenario, parked, model, preemption)


@each_scenario
def test_exchange_goes_on_when_all_is_created_again_at_all_points(
    scenario: Scenario, model: str, preemption: str
) -> None:
    assert scenario in SCENARIOS
    recreate_often(scenario, model, preemption)
