"""Schedulers, what they schedule, and accidents, at random: created again at any point, nothing is different."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel.invariants import check
from tests.kernel.machine import STEPS_MAX, Machine, Part
from tests.kernel.messages import Service
from tests.kernel.recreation import recreate
from tests.kernel.scheduled import Scheduled

SEEDS = range(25)
LONG = 1 << 40


class Play:
    """A machine with two schedulers, one above the other, threads that do anything, and accidents at instants."""

    def __init__(self, seed: int, model: str, preemption: str) -> None:
        self.random = Random(seed)
        self.machine = Machine(model, preemption)
        self.mutexes = [self.machine.new(Mutex) for _ in range(2)]
        self.service = Service(self.machine)
        upper, lower = Scheduled(self.machine), Scheduled(self.machine)
        self.threads = [self.machine.spawn(start=False, priority=self._priority()) for _ in range(6)]
        for thread in self.threads:
            thread.pc = self.machine.spawn(*self._parts(), start=False).pc
        for thread in self.threads[:3]:
            lower.add(thread)
        inner = lower.round_robin(self.threads[:3], self._time(), start=False, priority=self._priority())
        upper.add(inner)
        for thread in self.threads[3:5]:
            upper.add(thread)
        top = upper.round_robin([inner, *self.threads[3:5]], self._time(), start=False, priority=self._priority())
        self.service.server(work=(("burn", 40),), priority=self._priority())
        for thread in (*self.threads, inner, top):
            self.machine.core.start(thread)
        victims = [each.address for each in (*self.threads, inner, top)]
        ports = [upper.port.address, lower.port.address]
        for _ in range(8):
            self._accident(self.random.randrange(6000), self.random.choice(victims), self.random.choice(ports))

    def _time(self) -> int:
        return self.random.choice([90, 250, 700])

    def _priority(self) -> int:
        return self.random.randint(8, 11)

    def _parts(self) -> list[Part]:
        machine, random = self.machine, self.random
        parts: list[Part] = []
        for _ in range(random.randint(2, 5)):
            mutex = random.choice(self.mutexes)
            parts += random.choice(
                [
                    [("burn", random.randint(1, 900))],
                    [machine.call("mutex_lock", mutex=mutex), ("burn", 120), machine.call("mutex_unlock", mutex=mutex)],
                    [self._donation()],
                    [
                        machine.call("ipc_call", destination_ref=self.service.reference, receive_words=1,
                                     receive_buffer=machine.buffer(1), send_buffer=machine.buffer([3]), send_words=1)
                    ],
                ]
            )  # fmt: skip
        return parts

    def _donation(self) -> list[Any]:
        quantum = self.random.choice([60, 400, LONG])
        return self.machine.call("thread_schedule", thread=self.random.choice(self.threads), quantum=quantum)

    def _accident(self, instant: int, victim: int, port: int) -> None:
        """Something is done to a thread, or to a port; by their addresses, for they are created again."""
        core, kind = self.machine.core, self.random.choice(["stop", "start", "priority", "destroy", "port", "halt"])

        def happen() -> None:
            thread = core.objects.get(victim)
            account = self.machine.space.account
            if kind == "halt":
                account.is_suspended = not account.is_suspended
                core.settle(account)
            elif kind == "port":
                if isinstance(target := core.objects.get(port), Port) and instant % 3 == 0:
                    core.destroy(target)
            elif not isinstance(thread, Thread):
                return
            elif kind == "destroy" and instant % 2:
                core.destroy(thread)
            elif kind == "priority":
                core.reorder(thread, 8 + instant % 5, thread.wait_order)
            elif kind == "stop" and not thread.stopped:
                core.stop(thread)
            elif kind == "start" and thread.stopped:
                core.start(thread)

        core.at(instant, happen)

    def step(self) -> bool:
        """A step of the kernel; whether anything can still happen."""
        return self.machine.step() is not Outcome.IDLE

    def story(self) -> list[tuple[Any, ...]]:
        """What has happened, but for what tells that everything was created again."""
        told = (Event.FINISH, Event.COMPLETE, Event.EXCEPTION)
        return [event for event in self.machine.events if event[1] in told]

    def to_the_end(self, before_step: Callable[[], None]) -> tuple[list[tuple[Any, ...]], int]:
        """The whole story, and the time at its end."""
        for _ in range(STEPS_MAX):
            before_step()
            if not self.step():
                return self.story(), self.machine.core.time
        raise AssertionError("the play does not end")


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_different(seed: int, model: str, preemption: str) -> None:
    expected = Play(seed, model, preemption).to_the_end(lambda: None)
    play = Play(seed, model, preemption)
    random = Random(seed)

    def create_again() -> None:
        if random.random() < 0.5:  # not always, or it never gets on
            recreate(play.machine)
            check(play.machine.core)

    assert play.to_the_end(create_again) == expected


def test_the_plays_pass_through_all_that_can_happen() -> None:
    statuses, chained = set(), 0
    for seed in SEEDS:
        play = Play(seed, "interrupt", "none")

        def look(play: Play = play) -> None:
            nonlocal chained
            threads = [each for each in play.machine.core.objects.values() if isinstance(each, Thread)]
            chained += any(thread.donee and thread.donors for thread in threads)

        story, _ = play.to_the_end(look)
        statuses |= {event[-1] for event in story if "thread_schedule" in event}
    assert {0, 11, 12, 13} <= {int(status) for status in statuses}
    assert chained > 100
