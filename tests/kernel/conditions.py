"""A condition, its mutex and their waiters, for the tests of conditions and of what can happen to a waiter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from fluke_async.abi.codes import PRIORITY_DEFAULT, WORD_SIZE
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part

LOG_WORDS = 16


class WaitingRoom:
    """A condition with a mutex; a thread whose wait has ended notes its number in a log while it owns the mutex."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.cond, self.mutex = machine.new(Cond), machine.new(Mutex)
        self.log_address = machine.buffer(LOG_WORDS)
        self.lock = machine.call("mutex_lock", mutex=self.mutex)
        self.unlock = machine.call("mutex_unlock", mutex=self.mutex)
        self.wait = machine.call("cond_wait", cond=self.cond, mutex=self.mutex)

    def note(self, number: int) -> list[Part]:
        """Steps that append a number to the log."""
        log = self.log_address
        return [
            *(("load", "s2", "zero", log), ("add", "s2", "s2", WORD_SIZE), ("store", "s2", "zero", log)),
            *(("add", "s2", "s2", log), ("li", "s3", number), ("store", "s3", "s2", 0)),
        ]

    def waiter(
        self,
        number: int = 1,
        *,
        waits: int = 1,
        priority: int = PRIORITY_DEFAULT,
        then: Sequence[Part] | None = None,
        **options: Any,
    ) -> Thread:
        """A thread that waits `waits` times, notes its number each time, and unlocks the mutex or does `then`."""
        then = [self.unlock] if then is None else then
        parts = [self.lock, *[self.wait, *self.note(number)] * waits, *then]
        return self.machine.spawn(*parts, *options.pop("parts", ()), priority=priority, **options)

    def waiters(self, *priorities: int) -> list[Thread]:
        """Threads that wait in this order, numbered from 1."""
        waiters = []
        for number, priority in enumerate(priorities, 1):
            waiters.append(self.waiter(number, priority=priority))
            self.machine.run()
            assert waiters[-1].waiting_for is self.cond
        return waiters

    def signal(self) -> None:
        """Signal once, and run until all is idle."""
        assert self.machine.invoke("cond_signal", cond=self.cond).exception is None

    def broadcast(self) -> None:
        """Broadcast, and run until all is idle."""
        assert self.machine.invoke("cond_broadcast", cond=self.cond).exception is None

    @property
    def log(self) -> list[int]:
        """The numbers noted so far, in order."""
        used = self.machine.word(self.log_address) // WORD_SIZE
        return self.machine.read(self.log_address + WORD_SIZE, used)


@pytest.fixture
def room(machine: Machine) -> WaitingRoom:
    """A room on a machine of each model and preemption."""
    return WaitingRoom(machine)
