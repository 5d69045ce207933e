"""
Those who have nothing to do with it: spaces on memory of their own, of which nobody else has a mapping or a reference.

There are threads in every kind of wait, one that is stopped and one that runs: it counts what it executes in a
register. Nothing that they are or have may change, but for that count.
"""

from __future__ import annotations

from array import array
from hashlib import blake2b
from typing import Any

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, ENTRY_POINT
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.verify.grinding.world import World

START, PAGES = 0x10_0000, 6  # the same addresses at which those who grind have theirs
COUNT = 8  # the register in which the running thread counts
TURN = 100  # instructions that it executes in one run of the engine
CHANGING = ("quantum_left", "run_order")  # of the one that runs


class Bystanders:
    """A program of its own in a world; `compare` says whether it is as it was."""

    def __init__(self, world: World) -> None:
        self.world = world
        core = world.core
        self.slab = core.root.new_slab()
        memory = world.region(core.root, self.slab, PAGES * PAGE_SIZE)
        self.space = world.parent(Space)
        world.map(self.space, memory, START, PAGES * PAGE_SIZE, 0)
        self.next_slot = 0
        self.objects: dict[KernelObject, int] = {}
        for page in range(PAGES):
            self._frame(page)[:] = bytes(world.random.getrandbits(8) for _ in range(PAGE_SIZE))
        self._build()
        self.executed = 0
        self.runner = self._thread({}, start=True)
        world.cpu.well_behaved = {self.runner: self._run}
        self.before = self._hash()

    def compare(self) -> None:
        """Raise AssertionError if anything has changed."""
        assert self.runner.registers[COUNT] == self.executed, "a register of the running bystander has changed"
        now = self._hash()
        for name, digest in self.before.items():
            assert now[name] == digest, f"{name} of the bystanders: changed"

    def follow(self, made: dict[int, KernelObject]) -> None:
        """Everything has been created again."""
        self.objects = {made[each.address]: address for each, address in self.objects.items()}
        runner = made[self.runner.address]
        assert isinstance(runner, Thread)
        self.runner = runner
        self.world.cpu.well_behaved = {runner: self._run}

    # -- building ----------------------------------------------------------------------------------------------------

    def _build(self) -> None:
        owner = self._thread({})
        mutex = self._new(Mutex)
        self.world.load(mutex, {"locked": 1}, owner=owner)
        self._thread({"mutex_lock": mutex}, waiting_for=mutex, start=True)
        self._thread({"mutex_lock": mutex}, waiting_for=mutex)
        asked, served = self._new(Portset), self._new(Portset)
        for portset in (asked, served):
            port, reference = self._new(Port), self._new(Reference)
            self.world.load(port, {"alias": 7}, portset=portset)
            reference.target = port
            if portset is asked:
                self._thread({"ipc_call": reference}, waiting_for=port, start=True)
        registration = {"server_portset": self.objects[served]}
        self._thread({"ipc_wait_receive": served}, registration, waiting_for=served, start=True)

    def _new(self, kind: Any) -> Any:
        offset = self.next_slot * SLOT_SIZE
        self.next_slot += 1
        created = self.world.core.create(kind, self.world.physical(self.slab + offset))
        assert created is not None
        self.objects[created] = START + offset
        return created

    def _thread(
        self,
        call: dict[str, KernelObject],
        fields: dict[str, int] | None = None,
        *,
        start: bool = False,
        **links: KernelObject,
    ) -> Thread:
        thread = self._new(Thread)
        assert isinstance(thread, Thread)
        x = [self.world.random.getrandbits(64) for _ in range(32)]
        x[COUNT] = 0
        for name, operand in call.items():
            x[ENTRY_POINT], x[A0] = BY_NAME[name].number, self.objects[operand]
        state = {"thread_va": self.objects[thread], "flags": 1, "priority": 0, "pc": START, "x": tuple(x)}
        self.world.load(thread, {**state, "quantum_left": 1000, **(fields or {})}, space=self.space, **links)
        if start:
            self.world.core.start(thread)
        return thread

    def _run(self, limit: int) -> int:
        """The turn of the one that runs: so many instructions, counted."""
        thread = self.runner
        count = min(limit, TURN)
        self.executed += count
        thread.registers[COUNT] = self.executed
        return count

    # -- looking -----------------------------------------------------------------------------------------------------

    def _frame(self, page: int) -> memoryview:
        place = self.world.physical(self.slab + page * PAGE_SIZE)
        return self.world.cpu.ram[place : place + PAGE_SIZE]

    def _hash(self) -> dict[str, str]:
        """Digests of all pages and all states, by what they are."""
        found: dict[str, str] = {}
        for page in range(PAGES):
            found[f"page {page}"] = blake2b(self._frame(page)).hexdigest()
        for each in self.objects:
            found[f"{each}"] = self._state_of(each)
        return found

    def _state_of(self, each: KernelObject) -> str:
        assert each.active, f"{each} of the bystanders is gone"
        if isinstance(each, Reference):
            return f"{each.target}"
        bits = dict(each.export_bits())
        if each is self.runner:
            registers = array("Q", each.registers)
            registers[COUNT] = 0
            bits |= {"x": tuple(registers), **dict.fromkeys(CHANGING, 0)}
        return repr((bits, [str(each.export_link(link.name)) for link in each.links], each.address))
