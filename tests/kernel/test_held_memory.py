"""
The memory tree at random, with slabs that are held: each hold against a full copy of its moment.

It plays by the rules of `test_memory_model`, with as many examples.
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.kernel.hold import Hold, HoldLost
from tests.kernel.memory_world import PAGES
from tests.kernel.test_memory_model import EXAMPLES, SLAB, MemoryTree

WHICH = st.integers(0, 99)


@dataclass
class Held:
    """A hold, what is left of it, and what had been changed in the model; holds of one `chain` know of each other."""

    hold: Hold
    slab: int
    first_page: int
    pages: int
    left: dict[int, bytes]
    changes: int
    chain: int
    is_done: bool = False
    is_ended: bool = False
    is_freed: bool = False


class HeldMemory(MemoryTree):
    """More rules; `all_held` has all holds that there have been, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.all_held: list[Held] = []
        self.chains = 0

    @rule(slab=SLAB, pages=st.sampled_from([2 * PAGES, 2 * PAGES, PAGES]))
    def hold(self, slab: int, pages: int) -> None:
        world = self.world
        first = world.first_page(slab)
        left = {
            page: world.model.frames[token].bytes()
            for page, token in world.model.pages.items()
            if first <= page < first + pages
        }
        watching = [each for each in self.all_held if each.slab == slab and not each.is_ended and not each.is_freed]
        self.chains += not watching
        chain = watching[-1].chain if watching else self.chains
        made = world.core.root.hold(world.core, world.slabs[slab], pages * PAGE_SIZE)
        self.all_held.append(Held(made, slab, first, pages, left, len(world.model.changes), chain))

    @precondition(lambda self: self.all_held)
    @rule(which=WHICH, most_pages=st.integers(1, 6))
    def take(self, which: int, most_pages: int) -> None:
        held = self.all_held[which % len(self.all_held)]
        if held.is_freed and not held.is_done:
            assert held.hold.is_lost
            with pytest.raises(HoldLost):
                held.hold.take(self.world.core, most_pages)
            return
        taken = held.hold.take(self.world.core, most_pages)
        assert len(taken) == min(most_pages, len(held.left))
        for offset, content in taken:
            assert held.left.pop(held.first_page + offset // PAGE_SIZE) == content
        held.is_done = not held.left
        assert held.hold.is_done == held.is_done

    @precondition(lambda self: self.all_held)
    @rule(which=WHICH, wanted=st.sets(st.integers(0, 2 * PAGES)))
    def narrow(self, which: int, wanted: set[int]) -> None:
        held = self.all_held[which % len(self.all_held)]
        held.hold.narrow({page * PAGE_SIZE for page in wanted})
        held.left = {page: content for page, content in held.left.items() if page - held.first_page in wanted}

    @precondition(lambda self: self.all_held)
    @rule(which=WHICH)
    def end(self, which: int) -> None:
        held = self.all_held[which % len(self.all_held)]
        held.hold.end(self.world.core)
        held.is_ended = held.is_done = True
        held.left.clear()

    @precondition(lambda self: self.all_held)
    @rule(earlier=WHICH, later=WHICH)
    def compare_two(self, earlier: int, later: int) -> None:
        """What is told is what was written or added, and nothing if somebody did not look."""
        first, last = sorted((earlier % len(self.all_held), later % len(self.all_held)))
        before, after = self.all_held[first], self.all_held[last]
        told = after.hold.changed_since(before.hold)
        if before.chain != after.chain:
            assert told is None
            return
        changes = set(self.world.model.changes[before.changes : after.changes])
        pages = range(after.first_page, after.first_page + after.pages)
        assert told == {(page - after.first_page) * PAGE_SIZE for page in changes if page in pages}

    @rule(slab=SLAB)
    def free(self, slab: int) -> None:
        super().free(slab)
        for held in self.all_held:
            if held.slab == slab:
                held.is_freed = True


TestHeldMemory = pytest.mark.timeout(900)(HeldMemory.TestCase)
TestHeldMemory.settings = settings(max_examples=EXAMPLES, stateful_step_count=60, deadline=None)
