"""
A kernel on the scripted engine: what the tests of the kernel and of execution share.

Programs are lists of steps; `Machine.call` makes the steps of one system call. A program that runs to its end stops at
a breakpoint, so a thread is *done* when that is its exception. Every space that a machine makes sees the same memory
at the same addresses, and objects live in it; the invariants are checked after every slice that says something, unless
`is_checked` is taken away, for steps that are a checked run's once more.

    machine = Machine("process", "partial")
    mutex = machine.new(Mutex)
    thread = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    assert machine.done(thread)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from fluke_async.abi.codes import (
    PAGE_SIZE,
    PRIORITY_DEFAULT,
    PRIORITY_MAX,
    SLOT_SIZE,
    USER_END,
    WORD_SIZE,
    ExceptionCode,
    Prot,
)
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ABI_NAMES, ENTRY_POINT, NUMBER_OF
from fluke_async.cpu.protocol import Cpu
from fluke_async.cpu.scripted_cpu import Line, ScriptedCpu, assemble
from fluke_async.execution.configuration import MODELS, Preemption
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.execution.hart import Hart, Outcome
from fluke_async.kernel.core import Core
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_state import Handlers
from fluke_async.kernel.trace import Event
from fluke_async.kernel.turns import turns_of
from tests.kernel.invariants import check
from tests.kernel.words import read_words, write_words

RAM_SIZE = 16 << 20
CODE = 1 << 40  # programs lie outside of what can be mapped
MEMORY, MEMORY_SIZE = 0x10_0000, 8 << 20  # user addresses of the memory that all spaces share
SLOTS = 4096  # pages at its start that hold objects, in slots
UNMAPPED = 0x4000_0000  # a user address where nothing is
PARENT = USER_END  # where, in the root's slab, the objects are that nobody sees
STEPS_MAX = 20_000

T = TypeVar("T", bound=KernelObject)
Value = int | KernelObject
Part = Line | Sequence[Any]


@dataclass(frozen=True)
class Result:
    """How a single call ended: the status and registers, or the exception of its thread."""

    status: int
    registers: tuple[int, ...]
    exception: ExceptionCode | None
    subcode: int


class Machine:
    """One kernel with one space to begin with. `effort` is what a slice may cost: 1 is a step of the kernel."""

    def __init__(
        self,
        model: str = "interrupt",
        preemption: str = "none",
        *,
        memory_bytes: int = RAM_SIZE,
        effort: int = 1,
        cpu: Cpu | None = None,
        harts: int = 1,
        seed: int = 0,
    ) -> None:
        self.effort, self.forged, self.is_checked = effort, False, True
        self.programs: dict[int, Any] = {}
        self.next_code = CODE
        ram_size = max(memory_bytes + -memory_bytes % PAGE_SIZE, PAGE_SIZE)
        self.cpu = cpu or ScriptedCpu(ram_size, self.programs)
        self.events: list[tuple[Any, ...]] = []
        self.core = Core(self.cpu, memory_bytes, self.events.append, turns_of(harts, seed))
        self.hart = Hart(self.core, self.cpu, Dispatcher(self.core, MODELS[model](), Preemption(preemption)))
        self.requests: list[DeviceRequest] = []
        self.slab = self.core.root.new_slab()
        self.next_parent = self.slab + PARENT
        self.next_slot = MEMORY
        self.next_buffer = MEMORY + SLOTS * SLOT_SIZE
        self.addresses: dict[KernelObject, int] = {}
        self.region = self._parent(Region)
        self.load(
            self.region,
            {"start_va": self.slab, "size": USER_END, "prot": int(Prot.ALL)},
            space=self.core.root,
        )
        self.space = self.new_space()

    # -- making things -----------------------------------------------------------------------------

    def new_space(self) -> Space:
        """A space with the memory that all share."""
        space = self._parent(Space)
        self.map(space, self.region, MEMORY, MEMORY_SIZE, offset=MEMORY)
        return space

    def map(
        self,
        space: Space,
        region: Region,
        start: int,
        size: int,
        prot: int = Prot.ALL,
        offset: int = 0,
    ) -> Mapping:
        """A mapping made from outside."""
        mapping = self._parent(Mapping)
        bits = {"region_off": offset, "start_va": start, "size": size, "prot": int(prot)}
        self.load(mapping, bits, region=region, space=space)
        return mapping

    def new(self, kind: type[T]) -> T:
        """An object in the memory that all share."""
        created = self.core.create(kind, self._physical(self.next_slot))
        assert isinstance(created, kind)
        self.addresses[created] = self.next_slot
        self.next_slot += SLOT_SIZE
        return created

    def slot(self) -> int:
        """The address of a free slot."""
        self.next_slot += SLOT_SIZE
        return self.next_slot - SLOT_SIZE

    def found(self, slot: int) -> KernelObject:
        """The object that a program has made at an address."""
        found = self.core.objects[self._physical(slot)]
        self.addresses[found] = slot
        return found

    def reference(self, target: KernelObject | None = None) -> Reference:
        """A reference object that refers to `target`."""
        reference = self.new(Reference)
        reference.target = target
        return reference

    def load(self, target: KernelObject, bits: dict[str, Any] | None = None, **links: Any) -> None:
        """Set the state of an object from outside; fields that are not named are zero."""
        unpacked = None
        if bits is not None:
            assert target.layout is not None
            unpacked = target.layout.unpack(target.layout.pack(bits))
        target.import_state(self.core, None, unpacked, links)

    def buffer(self, words: int | Iterable[int]) -> int:
        """Memory of its own pages for some words, which are given or zero."""
        address = self.next_buffer
        content = [0] * words if isinstance(words, int) else list(words)
        self.next_buffer += (len(content) * WORD_SIZE // PAGE_SIZE + 1) * PAGE_SIZE
        if not isinstance(words, int):
            self.write(address, content)
        return address

    def spawn(
        self,
        *parts: Part,
        priority: int = PRIORITY_DEFAULT,
        space: Space | None = None,
        handler: str = "",
        interrupt_handler: str = "",
        start: bool = True,
    ) -> Thread:
        """A thread that plays `parts`; handlers are labels, and enable exceptions."""
        thread = self.new(Thread)
        thread.thread_va = self.addresses[thread]
        thread.priority = thread.effective_priority = priority
        program = assemble([*flat(parts), ("ebreak",)])
        thread.pc = self.next_code
        self.programs[thread.pc] = program
        self.next_code += (program.length + 16) * 4
        at = {label: thread.pc + 4 * number for label, number in program.labels.items()} | {"": 0}
        thread.handlers = Handlers(at[handler], at[interrupt_handler])
        thread.exceptions_enabled = bool(handler or interrupt_handler)
        self.core.enter_space(thread, self.space if space is None else space)
        if start:
            self.core.start(thread)
        return thread

    def start_at(self, instant: int, thread: Thread) -> None:
        """Start a thread when the clock reaches an instant, unless somebody has done so, or destroyed it."""
        self.core.at(instant, lambda: self.core.start(thread) if thread.stopped and thread.active else None)

    # -- steps of programs -------------------------------------------------------------------------

    def call(self, name: str, **operands: Value) -> list[Line]:
        """The steps of a system call; an operand is a number or an object, one that is not named is zero."""
        entry = BY_NAME[name]
        known = {operand.name: operand.register for operand in entry.arguments}
        assert operands.keys() <= known.keys(), operands.keys() - known.keys()
        return [
            *(("li", ABI_NAMES[register], self.value(operands.get(operand, 0))) for operand, register in known.items()),
            *self.bare_call(name),
        ]

    def bare_call(self, name: str) -> list[Line]:
        """A system call with the registers as they are."""
        return [("li", "a7", BY_NAME[name].number), ("ecall",)]

    def value(self, value: Value) -> int:
        """The number that a program uses for a thing."""
        return value if isinstance(value, int) else self.addresses[value]

    def keep(self, register: str, address: int) -> Line:
        """Store a register at an address."""
        return ("store", register, "zero", address)

    # -- running -----------------------------------------------------------------------------------

    def step(self) -> Outcome:
        """One slice; what the kernel tells the outside is taken note of."""
        core = self.core
        before = len(self.events)
        outcome = self.hart.run(self.effort)
        if self.is_checked and len(self.events) > before:
            check(core, forged=self.forged)
        if outcome is Outcome.ATTENTION:
            core.attention = False
            self.requests += core.requests
            core.requests.clear()
        elif outcome is Outcome.IDLE and core.timeline.next_time is not None:
            core.time = max(core.time, core.timeline.next_time)
            return Outcome.SLICE
        return outcome

    def run(self) -> None:
        """Run until nobody can run any more."""
        for _ in range(STEPS_MAX):
            if self.step() is Outcome.IDLE:
                return
        raise AssertionError(f"still running after {STEPS_MAX} slices, at {self.core.time}")

    def run_for(self, instructions: int) -> None:
        """Run to an instant, counted from now: in the middle of whatever is going on then."""
        reached = False

        def stop() -> None:
            nonlocal reached
            reached = self.core.attention = True

        self.core.at(self.core.time + instructions, stop)
        while not reached:
            self.step()

    def invoke(self, name: str, **operands: Any) -> Result:
        """Make one call in a thread of its own before anybody else runs, and run until all is idle."""
        thread = self.spawn(self.call(name, **operands), priority=PRIORITY_MAX)
        self.run()
        return self.result(thread)

    # -- looking -----------------------------------------------------------------------------------

    def result(self, thread: Thread) -> Result:
        """How the one call of a thread has ended."""
        exception = None if thread.exception is None else thread.exception[0]
        ended = exception is None or exception is ExceptionCode.BREAKPOINT
        return Result(
            status=self.register(thread, "a0"),
            registers=tuple(thread.registers),
            exception=None if ended else exception,
            subcode=0 if thread.exception is None or ended else thread.exception[1],
        )

    def done(self, *threads: Thread) -> bool:
        """Whether all these threads have come to the ends of their programs."""
        return all(
            thread.exception is not None and thread.exception[0] is ExceptionCode.BREAKPOINT for thread in threads
        )

    def failure(self, thread: Thread) -> ExceptionCode | None:
        """The exception that stopped a thread before its end."""
        return self.result(thread).exception

    def register(self, thread: Thread, name: str) -> int:
        return int(thread.registers[NUMBER_OF[name]])

    def stage(self, thread: Thread) -> str:
        """The entry point that a thread's registers name."""
        return next(name for name, entry in BY_NAME.items() if entry.number == thread.registers[ENTRY_POINT])

    def read(self, address: int, words: int = 1) -> list[int]:
        """Words of the memory that all share."""
        return read_words(self.cpu.ram, self._physical, address, words)

    def word(self, address: int) -> int:
        return self.read(address)[0]

    def write(self, address: int, words: Iterable[int]) -> None:
        write_words(self.cpu.ram, self._physical, address, words)

    def happened(self, event: Event, thread: Thread | None = None) -> list[tuple[Any, ...]]:
        """The events of one kind, of one thread if it is given."""
        return [entry for entry in self.events if entry[1] is event and (thread is None or entry[2] == thread.hash)]

    def _physical(self, address: int) -> int:
        frame = self.core.root.frame_at(self.core, self.slab + address // PAGE_SIZE * PAGE_SIZE)
        assert frame is not None, "the machine's memory is used up"
        return frame + address % PAGE_SIZE

    def _parent(self, kind: type[T]) -> T:
        """An object that no space can name."""
        address = self.next_parent
        self.next_parent += SLOT_SIZE
        created = self.core.create(kind, self._physical(address - self.slab))
        assert isinstance(created, kind)
        return created


def flat(parts: Iterable[Part]) -> list[Line]:
    """Steps, labels and lists of them as one list."""
    lines: list[Line] = []
    for part in parts:
        if isinstance(part, list):
            lines += flat(part)
        else:
            lines.append(part)  # type: ignore[arg-type]  # a step is a tuple, a label a string
    return lines


@pytest.fixture
def machine(model: str, preemption: str) -> Machine:
    """A machine of each model and preemption."""
    return Machine(model, preemption)
