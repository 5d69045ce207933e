"""A scheduler and the threads that it schedules: what the tests of donated time have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fluke_async.abi.codes import WORD_SIZE, MutexFlags, Sensitivity, Status
from fluke_async.abi.registers import A1
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

ALIAS = 5
FOREVER = 1 << 40
READY = 8 * WORD_SIZE  # in a scheduler's memory: by number, whether a thread is ready


class Scheduled:
    """A port set with the port at which threads ask for time; their numbers are 1, 2 and so on."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.portset = machine.new(Portset)
        self.port = machine.new(Port)
        machine.load(self.port, {"alias": ALIAS}, portset=self.portset)
        self.threads: list[Thread] = []

    def thread(self, *parts: Part, start: bool = True, **options: Any) -> Thread:
        """A thread without time of its own."""
        thread = self.machine.spawn(*parts, start=False, **options)
        self.add(thread)
        if start:
            self.machine.core.start(thread)
        return thread

    def add(self, thread: Thread) -> None:
        """Take a stopped thread under the scheduler."""
        thread.set_scheduler(self.port)
        self.threads.append(thread)
        thread.sched_val = len(self.threads)

    def receive(self, buffer: int) -> list[Part]:
        """The steps that name the port set and wait for a message."""
        return [self.machine.call("ipc_setup_wait_receive", portset=self.portset, receive_buffer=buffer,
                                  receive_words=4)]  # fmt: skip

    def donate(self, thread: Thread, quantum: int, sensitivity: int = Sensitivity.NONE) -> list[Part]:
        """The steps of a donation."""
        return [self.machine.call("thread_schedule", thread=thread, quantum=quantum, sensitivity=sensitivity)]

    def round_robin(self, threads: Sequence[Thread], quantum: int, *, start: bool = True, **options: Any) -> Thread:
        """A scheduler that gives a quantum at a time to each that has asked and has not blocked since; for ever."""
        machine, memory = self.machine, self.machine.buffer(16)
        parts: list[Part] = ["pick"]
        for number, thread in enumerate(threads, 1):
            parts += [
                ("load", "s5", "zero", memory + READY + number * WORD_SIZE),
                ("beqz", "s5", f"next {number}"),
                self.donate(thread, quantum, Sensitivity.ON_REQUEST),
                ("add", "s6", "a0", -Status.THREAD_REQUESTED),
                ("beqz", "s6", "wait"),
                ("beqz", "a0", f"next {number}"),
                ("store", "zero", "zero", memory + READY + number * WORD_SIZE),
                f"next {number}",
            ]
        for number in range(1, len(threads) + 1):
            parts += [("load", "s5", "zero", memory + READY + number * WORD_SIZE), ("bnez", "s5", "pick")]
        return machine.spawn(
            self.receive(memory),
            ("jump", "asked"),
            "wait",
            machine.call("ipc_wait_receive", receive_buffer=memory, receive_words=4),
            "asked",
            ("load", "s2", "zero", memory),
            *[("add", "s2", "s2", "s2")] * 3,
            ("li", "s3", 1),
            ("store", "s3", "s2", memory + READY),
            *parts,
            ("jump", "wait"),
            start=start,
            **options,
        )


def give(machine: Machine, thread: Thread | int, quantum: int) -> tuple[int, int]:
    """A donation by a thread of its own: its status, and what is left of the quantum."""
    result = machine.invoke("thread_schedule", thread=thread, quantum=quantum)
    assert result.exception is None
    left = result.registers[A1]
    return result.status, left - (1 << 64) if left >> 63 else left


def busy(machine: Machine, log: int, number: int, rounds: int = 4) -> list[Part]:
    """Steps that burn time and append a number to a log."""
    return [
        ("burn", 150 + 10 * number),
        ("load", "s2", "zero", log),
        ("add", "s2", "s2", WORD_SIZE),
        ("store", "s2", "zero", log),
        ("add", "s3", "s2", log),
        ("li", "s4", number),
        ("store", "s4", "s3", 0),
    ] * rounds


def scheduled_threads(machine: Machine) -> tuple[int, int]:
    """A scheduler gives time in turn to threads that work, lock, call a server and end; somebody urgent gets in."""
    scheduled, service, log = Scheduled(machine), Service(machine), machine.buffer(20)
    mutex = machine.new(Mutex)
    machine.load(mutex, {"flags": int(MutexFlags.INHERIT_PRI)})
    lock, unlock = machine.call("mutex_lock", mutex=mutex), machine.call("mutex_unlock", mutex=mutex)
    first = scheduled.thread(busy(machine, log, 1, 2), lock, busy(machine, log, 1), unlock, priority=9)
    second = scheduled.thread(lock, busy(machine, log, 2), unlock, busy(machine, log, 2, 2), priority=9)
    sent, received = machine.buffer([7]), machine.buffer(4)
    third = scheduled.thread(
        machine.call("ipc_call", destination_ref=service.reference, send_buffer=sent, send_words=1,
                     receive_buffer=received, receive_words=4),
        busy(machine, log, 3, 3),
        priority=9,
    )  # fmt: skip
    service.server(work=(("burn", 90),), priority=11)
    scheduled.round_robin([first, second, third], 400, priority=10)
    machine.spawn(("burn", 1200), lock, ("burn", 50), unlock, priority=8)
    return log, 20


def scheduled_schedulers(machine: Machine) -> tuple[int, int]:
    """A scheduler is itself scheduled, in turn with another thread; each quantum ends in the middle of something."""
    upper, lower, log = Scheduled(machine), Scheduled(machine), machine.buffer(20)
    first, second = (lower.thread(busy(machine, log, number, 3), priority=9) for number in (1, 2))
    inner = lower.round_robin([first, second], 250, start=False, priority=9)
    upper.add(inner)
    machine.core.start(inner)
    other = upper.thread(busy(machine, log, 3, 5), priority=9)
    upper.round_robin([inner, other], 330, priority=10)
    return log, 20


SCHEDULED_SCENARIOS = (scheduled_threads, scheduled_schedulers)
