"""
States and links at random, loaded into every kind of object while threads with random registers run: 10,000 of them.

Each is taken or refused with an exception that says why; a refused one has changed nothing, one that was taken can be
read out as it was given; the invariants hold after each step; at the end, nothing is left over.
"""

from __future__ import annotations

import gc
from random import Random
from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, USER_END, ExceptionCode, ThreadFlags
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.cpu.scripted_cpu import assemble
from fluke_async.errors import KernelBug
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from tests.kernel.invariants import check
from tests.kernel.machine import CODE, MEMORY, UNMAPPED, Machine
from tests.kernel.messages import Service

SEEDS, CASES = 40, 250
assert SEEDS * CASES == 10_000
KINDS: tuple[type[KernelObject], ...] = (
    *[Thread] * 6,
    *[Mutex] * 4,
    *[Cond] * 3,
    *[Portset, Port] * 2,
    *[Space, Region, Mapping],
    *[Reference] * 3,
)
NUMBERS = [entry.number for entry in ENTRY_POINTS]
HOT = [entry.number for entry in ENTRY_POINTS if entry.waits_on or entry.has_points]
WILD = (0, 1, 4, 8, MEMORY + 8, UNMAPPED, CODE, 2**63, 2**64 - 8, 2**64 - 1)
REFUSALS = {
    Thread: {ExceptionCode.INVALID_STATE, ExceptionCode.THREAD_RUNNING},
    Mutex: {ExceptionCode.INVALID_STATE},
    Cond: {ExceptionCode.INVALID_STATE},
    Region: {ExceptionCode.NOT_ALIGNED, ExceptionCode.INVALID_ADDRESS, ExceptionCode.INVALID_PROT},
    Mapping: {
        *(ExceptionCode.NOT_ALIGNED, ExceptionCode.INVALID_ADDRESS, ExceptionCode.INVALID_PROT),
        *(ExceptionCode.ADDRESS_OVERLAP, ExceptionCode.NOT_SPACE_REF),
    },
}
CHANGED_BY_PARKING = {"wait_order", "run_order"}


class World:
    """Slots with an object of a random kind each, which programs and we create, load and destroy."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.machine = Machine(*CONFIGURATIONS[seed % len(CONFIGURATIONS)])
        self.machine.forged = True
        self.machine.programs[CODE] = assemble([("ecall",), ("ecall",), ("burn", 5), ("ebreak",)])
        self.machine.next_code += PAGE_SIZE
        self.slots = [self.machine.slot() for _ in KINDS]
        self.spaces = [self.machine.space, self.machine.new_space(), self.machine.core.root]
        self.host = self.machine.new(Thread)
        self.machine.spawn(("burn", 1))
        Service(self.machine).server()
        self.machine.run()

    def object_in(self, number: int) -> KernelObject:
        """What is in a slot now, which is made if there is nothing."""
        self.machine.next_slot, kept = self.slots[number], self.machine.next_slot
        physical = self.host_slot(self.slots[number])
        found = self.machine.core.objects.get(physical)
        if found is None:
            found = self.machine.new(KINDS[number])
        self.machine.next_slot = kept
        return found

    def host_slot(self, address: int) -> int:
        return self.host.address - self.machine.addresses[self.host] + address

    def some(self, *kinds: type[KernelObject]) -> KernelObject | None:
        """An object of one of these kinds, or nothing."""
        if kinds == (Space,) and self.random.random() < 0.8:
            return self.random.choice(self.spaces)
        numbers = [number for number, kind in enumerate(KINDS) if kind in kinds]
        found = self.object_in(self.random.choice(numbers)) if numbers else None
        return found if found is not None and isinstance(found, kinds) and self.random.random() < 0.8 else None

    # -- random states -------------------------------------------------------------------------------------------------

    def word(self) -> int:
        draw = self.random.random()
        if draw < 0.6:
            return self.random.choice(self.slots)
        if draw < 0.8:
            return self.random.randrange(40)
        return self.random.choice(WILD) if draw < 0.9 else self.random.getrandbits(64)

    def bits(self, target: KernelObject) -> dict[str, Any]:
        """A state in which most fields are what could be, and now and then one is not."""
        assert target.layout is not None
        choose = self.random.choice
        bits: dict[str, Any] = {field.name: self.word() for field in target.layout.fields}
        pages = PAGE_SIZE * self.random.randrange(8)
        if isinstance(target, Thread):
            x = [self.word() for _ in range(32)]
            x[ENTRY_POINT] = choose([*[choose(HOT)] * 4, choose(NUMBERS), self.word()])
            bits |= {
                "x": tuple(x),
                "f": (0,) * 32,
                "flags": self.random.randrange(512) & ~int(ThreadFlags.CLIENT_SENDER | ThreadFlags.SERVER_SENDER),
                **{name: self.random.randrange(40) for name in ("priority", "wait_order", "run_order", "fcsr")},
                "quantum_left": choose([0, 1, 2**64 - 1, 2**63, QUANTUM_INSTRUCTIONS]),
                "pc": choose([CODE, CODE, CODE + 4, self.word()]),
                **{name: choose([0, CODE, CODE + 8]) for name in ("trap_handler", "interrupt_handler", "saved_pc")},
                "saved_a7": choose(NUMBERS),
                **{f"server_{name}_pc": 0 for name in ("oneway", "idempotent", "reliable")},
            }
            bits["exception"] = choose([*[0] * 9, ExceptionCode.NO_OBJECT])
            bits["exception_subcode"] = self.word() if bits["exception"] else 0
            if bits["priority"] > 31:
                bits["priority"] //= 2
        elif isinstance(target, Mutex | Cond):
            bits |= {"flags": self.random.randrange(16 if isinstance(target, Mutex) else 2)}
            if isinstance(target, Mutex):
                bits |= {"locked": self.random.randrange(2), "ceiling": self.random.randrange(32)}
        elif isinstance(target, Region | Mapping):
            start = choose([MEMORY, UNMAPPED, UNMAPPED + PAGE_SIZE, USER_END - PAGE_SIZE])
            bits |= {"start_va": start, "size": pages, "prot": self.random.randrange(8)}
            if isinstance(target, Mapping):
                bits |= {"region_off": PAGE_SIZE * self.random.randrange(4)}
        if self.random.random() < 0.3:
            bits[choose([name for name in bits if name not in ("x", "f")])] = self.word()
        return dict(target.layout.unpack(target.layout.pack(bits)))

    def links(self, target: KernelObject) -> dict[str, KernelObject | None]:
        """Some of the links; of the types that they may lead to."""
        links = {}
        for link in target.links:
            if self.random.random() < 0.5:
                links[link.name] = self.some(*(kind for kind in KINDS if kind.type in link.types))
        return links

    # -- a case --------------------------------------------------------------------------------------------------------

    def load(self) -> str:
        """Load a random state into a random object; what came of it."""
        target = self.object_in(self.random.randrange(len(KINDS)))
        if target.layout is None or isinstance(target, Reference):
            assert isinstance(target, Reference)
            target.target = self.some(*KINDS)
            return "referred"
        if isinstance(target, Thread) and self.random.random() < 0.9:
            self.machine.core.stop(target)
        bits = self.bits(target) if self.random.random() < 0.9 else None
        links = self.links(target)
        before = state_of(target)
        refusal = None
        try:
            target.import_state(self.machine.core, self.host, bits, links)
        except ProgramException as exception:
            refusal = exception
        if refusal is not None:
            assert refusal.thread is self.host
            assert refusal.code in REFUSALS[type(target)]
            assert state_of(target) == before, "it was refused, and yet something has changed"
            return refusal.code.name
        if bits is not None and not (isinstance(target, Thread) and not target.stopped):
            self.check_taken(target, bits, links)
        return "taken"

    def check_taken(self, target: KernelObject, bits: dict[str, Any], links: dict[str, KernelObject | None]) -> None:
        """What was loaded is read out, save what the kernel decides."""
        after, _ = state_of(target)
        expected = {**bits, "hash": target.hash}
        if isinstance(target, Thread):
            expected["x"] = (0, *bits["x"][1:])
            flags = bits["flags"]
            if target.client is None:
                flags &= ~int(ThreadFlags.IDEMPOTENT | ThreadFlags.SERVER_SENDER)
            if target.server is None:
                flags &= ~int(ThreadFlags.CLIENT_SENDER)
            expected["flags"] = flags
            if target.waiting_for is None:  # a fault is a wait, or none
                expected["fault_access"] = expected["fault_address"] = 0
            ignored = CHANGED_BY_PARKING
        elif isinstance(target, Mutex):
            assert after["locked"] or target.first_waiter() is None or target.owner is None
            ignored = {"flags", "locked"}
            assert after["ceiling"] == bits["ceiling"]
        else:
            ignored = set()
        for name, value in expected.items():
            assert name in ignored or after[name] == value, name
        if isinstance(target, Cond) and "inheritor" in links:
            assert target.inheritor is links["inheritor"]


def state_of(target: KernelObject) -> tuple[dict[str, Any], list[KernelObject | None]]:
    bits = {
        name: int(value) if isinstance(value, ThreadFlags) else value for name, value in target.export_bits().items()
    }
    return bits, [target.export_link(link.name) for link in target.links]


@pytest.mark.parametrize("seed", range(SEEDS))
def test_random_states_are_taken_or_refused_and_leave_nothing_behind(seed: int) -> None:
    world = World(seed)
    machine, core = world.machine, world.machine.core
    outcomes: list[str] = []
    for _ in range(CASES):
        outcomes.append(world.load())
        check(core, forged=True)
        for _ in range(world.random.randrange(6)):
            machine.step()
    assert outcomes.count("taken") > CASES / 3
    assert outcomes.count("INVALID_STATE") > CASES / 50
    for _ in range(100):  # states at random may well run for ever
        machine.step()
    destroy_everything(world)
    assert (len(core.objects), len(core.ready), core.unfinished) == (0, 0, None)
    assert core.quota.used_bytes == core.frames.in_use * PAGE_SIZE
    core.root.free_slab(core, machine.slab)
    assert core.quota.used_bytes == 0


def test_what_was_destroyed_is_held_by_nobody() -> None:
    """The kernel lives on, and keeps none of the threads in its queues and tables."""
    gc.collect()
    before = live_threads()
    world = World(0)
    machine = world.machine
    for _ in range(CASES):
        world.load()
        machine.step()
    destroy_everything(world)
    assert live_threads() > before
    for kept_outside in (machine.addresses, machine.requests, machine.core.requests, machine.core.exceptions):
        kept_outside.clear()
    machine.hart.last = None
    machine.core._waits.clear()  # the last waits, so many and no more
    del world, machine.space, machine.region
    assert machine.core.ready.head() is None
    gc.collect()
    assert live_threads() == before


def live_threads() -> int:
    return sum(isinstance(each, Thread) for each in gc.get_objects())


def destroy_everything(world: World) -> None:
    """End all objects in a random order, and look after each."""
    core = world.machine.core
    core.current = None
    world.machine.hart.park_resident()
    objects = list(core.objects.values())
    world.random.shuffle(objects)
    for each in objects:
        if each.active:
            core.destroy(each)
            check(core, forged=True)


def test_a_broken_rule_would_be_seen() -> None:
    """The check that the cases rely on is not blind."""
    world = World(0)
    thread = next(each for each in world.machine.core.objects.values() if isinstance(each, Thread))
    thread.effective_priority += 1
    with pytest.raises((AssertionError, KernelBug)):
        check(world.machine.core, forged=True)
