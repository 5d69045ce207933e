"""Points: a probe sees each of them, in a state that is whole, and changes nothing by looking."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from tests.execution.scenarios import SCENARIOS, Scenario, play
from tests.kernel.conditions import WaitingRoom
from tests.kernel.invariants import check
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

TRAP, WAIT, MARKED, RETURN = Point.TRAP, Point.WAIT, Point.MARKED, Point.RETURN
FAULTS = (Point.SOFT_FAULT, Point.HARD_FAULT)


class Recorder:
    """Notes the points of a machine, by the hash of the thread, and checks the state at each."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.points: list[tuple[Point, int]] = []
        machine.core.probe = self

    def __call__(self, point: Point, thread: Thread) -> bool:
        core = self.machine.core
        core.current, running = None, core.current  # as between two steps: after a wait, nobody runs
        check(core)
        core.current = running
        assert point in FAULTS or (point is WAIT) == (thread.waiting_for is not None)  # a peer's memory may be touched
        self.points.append((point, thread.hash))
        return False

    def of(self, thread: Thread) -> list[Point]:
        """The points of one thread, in order, without its faults and the trap at its program's end."""
        points = [point for point, hash_ in self.points if hash_ == thread.hash and point not in FAULTS]
        if self.machine.done(thread):
            assert points[-1] is TRAP
            points.pop()
        return points


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_a_probe_that_only_looks_changes_nothing(scenario: Scenario, model: str, preemption: str) -> None:
    recorders = []

    def watched(machine: Machine) -> None:
        scenario(machine)
        recorders.append(Recorder(machine))

    undisturbed, probed = play(scenario, model, preemption), play(watched, model, preemption)
    assert probed.events == undisturbed.events
    assert probed.core.time == undisturbed.core.time
    assert {point for point, _ in recorders[0].points} >= {TRAP}


def test_points_of_calls_that_do_not_wait(machine: Machine) -> None:
    recorder = Recorder(machine)
    mutex = machine.new(Mutex)
    parts: list[Any] = [machine.call(name, mutex=mutex) for name in ("mutex_lock", "mutex_unlock", "mutex_trylock")]
    thread = machine.spawn(*parts, machine.bare_call("thread_self"))
    machine.run()
    assert recorder.of(thread) == [TRAP, RETURN] * 4


def test_a_wait_that_another_thread_completes_has_no_return_of_its_own(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    lock, unlock = machine.call("mutex_lock", mutex=mutex), machine.call("mutex_unlock", mutex=mutex)
    owner = machine.spawn(lock, ("burn", 500), unlock, priority=10)
    machine.run_for(100)
    recorder = Recorder(machine)
    waiter = machine.spawn(lock, priority=11)
    machine.run()
    assert machine.done(owner, waiter)
    assert recorder.of(waiter) == [TRAP, WAIT]
    assert recorder.of(owner) == [TRAP, RETURN]


def test_a_wait_that_is_looked_at_again_is_shown_again(machine: Machine) -> None:
    """Not as a trap: the call has begun."""
    room = WaitingRoom(machine)
    owner = machine.spawn(("burn", 300), room.lock, ("burn", 300), room.unlock, priority=10)
    recorder = Recorder(machine)
    waiter = machine.spawn(room.lock, room.wait, priority=11)
    machine.run_for(500)
    machine.spawn(machine.call("cond_signal", cond=room.cond), priority=20)
    machine.run()
    assert machine.done(owner, waiter)
    assert recorder.of(waiter) == [TRAP, RETURN, TRAP, WAIT, WAIT]


def test_a_broadcast_is_shown_after_each_waiter(machine: Machine, preemption: str) -> None:
    room = WaitingRoom(machine)
    room.waiters(12, 11, 10)
    recorder = Recorder(machine)
    broadcaster = machine.spawn(machine.call("cond_broadcast", cond=room.cond), priority=20)
    seen = []

    def probe(point: Point, thread: Thread) -> bool:
        if point is MARKED:
            seen.append((len(list(room.cond.queue().in_order())), machine.core.unfinished is thread))
        return recorder(point, thread)

    machine.core.probe = probe
    machine.run()
    assert recorder.of(broadcaster) == [TRAP, MARKED, MARKED, MARKED, RETURN]
    in_one_go = preemption != "full"  # then nothing can come between
    assert seen == [(2, in_one_go), (1, in_one_go), (0, in_one_go)]
    assert machine.core.unfinished is None


def test_a_copy_is_shown_after_each_chunk_before_it_is_preempted(machine: Machine, preemption: str) -> None:
    words = 3 * COPY_CHUNK_WORDS
    service = Service(machine)
    service.server(room=words)
    machine.run()
    recorder = Recorder(machine)
    unfinished = []

    def probe(point: Point, thread: Thread) -> bool:
        if point is MARKED:
            unfinished.append(machine.core.unfinished is thread)
        return recorder(point, thread)

    machine.core.probe = probe
    client, _ = service.client([1] * words)
    machine.run()
    points = 5 if preemption == "full" else 2  # a page is half a chunk
    assert recorder.of(client) == [TRAP, *[MARKED] * points, WAIT]
    assert unfinished == [preemption == "none"] * points


def test_mistakes_have_a_trap_and_no_return(machine: Machine) -> None:
    recorder = Recorder(machine)
    for parts in (
        [("illegal",)],
        [("load", "s2", "zero", 0)],
        [("li", "a7", 1), ("ecall",)],
        [machine.call("mutex_lock", mutex=machine.slot())],
        [machine.call("mutex_unlock", mutex=machine.new(Mutex))],
    ):
        thread = machine.spawn(*parts)
        machine.run()
        assert not machine.done(thread)
        assert recorder.of(thread) == [TRAP]


def test_the_return_from_a_handler_is_a_point(machine: Machine) -> None:
    recorder = Recorder(machine)
    thread = machine.spawn(
        ("burn", 500),
        ("jump", "end"),
        "handler",
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
    )
    machine.run_for(100)
    machine.invoke("thread_interrupt", thread=thread)
    assert machine.done(thread)
    assert recorder.of(thread) == [TRAP, RETURN]
