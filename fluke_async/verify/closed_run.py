"""
A program on a kernel of its own, driven without an event loop.

Devices are called, not awaited, and every input is there from the start; so the run depends on nothing outside, and a
fork of the process in the middle of it is a copy that goes on by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from fluke_async.abi.devices import ParentOperation
from fluke_async.cpu.unicorn_cpu import UnicornCpu
from fluke_async.device import DevicePort, Host, Request
from fluke_async.embedding.loader import load_program
from fluke_async.execution.configuration import MODELS, Preemption
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.execution.hart import Hart, Outcome
from fluke_async.kernel import message
from fluke_async.kernel.core import Core
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.probe import Probe
from fluke_async.kernel.trace import Event
from fluke_async.kernel.turns import turns_of

MEMORY_BYTES = 16 << 20
EFFORT = 10_000_000  # nothing else waits for its turn
RESERVED_INSTRUCTIONS = 64  # that may be between LR and SC: RISC-V promises success up to 16
COMPLETIONS = (Event.FINISH, Event.COMPLETE)


@dataclass(frozen=True, slots=True)
class Program:
    """What is run: a name, its ELF file, its arguments and its input; and whether it is `indifferent`.

    It is if its outcome is the same when calls are issued again, which takes time and lets waiters return early.
    """

    name: str
    elf: bytes
    arguments: tuple[str, ...] = ()
    stdin: bytes = b""
    indifferent: bool = False
    harts: int = 1
    seed: int = 0
    files: Mapping[str, bytes] = field(default_factory=dict)  # what is in its store, if there is anything


class Output:
    """Takes all that a console writes, at once."""

    is_full = False

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        """Add output."""
        self.data += data

    def on_room(self, action: Callable[[], None]) -> None:
        """There is always room."""


class CalledPort(DevicePort):
    """A port whose device decides at once, without a task."""

    def __init__(self, host: Host, decide: Callable[[DevicePort, Request], None]) -> None:
        super().__init__(host)
        self._decide = decide

    def hand_in(self, request: DeviceRequest) -> None:
        """Let the device decide."""
        self._decide(self, self.admit(request))


def _device(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(f"fluke_devices.{module}"), attribute)


class ClosedRun:
    """
    One run. It is a device's `Host` too.

    `loaded` is what the program was put into; `completed` holds the calls that have ended, in order.
    """

    def __init__(self, program: Program, model: str, preemption: str, memory_bytes: int = MEMORY_BYTES) -> None:
        self.cpu = UnicornCpu(memory_bytes)
        self.core = Core(self.cpu, memory_bytes, self._note, turns_of(program.harts, program.seed))
        self.hart = Hart(self.core, self.cpu, Dispatcher(self.core, MODELS[model](), Preemption(preemption)))
        self.output = Output()
        self.exit: tuple[str, int] | None = None
        self.completed: list[tuple[Any, ...]] = []
        self.on_pause: Callable[[], None] | None = None
        self._paused = False
        self._posted: list[Callable[[], None]] = []
        arguments = [program.name, *program.arguments]
        services = {"store": self._store(program.files)} if program.files else {}
        self.loaded = loaded = load_program(self.core, program.elf, arguments, {}, services)
        loaded.console.receiver = self._plug_in("console:Console", self.output, program.stdin).hand_in
        loaded.timer.receiver = self._plug_in("timer:Timer").hand_in
        loaded.parent.receiver = self._on_parent_request
        self.core.start(loaded.thread)

    def pause_at(self, time: int) -> None:
        """
        Call `on_pause` between two instructions when the count has been reached, or soon after.

        Between LR and SC nobody is created again: the reservation is no part of a state, so SC would fail.
        """
        last = time + RESERVED_INSTRUCTIONS

        def pause() -> None:
            if self.cpu.is_reserved and self.core.time < last:
                self.core.at(self.core.time + 1, pause)
            else:
                self._paused = self.core.attention = True

        self.core.at(time, pause)

    def run(self, probe: Probe | None = None) -> None:
        """Run to the end of the program, showing every point to `probe`, if there is one."""
        self.core.probe = probe
        while self.step():
            pass
        self.core.probe = None

    def step(self, effort: int = EFFORT) -> bool:
        """Run for a while, worth about `effort` instructions; whether the program goes on."""
        core = self.core
        self._fixed_point()
        if self.exit is not None:
            return False
        outcome = self.hart.run(effort)
        if self._paused:
            self._paused = False
            if self.on_pause is not None:
                self.on_pause()
        if outcome is Outcome.IDLE and not core.requests and not self._posted:
            next_time = core.timeline.next_time
            if next_time is None:
                self.exit = ("deadlock", 1)
            else:
                core.time = max(core.time, next_time)
        return self.exit is None

    def close(self) -> None:
        """Free the engine."""
        self.cpu.close()

    @property
    def threads(self) -> list[Thread]:
        """The program's threads, in order of creation."""
        return sorted(self.loaded.account.threads, key=lambda thread: thread.hash)

    def _fixed_point(self) -> None:
        core = self.core
        core.current = None
        core.attention = False
        requests, core.requests = core.requests, []
        for request in requests:
            if request.port.receiver is not None:
                request.port.receiver(request)
        if core.unfinished is not None:
            return
        while self._posted:
            self._posted.pop(0)()
        core.exceptions.clear()
        if self.exit is None and all(thread.condition is Condition.EXCEPTION for thread in self.loaded.account.threads):
            self.exit = ("exception", 1)

    # -- what a device asks of its host -----------------------------------------------------------------------------

    def now_ns(self) -> int:
        """The count of instructions."""
        return self.core.time

    def answer_at(self, instant_ns: int, request: DeviceRequest, words: tuple[int, ...]) -> None:
        """Complete the request's client at the instant."""

        def answer() -> None:
            self.core.current = None
            message.answer(self.core, request, words)

        self.core.at(instant_ns, answer, request)

    def post(self, action: Callable[[], None]) -> None:
        """Do `action` at the next fixed point."""
        self._posted.append(action)

    def record_input(self, source: str, data: bytes) -> None:
        """Nothing comes from outside."""

    def _plug_in(self, name: str, *arguments: object) -> DevicePort:
        return CalledPort(self, _device(name)(*arguments).decide)

    def _store(self, files: Mapping[str, bytes]) -> DevicePort:
        shelf = _device("shelf:MemoryShelf")()
        for name, data in files.items():
            shelf.put(name.encode(), data)
        store = _device("store:Store")(shelf)
        return CalledPort(self, lambda _, request: store.decide(request))

    def _on_parent_request(self, request: DeviceRequest) -> None:
        words = request.words
        if len(words) >= 2 and words[0] == ParentOperation.EXIT:
            self.post(lambda: self._end(words[1] & 0xFF))

    def _end(self, status: int) -> None:
        if self.exit is None:
            self.exit = ("exited", status)

    def _note(self, event: tuple[Any, ...]) -> None:
        if event[1] in COMPLETIONS:
            self.completed.append(event)
