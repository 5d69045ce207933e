"""
The memory tree at random, against a model of it in plain Python: who sees what follows from the tree.

`FLUKE_MODEL_EXAMPLES=1000` in the environment has so many runs played, instead of a few.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE, ExceptionCode, Status
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.kernel import user_memory
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import SLAB_SIZE
from fluke_async.kernel.translation import find, pending_fault
from tests.kernel.invariants import check
from tests.kernel.machine import Part
from tests.kernel.memory_model import EXECUTE, READ, ROOT, WRITE, Consumer, Reached, Refused
from tests.kernel.memory_tree import HERE
from tests.kernel.memory_world import MAPPINGS, PAGES, REGIONS, SPACES, World, described
from tests.kernel.scanning import changed, objects_in

SPACE, REGION, MAPPING = (st.integers(0, number - 1) for number in (SPACES, REGIONS, MAPPINGS))
SLAB, PAGE = st.integers(0, 1), st.integers(0, PAGES - 1)
PLACE = st.tuples(st.integers(0, 2 * PAGES), st.sampled_from([0, 8, 16, 32, PAGE_SIZE - 16])).map(
    lambda pair: pair[0] * PAGE_SIZE + pair[1]
)
SIZE = st.sampled_from([PAGES, PAGES, PAGES, 0, 1, 2, 3])
PROT = st.sampled_from([7, 7, 7, 7, 7, 3, 5, 1, 6, 2, 0])
ACCESS, NUMBER = st.sampled_from([READ, WRITE]), st.integers(1, 99)
FEW = st.integers(0, 9).map(lambda number: number == 0)
ACCESSES = st.lists(st.tuples(PLACE, ACCESS, NUMBER), min_size=1, max_size=4)
LINK = st.integers(0, 99)  # what it leads to, of what there is


class MemoryTree(RuleBasedStateMachine):
    """The rules: each does one thing to the kernel and the same to the model, and compares what comes of it."""

    @initialize(world=st.sampled_from(CONFIGURATIONS).map(lambda configuration: World(*configuration)))
    def begin(self, world: World) -> None:
        self.world, self.consumers = world, [Consumer(number) for number in (0, 2, 3)]

    # -- the tree ----------------------------------------------------------------------------------

    @rule(number=REGION, start=PAGE, size=SIZE, prot=PROT, link=LINK, keeper=st.booleans(), by_program=st.booleans())
    def load_region(
        self, number: int, start: int, size: int, prot: int, link: int, keeper: bool, by_program: bool
    ) -> None:
        """Over pages of a space, of the root, or of nothing."""
        space = [ROOT, ROOT, *range(SPACES), None][link % (SPACES + 3)]
        self.world.load_region(number, start, size, prot, space, link % 2, keeper=keeper, by_program=by_program)

    @rule(
        number=MAPPING, start=PAGE, size=SIZE, offset=st.integers(0, 4), prot=PROT, link=LINK, space=SPACE,
        by_program=st.booleans(),
    )  # fmt: skip
    def load_mapping(
        self, number: int, start: int, size: int, offset: int, prot: int, link: int, space: int, by_program: bool
    ) -> None:
        """Refused where another mapping is in the way."""
        region = None if link % 10 == 9 else link % REGIONS
        into = None if link == 0 else space
        self.world.load_mapping(number, start, size, offset, prot, region, into, by_program=by_program)

    @rule(kind=st.sampled_from(["region", "mapping"]), number=LINK, prot=PROT)
    def protect(self, kind: str, number: int, prot: int) -> None:
        world = self.world
        if kind == "region":
            world.call("region_protect", region=world.region(number % REGIONS), prot=prot)
            world.model.regions[number % REGIONS].prot = prot
        else:
            world.call("mapping_protect", mapping=world.mapping(number % MAPPINGS), prot=prot)
            world.model.mappings[number % MAPPINGS].prot = prot

    @rule(kind=st.sampled_from(["space", "region", "mapping", "mapping"]), number=LINK, then=st.booleans())
    def destroy(self, kind: str, number: int, then: bool) -> None:
        """What had links to it has null links; another one takes its place, and perhaps all is as it was at first."""
        self.world.destroy(kind, number)
        if kind == "region":
            self.consumers = [
                Consumer(each.region) if each.region == number % REGIONS else each for each in self.consumers
            ]
        if then:
            self.world.build()

    @rule(again=st.booleans())
    def disturb(self, again: bool) -> None:
        """Forget all translations; or create everything again, as the first law has it."""
        if again:
            self.world.recreate()
        else:
            self.world.core.tables.empty()

    # -- frames ------------------------------------------------------------------------------------

    @precondition(lambda self: [bool(self.world.pages_of(slab)) for slab in (0, 1)].count(True) == 1)
    @rule()
    def share(self) -> None:
        """All pages of a slab with the other one, which has none."""
        world, size = self.world, 2 * PAGES * PAGE_SIZE
        source = 0 if world.pages_of(0) else 1
        world.model.share(world.first_page(source), world.first_page(1 - source), 2 * PAGES)
        assert world.core.root.share(world.core, world.slabs[source], size, world.slabs[1 - source])

    @rule(slab=SLAB)
    def free(self, slab: int) -> None:
        """The slab begins anew, without frames and objects."""
        world = self.world
        world.core.root.free_slab(world.core, world.slabs[slab])
        assert world.core.root.new_slab() == world.slabs[slab]
        world.model.free(world.first_page(slab), SLAB_SIZE // PAGE_SIZE)

    # -- accesses ----------------------------------------------------------------------------------

    def expected(self, space: int, place: int, access: int, *, poor: bool = False) -> tuple[Any, ...] | None:
        """The exception of an access; None if there is none, and then it has been made in the model."""
        model = self.world.model
        found = model.walk(space, HERE + place, access)
        if isinstance(found, Refused):
            return self.world.refusal(found, HERE + place, access)
        if poor and model.needs_memory(found.page, access):
            return ExceptionCode.OUT_OF_MEMORY, HERE + place
        model.enter(found.page, access)
        return None

    @rule(space=SPACE, accesses=ACCESSES, poor=FEW)
    def access_by_the_kernel(self, space: int, accesses: list[tuple[int, int, int]], poor: bool) -> None:
        """Words are read or written for a thread; a poor one has no memory left."""
        quota = self.world.core.quota
        before = quota.limit_bytes
        if poor:
            quota.limit_bytes = quota.used_bytes
        for place, access, number in accesses:
            self.access(space, place, access, number, poor=poor)
        quota.limit_bytes = before

    def access(self, space: int, place: int, access: int, number: int, *, poor: bool = False) -> None:
        """One access, in the kernel."""
        core, thread, address = self.world.core, self.world.thread(space), HERE + place
        self.world.model.time += 1
        expected = self.expected(space, place, access, poor=poor)
        got, refused = number, None
        try:
            if access == WRITE:
                user_memory.write(core, thread, address, number.to_bytes(WORD_SIZE, "little"))
            else:
                got = int.from_bytes(user_memory.read(core, thread, address, WORD_SIZE), "little")
        except ProgramException as exception:
            refused = described(exception)
        assert refused == expected
        if refused is None:
            assert got == self.word(space, place, access, number)

    @rule(space=SPACE, accesses=ACCESSES)
    def access_by_a_program(self, space: int, accesses: list[tuple[int, int, int]]) -> None:
        """As far as it comes."""
        steps: list[Part] = []
        expected, register = None, 0
        for place, access, number in accesses:
            self.world.model.time += 1
            steps += [("li", "s2", number), ("store" if access == WRITE else "load", "s2", "zero", HERE + place)]
            expected = self.expected(space, place, access)
            if expected is not None:
                break
            register = self.word(space, place, access, number)
        thread = self.world.machine.spawn(*steps, space=self.world.space(space))
        self.world.machine.run()
        self.compare(thread, expected)
        assert expected is not None or self.world.machine.register(thread, "s2") == register
        self.world.machine.hart.park_resident()
        self.world.core.destroy(thread)

    def compare(self, thread: Thread, expected: tuple[Any, ...] | None) -> None:
        """A thread has come to its end, has an exception, or waits for a keeper."""
        machine = self.world.machine
        if expected is None:
            assert machine.done(thread)
        elif len(expected) == 2:
            assert thread.exception == expected
        else:
            fault = pending_fault(thread)
            assert fault is not None
            assert described(fault) == expected
            assert thread.waiting_for is self.world.keeper

    def word(self, space: int, place: int, access: int, number: int) -> int:
        """What is in memory, where `number` may just have been written."""
        model = self.world.model
        found = model.walk(space, HERE + place, access)
        assert isinstance(found, Reached)
        words = model.frames[model.pages[found.page]].words
        if access == WRITE:
            words[place % PAGE_SIZE // WORD_SIZE] = number
        return words.get(place % PAGE_SIZE // WORD_SIZE, 0)

    # -- objects -----------------------------------------------------------------------------------

    @rule(space=SPACE, place=PLACE, name=st.sampled_from(["mutex_create", "mutex_create", "mutex_destroy"]))
    def create_or_destroy_an_object(self, space: int, place: int, name: str) -> None:
        world, address = self.world, HERE + place
        world.model.time += 1
        expected = (ExceptionCode.NOT_ALIGNED, address) if place % 16 else self.expected(space, place, WRITE)
        if expected is None:
            found = world.model.walk(space, address, WRITE)
            assert isinstance(found, Reached)
            objects = world.model.frames[world.model.pages[found.page]].objects
            if name == "mutex_create":
                expected = (ExceptionCode.OBJECT_EXISTS, address) if place % PAGE_SIZE in objects else None
                objects.add(place % PAGE_SIZE)
            else:
                expected = None if place % PAGE_SIZE in objects else (ExceptionCode.NO_OBJECT, address)
                objects.discard(place % PAGE_SIZE)
        thread = world.machine.spawn(world.machine.call(name, mutex=address), space=world.space(space))
        world.machine.run()
        self.compare(thread, expected)
        assert expected is not None or world.machine.register(thread, "a0") in (Status.SUCCESS, address)
        world.machine.hart.park_resident()
        world.core.destroy(thread)

    @rule(space=SPACE, place=PLACE.filter(lambda place: place % 16 == 0))
    def look_for_an_object(self, space: int, place: int) -> None:
        world = self.world
        world.model.time += 1
        expected = self.expected(space, place, READ)
        if expected is None:
            found = world.model.walk(space, HERE + place, READ)
            assert isinstance(found, Reached)
            if place % PAGE_SIZE not in world.model.frames[world.model.pages[found.page]].objects:
                expected = (ExceptionCode.NO_OBJECT, HERE + place)
        got = None
        try:
            object_at(world.core, world.thread(space), HERE + place, Mutex)
        except ProgramException as exception:
            got = described(exception)
        assert got == expected

    @rule(number=REGION, capacity=st.integers(1, 3), first=PAGE)
    def search(self, number: int, capacity: int, first: int) -> None:
        world, region = self.world, self.world.model.regions[number]
        offset = first * PAGE_SIZE
        expected = [
            region.start + place + slot
            for place, token in world.model.frames_of(number, offset, 3 * PAGES * PAGE_SIZE)
            for slot in sorted(world.model.frames[token].objects)
        ]
        size = 3 * PAGES * PAGE_SIZE - offset
        assert objects_in(world.machine, world.region(number), size, capacity, offset) == expected

    # -- who asks what was written -----------------------------------------------------------------

    @rule(
        steps=st.lists(
            st.tuples(st.integers(0, 2), st.sampled_from([16, 16, 1, 2, 0]), SPACE, PLACE), min_size=1, max_size=5
        ),
        writes=st.booleans(),
    )
    def ask(self, steps: list[tuple[int, int, int, int]], writes: bool) -> None:
        """Calls of the consumers, with which a round of each may or may not end; others write in between."""
        for who, capacity, space, place in steps:
            self.call_of(self.consumers[who], capacity)
            if writes:
                self.access(space, place, WRITE, place + 1)

    def call_of(self, consumer: Consumer, capacity: int) -> None:
        """It is told of each page that it has to know of, up to where its list was full."""
        world, model, total = self.world, self.world.model, 3 * PAGES * PAGE_SIZE
        model.time += 1
        offset, generation = consumer.offset, consumer.generation
        if not generation:
            consumer.begin(model)
        region = world.region(consumer.region)
        part = changed(world.machine, region, offset, total - offset, capacity, consumer.since, generation)
        assert part.exception is None
        assert part.generation == consumer.generation
        assert part.offset == total or (part.capacity == 0 and len(part.found) == capacity)
        for place, token in model.frames_of(consumer.region, offset, min(part.offset + PAGE_SIZE, total)):
            told = place in part.found or place == part.offset
            assert told or not consumer.must_be_told(model, token)
            assert not told or consumer.may_be_told(model, token)
            consumer.asks(model, token, heard=place != part.offset)
        consumer.offset = part.offset
        if part.offset == total:
            consumer.end()

    # -- what holds after each ---------------------------------------------------------------------

    @invariant()
    def rules_of_the_kernel_hold(self) -> None:
        check(self.world.core)

    @invariant()
    def frames_are_those_of_the_model(self) -> None:
        """Each has the contents that it should, and pages share one exactly if the model's do."""
        self.world.check_frames()

    @invariant()
    def every_walk_ends_where_it_should(self) -> None:
        """All pages of one space, with every access, without touching any."""
        world = self.world
        number = world.model.time % SPACES
        for page in range(2 * PAGES):
            for access in (READ, WRITE, EXECUTE):
                found = find(world.space(number), HERE + page * PAGE_SIZE, access)
                expected = world.model.walk(number, HERE + page * PAGE_SIZE, access)
                if isinstance(expected, Reached):
                    assert found is not None
                    assert found[:2] == (expected.page * PAGE_SIZE, expected.granted)
                else:
                    region = None if expected.region is None else world.region(expected.region)
                    assert found == (None if region is None else (region, expected.offset))


EXAMPLES = int(os.environ.get("FLUKE_MODEL_EXAMPLES", "40"))
TestMemoryTree = pytest.mark.timeout(900)(MemoryTree.TestCase)  # to find a short case takes a while
TestMemoryTree.settings = settings(max_examples=EXAMPLES, stateful_step_count=60, deadline=None)
