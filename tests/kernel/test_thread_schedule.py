"""Donated time: who runs on it, what ends it, and what is left of it."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, ExceptionCode, Status
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, A1, A2, A7
from fluke_async.kernel.account import Account
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.scheduled import FOREVER, Scheduled, give


def test_a_thread_with_a_scheduler_runs_only_on_time_given(machine: Machine) -> None:
    scheduled = Scheduled(machine)
    thread = scheduled.thread(("burn", 700))
    machine.run()
    assert thread.condition is Condition.ASKING
    assert give(machine, thread, 500) == (Status.SUCCESS, 0)
    assert not machine.done(thread)
    assert give(machine, thread, 500) == (Status.THREAD_BLOCKED, 500 - 200)
    assert machine.done(thread)


def test_a_quantum_is_overdrawn_by_a_call_and_no_more(machine: Machine) -> None:
    cost = BY_NAME["thread_self"].cost
    thread = Scheduled(machine).thread(("burn", 98), machine.call("thread_self"), ("burn", 5))
    assert give(machine, thread, 100) == (Status.SUCCESS, 1 - cost)


@pytest.mark.parametrize(
    ("quantum", "left", "executed"),
    [(0, 0, 0), (1, 0, 1), (2, 0, 2), ((1 << 64) - 1, -1, 0), (1 << 63, -(1 << 63), 0), ((1 << 63) - 1, None, 9)],
)
def test_a_quantum_is_used_to_its_last_instruction_and_one_that_is_overdrawn_is_none(
    machine: Machine, quantum: int, left: int | None, executed: int
) -> None:
    thread = Scheduled(machine).thread(("burn", 9))
    begin = thread.pc
    status, rest = give(machine, thread, quantum)
    if left is None:
        assert (status, rest) == (Status.THREAD_BLOCKED, quantum - executed)
    else:
        assert (status, rest) == (Status.SUCCESS, left)
    assert thread.pc == begin + 4 * executed


@pytest.mark.parametrize("way", ["stop", "destroy", "move", "lose the space", "destroy the space", "exception", "halt"])
def test_what_takes_a_donee_away_ends_the_donation(machine: Machine, way: str) -> None:
    space = machine.new_space()
    space.account = Account()
    thread = Scheduled(machine).thread(("burn", 900), ("illegal",), space=space)
    donor = machine.spawn(machine.call("thread_schedule", thread=thread, quantum=FOREVER))
    machine.run_for(300)
    core = machine.core
    match way:
        case "stop":
            core.stop(thread)
        case "destroy":
            core.destroy(thread)
        case "move":
            core.move(thread, machine._physical(machine.slot()))
        case "lose the space":
            core.stop(thread)
            machine.load(thread, space=None)
        case "destroy the space":
            core.destroy(space)
        case "halt":
            space.account.is_suspended = True
            core.settle(space.account)
    machine.run()
    assert machine.done(donor)
    gone = way in ("destroy", "move")
    assert machine.register(donor, "a0") == (Status.THREAD_GONE if gone else Status.THREAD_BLOCKED)


def test_a_donee_that_is_started_again_before_anybody_runs_was_never_away(machine: Machine) -> None:
    thread = Scheduled(machine).thread(("burn", 900))
    donor = machine.spawn(machine.call("thread_schedule", thread=thread, quantum=FOREVER))
    machine.run_for(300)
    machine.core.stop(thread)
    machine.core.start(thread)
    machine.run_for(100)
    assert donor.donee is thread


def test_a_stopped_donor_gives_nothing_until_it_is_started(machine: Machine) -> None:
    thread = Scheduled(machine).thread(("burn", 900))
    donor = machine.spawn(machine.call("thread_schedule", thread=thread, quantum=FOREVER))
    machine.run_for(300)
    left = machine.register(donor, "a1")
    machine.core.stop(donor)
    machine.run()
    assert not machine.done(thread)
    assert machine.register(donor, "a1") == left
    machine.core.start(donor)
    machine.run()
    assert machine.done(thread, donor)


def test_a_halted_donor_gives_nothing_and_cannot_tell(machine: Machine) -> None:
    space = machine.new_space()
    space.account = Account()
    thread = Scheduled(machine).thread(("burn", 900))
    donor = machine.spawn(machine.call("thread_schedule", thread=thread, quantum=FOREVER), space=space)
    machine.run_for(300)
    before = donor.export_bits()
    space.account.is_suspended = True
    machine.core.settle(space.account)
    machine.run()
    assert donor.export_bits() == before
    assert thread.condition is Condition.ASKING
    space.account.is_suspended = False
    machine.core.settle(space.account)
    machine.run()
    assert machine.done(thread, donor)


def test_a_budget_that_donor_and_donee_share_halts_both(machine: Machine) -> None:
    machine.space.account.instructions_left = 400
    thread = Scheduled(machine).thread(("burn", 900))
    donor = machine.spawn(machine.call("thread_schedule", thread=thread, quantum=FOREVER))
    machine.run()
    assert {thread.condition, donor.condition} == {Condition.SPENT, Condition.WAITING}
    machine.space.account.instructions_left = FOREVER
    machine.core.settle(machine.space.account)
    machine.run()
    assert machine.done(thread, donor)
    assert machine.register(donor, "a1") == FOREVER - 900


def test_an_interrupted_donor_goes_on_with_what_is_left(machine: Machine) -> None:
    thread = Scheduled(machine).thread(("burn", 900))
    donor = machine.spawn(
        machine.call("thread_schedule", thread=thread, quantum=600),
        ("jump", "end"),
        *["handler", ("burn", 50), machine.call("thread_return_from_exception"), "end"],
        interrupt_handler="handler",
    )
    machine.run_for(200)
    machine.invoke("thread_interrupt", thread=donor)
    machine.run()
    assert (machine.register(donor, "a0"), machine.register(donor, "a1")) == (Status.SUCCESS, 0)
    assert give(machine, thread, 600) == (Status.THREAD_BLOCKED, 300)


def test_a_donee_runs_with_the_donors_priority(machine: Machine) -> None:
    thread = Scheduled(machine).thread(("burn", 400), priority=1)
    middle = machine.spawn(("burn", 400), priority=10)
    machine.spawn(machine.call("thread_schedule", thread=thread, quantum=200), priority=12)
    machine.run_for(100)
    assert thread.effective_priority == 12
    machine.run_for(250)
    assert thread.effective_priority == 1
    assert machine.hart.last is middle


@pytest.mark.parametrize("depth", [2, 150])
def test_time_goes_down_a_chain_of_any_depth(depth: int, model: str) -> None:
    machine = Machine(model, effort=10**6)
    scheduled = Scheduled(machine)
    last = thread = scheduled.thread(("burn", 250))
    donors = []
    for _ in range(depth - 1):
        thread = scheduled.thread(machine.call("thread_schedule", thread=thread, quantum=FOREVER))
        donors.append(thread)
    for donor in reversed(donors):
        assert not machine.done(donor)
    assert give(machine, thread, 200 + 3 * depth) == (Status.SUCCESS, 0)
    assert not machine.done(last)
    assert give(machine, thread, FOREVER)[0] == Status.THREAD_BLOCKED
    assert machine.done(last, *donors)
    assert machine.core.time > 250


def test_the_end_of_time_in_a_chain_makes_the_lower_scheduler_ask(machine: Machine) -> None:
    upper, lower = Scheduled(machine), Scheduled(machine)
    thread = lower.thread(("burn", 900))
    scheduler = upper.thread(machine.call("thread_schedule", thread=thread, quantum=600))
    assert give(machine, scheduler, 300) == (Status.SUCCESS, 0)
    assert scheduler.condition is Condition.ASKING
    assert scheduler.waiting_for is None
    assert machine.register(scheduler, "a1") == 600 - 300 + 4, "what its own steps took was no gift"
    assert give(machine, scheduler, FOREVER)[0] == Status.THREAD_BLOCKED
    assert machine.done(scheduler)
    assert not machine.done(thread)


def test_who_gives_to_a_donor_that_is_stopped_finds_it_blocked(machine: Machine) -> None:
    scheduled = Scheduled(machine)
    last = scheduled.thread(("burn", 900))
    middle = scheduled.thread(machine.call("thread_schedule", thread=last, quantum=FOREVER))
    donor = machine.spawn(machine.call("thread_schedule", thread=middle, quantum=FOREVER))
    machine.run_for(300)
    assert not machine.done(donor)
    machine.core.stop(middle)
    machine.run()
    assert machine.done(donor)
    assert machine.register(donor, "a0") == Status.THREAD_BLOCKED


def test_of_several_donors_the_most_urgent_pays(machine: Machine) -> None:
    thread = Scheduled(machine).thread(("burn", 600), priority=1)

    def donor(quantum: int, priority: int) -> Thread:
        created = machine.spawn(machine.call("thread_schedule", thread=thread, quantum=quantum), priority=priority)
        machine.run_for(50)
        return created

    donors = [donor(500, 8), donor(200, 9), donor(100, 10)]
    machine.run_for(50)
    assert [machine.register(each, "a1") for each in donors] == [454, 154, 4]
    machine.run()
    statuses = [machine.register(each, "a0") for each in donors]
    assert statuses == [Status.THREAD_BLOCKED, Status.SUCCESS, Status.SUCCESS]
    assert machine.register(donors[0], "a1") == 454 - (600 - 3 * 46 - 54 - 154)


def test_rings_are_refused(machine: Machine) -> None:
    threads = [machine.spawn(start=False) for _ in range(3)]
    for number, thread in enumerate(threads):
        steps = machine.call("thread_schedule", thread=threads[(number + 1) % 3], quantum=FOREVER)
        donor = machine.spawn(steps, start=False)
        thread.pc = donor.pc
    for thread in threads:
        machine.core.start(thread)
    machine.run()
    assert machine.done(*threads)
    assert {machine.register(thread, "a0") for thread in threads} == {Status.THREAD_BLOCKED}


@pytest.mark.parametrize("scheduled", [False, True])
def test_a_ring_made_by_states_falls_apart(machine: Machine, scheduled: bool) -> None:
    machine.forged = True
    port = machine.new(Port)
    threads = [machine.spawn(start=False) for _ in range(3)]
    for number, thread in enumerate(threads):
        target = threads[(number + 1) % 3]
        donor = machine.spawn(machine.call("thread_schedule", thread=target, quantum=9), start=False)
        x = [0] * 32
        x[10:13], x[A7] = [machine.addresses[target], FOREVER, 0], BY_NAME["thread_schedule"].number
        bits = dict(thread.export_bits()) | {"x": tuple(x), "pc": donor.pc + 4 * 4}
        links = {"scheduler": port} if scheduled else {}
        machine.load(thread, bits, waiting_for=target, **links)
    for thread in threads:
        machine.core.start(thread)
    machine.run()
    assert not any(thread.donee for thread in threads)
    assert all(thread.waiting_for is None for thread in threads)


def test_who_gives_to_a_ring_that_states_have_made_finds_its_own_way_out(machine: Machine) -> None:
    """It is the first that looks, and goes round no more than once."""
    machine.forged = True
    ring = [machine.spawn(("burn", 3000), start=False) for _ in range(3)]
    machine.core.start(ring[0])
    donor = machine.spawn(machine.call("thread_schedule", thread=ring[0], quantum=FOREVER), priority=20)
    machine.run_for(200)
    assert donor.donee is ring[0]
    machine.core.stop(ring[0])
    after = [*ring[1:], ring[0]]
    for thread, target in zip(ring, after, strict=True):
        thread.registers[A0], thread.registers[A1] = machine.addresses[target], FOREVER
        thread.registers[A2], thread.registers[A7] = 0, BY_NAME["thread_schedule"].number
        machine.load(thread, None, waiting_for=target)
    for thread in ring:
        machine.core.start(thread)
    assert [thread.donee for thread in (donor, *ring)] == [ring[0], *after]
    machine.run()
    assert machine.done(donor, *ring)


def test_a_long_message_is_cut_off_where_the_quantum_ends(model: str) -> None:
    """Where a copy can be preempted, it can be by the end of what is given; it goes on with the next quantum."""
    machine = Machine(model, "partial")
    scheduled, service = Scheduled(machine), Service(machine)
    words = 6 * COPY_CHUNK_WORDS
    service.server(room=words, priority=20)
    client, received = service.client([5] * words, start=False)
    scheduled.add(client)
    machine.core.start(client)
    machine.run()
    status, left = give(machine, client, 2 * COPY_CHUNK_WORDS)
    assert status == Status.SUCCESS
    assert -COPY_CHUNK_WORDS < left <= 0
    assert give(machine, client, FOREVER)[0] == Status.THREAD_BLOCKED
    assert give(machine, client, FOREVER)[0] == Status.THREAD_BLOCKED
    assert machine.done(client)
    assert machine.word(received) == 6


@pytest.mark.parametrize(
    ("operands", "code"),
    [({"sensitivity": 2}, ExceptionCode.INVALID_STATE), ({"sensitivity": 1}, ExceptionCode.NO_PORTSET)],
)
def test_wrong_operands_are_mistakes(machine: Machine, operands: dict[str, int], code: ExceptionCode) -> None:
    thread = machine.spawn(start=False)
    assert machine.invoke("thread_schedule", thread=thread, quantum=5, **operands).exception is code


def test_nobody_gives_time_to_itself(machine: Machine) -> None:
    thread = machine.spawn(start=False)
    donor = machine.spawn(machine.call("thread_schedule", thread=thread, quantum=5), start=False)
    thread.pc = donor.pc
    machine.core.start(thread)
    machine.run()
    assert machine.failure(thread) is ExceptionCode.CURRENT_THREAD
