"""Interrupts: taken in every wait, deferred while they cannot be, and the call goes on afterwards as it was."""

from __future__ import annotations

from fluke_async.abi.codes import ExceptionCode, Status
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine, Part
from tests.kernel.waits import Kind, each_wait


def victim_of(machine: Machine, parts: list[Part], hits: int) -> Thread:
    """A thread that makes a call and counts the interrupts that it takes."""
    return machine.spawn(
        *parts,
        ("jump", "end"),
        "handler",
        ("load", "s6", "zero", hits),
        ("add", "s6", "s6", 1),
        ("store", "s6", "zero", hits),
        ("add", "s7", "a0", 0),
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
    )


@each_wait
def test_interrupt_is_taken_in_a_wait_and_the_call_goes_on(machine: Machine, kind: Kind) -> None:
    wait = kind(machine)
    hits = machine.buffer(1)
    victim = victim_of(machine, wait.parts, hits)
    wait.reach(victim, machine)
    for times in (1, 2, 3):
        machine.invoke("thread_interrupt", thread=victim)
        assert machine.word(hits) == times
        assert victim.waiting_for is not None
    assert machine.register(victim, "s7") == machine.addresses[victim]  # what the handler got
    wait.end()
    assert machine.done(victim)
    assert machine.register(victim, "a0") == Status.SUCCESS
    assert machine.word(hits) == 3


@each_wait
def test_interrupt_waits_while_exceptions_are_disabled(machine: Machine, kind: Kind) -> None:
    wait = kind(machine)
    hits = machine.buffer(1)
    victim = victim_of(machine, wait.parts, hits)
    victim.exceptions_enabled = False
    target = wait.reach(victim, machine)
    waits = len(machine.happened(Event.WAIT, victim))
    machine.invoke("thread_interrupt", thread=victim)
    assert victim.waiting_for is target
    assert len(machine.happened(Event.WAIT, victim)) == waits  # it did not stir
    wait.end()
    assert machine.done(victim)
    assert machine.word(hits) == 0


@each_wait
def test_interrupt_of_a_stopped_waiter_is_taken_when_it_starts(machine: Machine, kind: Kind) -> None:
    wait = kind(machine)
    hits = machine.buffer(1)
    victim = victim_of(machine, wait.parts, hits)
    wait.reach(victim, machine)
    machine.core.stop(victim)
    machine.invoke("thread_interrupt", thread=victim)
    assert machine.word(hits) == 0
    machine.core.start(victim)
    machine.run()
    assert machine.word(hits) == 1
    wait.end()
    assert machine.done(victim)


def test_interrupt_in_a_handler_is_taken_after_it(machine: Machine) -> None:
    hits = machine.buffer(1)
    victim = machine.spawn(
        ("burn", 100),
        ("jump", "end"),
        "handler",
        ("burn", 1000),
        ("load", "s6", "zero", hits),
        ("add", "s6", "s6", 1),
        ("store", "s6", "zero", hits),
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
    )
    machine.run_for(10)
    machine.spawn(machine.call("thread_interrupt", thread=victim), priority=20)
    machine.run_for(500)
    machine.spawn(machine.call("thread_interrupt", thread=victim), priority=20)
    machine.run()
    assert machine.word(hits) == 2
    assert machine.done(victim)
    taken = [event[0] for event in machine.happened(Event.INTERRUPT)]
    assert taken[1] - taken[0] >= 1000


def test_two_interrupts_at_once_are_one(machine: Machine) -> None:
    hits = machine.buffer(1)
    victim = victim_of(machine, [("burn", 1000)], hits)
    machine.run_for(10)
    machine.spawn(*[machine.call("thread_interrupt", thread=victim)] * 2, priority=20)
    machine.run()
    assert machine.word(hits) == 1


def test_handler_has_registers_of_its_own_kind_and_returns_them_all(machine: Machine) -> None:
    """The kernel saves what it changes and what the return needs: a0 to a2, a7 and pc."""
    victim = machine.spawn(
        *[("li", f"a{n}", 50 + n) for n in range(8)],
        ("burn", 1000),
        ("jump", "end"),
        "handler",
        ("add", "s2", "a0", 0),
        ("add", "s3", "a1", 0),
        ("add", "s4", "a2", 0),
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
    )
    machine.run_for(100)
    machine.invoke("thread_interrupt", thread=victim)
    assert machine.done(victim)
    assert [machine.register(victim, f"a{n}") for n in range(8)] == [50 + n for n in range(8)]
    found = [machine.register(victim, name) for name in ("s2", "s3", "s4")]
    assert found == [machine.addresses[victim], 0, 0]
    assert victim.exceptions_enabled


def test_interrupting_oneself_is_a_mistake(machine: Machine) -> None:
    address = machine.next_slot
    thread = machine.spawn(machine.call("thread_interrupt", thread=address))
    machine.run()
    assert machine.failure(thread) is ExceptionCode.CURRENT_THREAD
