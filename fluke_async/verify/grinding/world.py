"""
What hostile threads grind on: a kernel with some spaces that share memory, threads, and objects of every type.

Most calls are mistakes and many waits never end, so the world is kept going from outside: between two batches, and
when nobody can run any more, some of what is missing is made anew and some threads are given another start.
"""

from __future__ import annotations

from functools import partial
from random import Random
from typing import Any, TypeVar

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, WORD_SIZE, ObjectType, Prot, ThreadFlags
from fluke_async.execution.configuration import MODELS, Configuration, Preemption
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.execution.hart import Hart, Outcome
from fluke_async.kernel.core import Core
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.exceptions import POSTED, post
from fluke_async.kernel.message import answer
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.recreation import capture, closed_set, destroy, restore
from fluke_async.kernel.turns import turns_of
from fluke_async.verify.grinding import places
from fluke_async.verify.grinding.hostile_cpu import HostileCpu
from fluke_async.verify.grinding.places import KIND_OF_SLOT, TYPE_OF_REFERENCE
from fluke_async.verify.grinding.states import States
from fluke_async.verify.grinding.values import WORDS, Values

SPACES = 3
THREADS = [number for number, kind in enumerate(KIND_OF_SLOT) if kind is Thread]
MEMORY_BYTES = (1 << 20, 4 << 20, 16 << 20)  # the smallest is used up soon
EFFORTS = (1, 5_000, 100_000, 10_000_000)  # a slice of one step, and longer ones
INTERVALS = (100, 1_000, 20_000)  # instructions between two interrupts from outside
SHARED, OWN = 0x1_0000, 0x10_0000  # in the slab: what all share, and where what is of one space begins
PARENT = 0x1000_0000  # in the slab: objects that nobody can name
STEPS_MAX = 5_000
HARTS = (1, 2, 4)  # of worlds that follow each other
DRAWN_TURNS = 8  # in one world of so many turns are drawn, and short: it takes ten times as long
ENABLED = ThreadFlags.EXCEPTION_ENABLE

T = TypeVar("T", bound=KernelObject)


class World:
    """
    One kernel, made and ground by one seed.

    If it is `repeatable`, nothing happens that is known to be different where everything is created again: devices
    answer before that, for a request is no part of a state.
    """

    def __init__(self, seed: int, configuration: Configuration, *, repeatable: bool = False) -> None:
        self.repeatable = repeatable
        self.random, self.slices = Random(seed), Random(seed)
        values = Values(self.random)
        memory_bytes = self.random.choice(MEMORY_BYTES)
        self.cpu = HostileCpu(memory_bytes, values, States(values))
        turns = turns_of(HARTS[seed % len(HARTS)], 0 if seed % DRAWN_TURNS else seed)
        self.core = core = Core(self.cpu, memory_bytes, turns=turns)
        self.cpu.core = core
        model, preemption = configuration
        self.hart = Hart(core, self.cpu, Dispatcher(core, MODELS[model](), Preemption(preemption)))
        self.slab = core.root.new_slab()
        self.next_parent = self.slab + PARENT
        self.memory = self.region(core.root, self.slab, PARENT)
        self.paged = self.region(core.root, self.slab + SHARED + 0x8000, places.PRESENT_PAGES * PAGE_SIZE)
        self.device = self.parent(Port)
        self.device.receiver = core.requests.append
        self.spaces = [self._space(number) for number in range(SPACES)]
        self.starts = 0
        self._fill_tables()
        for _ in range(3):
            self.mend(1.0)
        self._disturb()

    # -- building ----------------------------------------------------------------------------------------------------

    def parent(self, kind: type[T]) -> T:
        """An object that no program can name."""
        created = self.core.create(kind, self.physical(self.next_parent))
        assert isinstance(created, kind)
        self.next_parent += SLOT_SIZE
        return created

    def physical(self, address: int) -> int:
        """Where an address of the slab is."""
        frame = self.core.root.frame_at(self.core, address // PAGE_SIZE * PAGE_SIZE)
        assert frame is not None, "a world is built before memory is used up"
        return frame + address % PAGE_SIZE

    def load(self, target: KernelObject, state: dict[str, Any] | None, **links: KernelObject | None) -> None:
        """Load a state from outside."""
        assert target.layout is not None
        bits = None if state is None else target.layout.unpack(target.layout.pack(state))
        target.import_state(self.core, None, bits, links)

    def region(self, space: Space, start: int, size: int) -> Region:
        """A region that nobody can change."""
        region = self.parent(Region)
        self.load(region, {"start_va": start, "size": size, "prot": int(Prot.ALL)}, space=space)
        return region

    def map(self, space: Space, region: Region, start: int, size: int, offset: int, prot: Prot = Prot.ALL) -> None:
        """A mapping that nobody can change."""
        state = {"region_off": offset, "start_va": start, "size": size, "prot": int(prot)}
        self.load(self.parent(Mapping), state, region=region, space=space)

    def _space(self, number: int) -> Space:
        space, memory = self.parent(Space), self.memory
        own, next_own = OWN * (number + 1), OWN * ((number + 1) % SPACES + 1)
        self.map(space, memory, places.CODE, PAGE_SIZE, SHARED, Prot.READ | Prot.EXECUTE)
        self.map(space, memory, places.SHARED_SLOTS, PAGE_SIZE, SHARED + PAGE_SIZE)
        self.map(space, memory, places.OWN_SLOTS, PAGE_SIZE, own)
        self.map(space, memory, places.FOREIGN_SLOTS, PAGE_SIZE, next_own, Prot.READ)
        self.map(space, memory, places.OWN_MEMORY, places.OWN_PAGES * PAGE_SIZE, own + PAGE_SIZE)
        self.map(space, memory, places.COMMON_MEMORY, places.COMMON_PAGES * PAGE_SIZE, SHARED + 2 * PAGE_SIZE)
        self.map(space, self.paged, places.PAGED_MEMORY, places.PAGED_PAGES * PAGE_SIZE, 0)
        return space

    def _fill_tables(self) -> None:
        """Tables of references and of buffers, which programs may change."""
        for number in range(SPACES):
            at = self.slab + OWN * (number + 1) + PAGE_SIZE + places.TABLES - places.OWN_MEMORY
            table = self.physical(at)
            words = [self.random.choice(places.ALL_REFERENCES) for _ in range(PAGE_SIZE // 2 // WORD_SIZE)]
            for _ in range(PAGE_SIZE // 2 // WORD_SIZE // 2):
                words += [self.random.choice(WORDS[:-4]), self.cpu.values.buffer() & -WORD_SIZE]
            self.cpu.ram[table : table + PAGE_SIZE] = b"".join(word.to_bytes(WORD_SIZE, "little") for word in words)

    # -- running -----------------------------------------------------------------------------------------------------

    def grind(self, calls: int) -> None:
        """Run until so many calls more have been made."""
        core, cpu = self.core, self.cpu
        cpu.stop_at = cpu.calls + calls
        for _ in range(STEPS_MAX):
            if cpu.calls >= cpu.stop_at and core.unfinished is None:
                break
            outcome = self.hart.run(self.slices.choice(EFFORTS))
            if outcome is Outcome.ATTENTION:
                self._attend()
            elif outcome is Outcome.IDLE:
                cpu.is_quiet = core.timeline.next_time is None
                core.time = max(core.time, core.timeline.next_time or 0)
            if cpu.is_quiet:
                cpu.is_quiet = False
                self.mend(0.3)
        else:
            raise AssertionError(f"fewer than {calls} calls in {STEPS_MAX} slices")
        self._come_to_rest()

    def _come_to_rest(self) -> None:
        self._attend()
        self.hart.park_resident()
        self.core.current = None

    def _attend(self) -> None:
        """What goes to the outside: devices answer, or do not; and a host may stop or interrupt anybody."""
        core, random = self.core, self.random
        core.attention = False
        core.current = None
        core.exceptions.clear()
        while core.requests:
            request = core.requests.pop(0)
            if self.repeatable:
                self._answer(request)
            else:
                core.at(core.time + random.randrange(5000), partial(self._answer, request), request)

    def _answer(self, request: DeviceRequest) -> None:
        """A device answers with some of what it was asked, and a word before; as a keeper it always fails."""
        self.core.current = None
        answer(self.core, request, (1 + request.thread.hash % 2, *request.words[: request.thread.hash % 40]))

    def _disturb(self) -> None:
        """At any moment, also in the middle of a call, a thread gets an interrupt or an alert."""
        target = self.some(ObjectType.THREAD)
        if isinstance(target, Thread):
            post(self.core, target, self.random.choice(POSTED))
        self.core.at(self.core.time + self.random.choice(INTERVALS), self._disturb)

    # -- keeping it going --------------------------------------------------------------------------------------------

    def mend(self, share: float) -> None:
        """Make some of what is missing anew; start some of the threads that do not run again."""
        if self.core.unfinished is not None:
            return  # it goes on before anything else happens
        self._come_to_rest()
        for page, seen_at in self._pages():
            for number in range(len(KIND_OF_SLOT)):
                if self.random.random() < share:
                    self._mend_slot(page, seen_at, number)
        if self.paged.keeper is None or not self.paged.keeper.active:
            self.load(self.paged, None, keeper=self.some(ObjectType.PORT))
        for space in self.spaces[1:]:
            if space.keeper is None or not space.keeper.active:
                self.load(space, None, keeper=self.some(ObjectType.PORT))

    def _pages(self) -> list[tuple[int, int]]:
        """The addresses, in the slab and in the spaces, of the pages of slots that there are."""
        own = [(self.slab + OWN * (number + 1), places.OWN_SLOTS) for number in range(SPACES)]
        return [(self.slab + SHARED + PAGE_SIZE, places.SHARED_SLOTS), *own]

    def _mend_slot(self, page: int, seen_at: int, number: int) -> None:
        core = self.core
        address = self.physical(page + number * SLOT_SIZE)
        found = core.objects.get(address)
        if found is None:
            found = core.create(KIND_OF_SLOT[number], address)
        if isinstance(found, Thread):
            if not found.runnable and found not in self.cpu.well_behaved:
                self._start(found, seen_at + number * SLOT_SIZE)
        elif isinstance(found, Reference) and found.target is None:
            found.target = self.some(TYPE_OF_REFERENCE.get(number, ObjectType.NULL))
        elif isinstance(found, Port) and found.portset is None:
            self.load(found, None, portset=self.some(ObjectType.PORTSET))
        elif isinstance(found, Region) and found.space is None:
            self.load(found, self.cpu.states.of_others(found.type), space=self.random.choice(self.spaces))
        elif isinstance(found, Mapping) and (found.region is None or found.space is None):
            state, space = self.cpu.states.of_others(found.type), self.random.choice(self.spaces)
            region = self.some(ObjectType.REGION)
            if space.overlapping(state["start_va"], state["size"], but=found) is None:
                self.load(found, state, region=region, space=space)

    def _start(self, thread: Thread, seen_at: int) -> None:
        """Another start for a thread that waits, or is stopped: an interrupt, or a state."""
        core, random = self.core, self.random
        if thread.export_link("waiting_for") is not None and random.random() < 0.5:
            post(core, thread, POSTED[0])
            return
        if not thread.stopped:
            core.stop(thread)
        state = self.cpu.states.thread(thread, va=seen_at)
        state |= {"pc": places.CODE, "flags": int(ENABLED), "trap_handler": places.HANDLER}
        state |= {"exception": 0, "exception_subcode": 0, "fault_access": 0, "fault_address": 0}
        if random.random() < 0.5:
            state |= {"interrupt_handler": places.HANDLER}
        links: dict[str, KernelObject | None] = {"waiting_for": None}
        if thread.space is None or thread.space not in self.spaces:
            links["space"] = self.spaces[self.starts % SPACES]
        if random.random() < 0.9:
            links["scheduler"] = None
        self.starts += 1
        self.load(thread, state, **links)

    def some(self, type_: ObjectType) -> KernelObject | None:
        """An object of a type that programs may have, if there is one where they are meant to be."""
        random = self.random
        if type_ is ObjectType.SPACE and random.random() < 0.7:
            return random.choice(self.spaces)
        if type_ is ObjectType.REGION and random.random() < 0.5:
            return random.choice((self.memory, self.paged))
        if type_ is ObjectType.PORT and random.random() < 0.1:
            return self.device
        numbers = [number for number, kind in enumerate(KIND_OF_SLOT) if kind.type is type_]
        if not numbers:
            return None
        page, _ = random.choice(self._pages())
        found = self.core.objects.get(self.physical(page + random.choice(numbers) * SLOT_SIZE))
        return found if found is not None and found.type is type_ else None

    def recreate(self) -> dict[int, KernelObject]:
        """The procedure of the first law, on everything; the new objects by address."""
        core = self.core
        self._come_to_rest()
        objects = closed_set(core)
        records = capture(core, objects)
        destroy(core, objects)
        made = restore(core, records)
        self.memory, self.paged = made[self.memory.address], made[self.paged.address]  # type: ignore[assignment]
        self.spaces = [made[space.address] for space in self.spaces]  # type: ignore[misc]
        return made

    # -- the end -----------------------------------------------------------------------------------------------------

    def destroy_everything(self, *slabs: int) -> None:
        """End all objects in a random order, and give back all memory: nothing is left."""
        core = self.core
        self._come_to_rest()
        objects = list(core.objects.values())
        self.random.shuffle(objects)
        for each in objects:
            if each.active:
                core.destroy(each)
        core.requests.clear()
        for slab in (self.slab, *slabs):
            core.root.free_slab(core, slab)
