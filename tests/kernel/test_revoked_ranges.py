"""Which ranges are followed when translations are taken back, and that they are never more than there may be."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, Prot
from fluke_async.kernel import revocation
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.revocation import revoke_range, revoke_region
from fluke_async.kernel.tables import Tables
from tests.kernel.machine import Machine

HERE = 100  # the first page of the region that is looked at
SEEN = 1000  # the page where it is seen from, in another space
REGION_PAGES = 8


class Revoked:
    """A region, what is mapped of it, and what tables were asked to forget; all in pages."""

    def __init__(self, machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
        self.machine = machine
        self.space, self.below = machine.new(Space), machine.new(Space)
        self.region = machine.new(Region)
        bits = {"start_va": HERE * PAGE_SIZE, "size": REGION_PAGES * PAGE_SIZE, "prot": int(Prot.ALL)}
        machine.load(self.region, bits, space=self.space)
        self.forgotten: list[tuple[Space, int, int]] = []
        self.emptied = 0
        monkeypatch.setattr(Tables, "forget", lambda _, *what: self.forgotten.append(what))
        monkeypatch.setattr(Tables, "empty", self._empty)

    def _empty(self, *_: Any) -> None:
        self.emptied += 1

    def map(self, offset: int, pages: int, at: int = SEEN, *, space: Space | None = None) -> Mapping:
        """A mapping of some pages of the region, in the space below or another."""
        bits = {
            "region_off": offset * PAGE_SIZE,
            "start_va": at * PAGE_SIZE,
            "size": pages * PAGE_SIZE,
            "prot": int(Prot.ALL),
        }
        mapping = self.machine.new(Mapping)
        self.machine.load(mapping, bits, region=self.region, space=space or self.below)
        return mapping

    def clear(self) -> None:
        """What the making of all this has taken back is of no interest."""
        self.forgotten.clear()
        self.emptied = 0

    def revoke(self, first: int, pages: int) -> None:
        """Take back a range of the space that the region is in."""
        self.clear()
        revoke_range(self.machine.core, self.space, (HERE + first) * PAGE_SIZE, pages * PAGE_SIZE)


@pytest.fixture
def revoked(model: str, monkeypatch: pytest.MonkeyPatch) -> Revoked:
    return Revoked(Machine(model), monkeypatch)


@pytest.mark.parametrize(
    ("first", "pages", "seen"),
    [
        (0, 1, None),  # before what is mapped, which are the pages 2, 3 and 4 of the region
        (0, 2, None),
        (5, 3, None),
        (2, 1, (0, 1)),
        (4, 1, (2, 3)),
        (3, 1, (1, 2)),
        (1, 2, (0, 1)),
        (4, 9, (2, 3)),
        (0, 8, (0, 3)),
        (-50, 100, (0, 3)),
        (-50, 53, (0, 1)),
        (8, 5, None),
        (-5, 5, None),
    ],
)
def test_what_is_mapped_of_a_range_is_taken_back_and_no_more(
    revoked: Revoked, first: int, pages: int, seen: tuple[int, int] | None
) -> None:
    """What only touches the range is not looked at: it would count among the ranges that there may be."""
    revoked.map(2, 3)
    revoked.revoke(first, pages)
    below = [] if seen is None else [(revoked.below, SEEN + seen[0], SEEN + seen[1])]
    assert revoked.forgotten == [(revoked.space, HERE + first, HERE + first + pages), *below]
    assert not revoked.emptied


def test_a_mapping_that_reaches_beyond_its_region_has_nothing_there(revoked: Revoked) -> None:
    revoked.map(6, 5)
    revoked.revoke(0, 50)
    assert revoked.forgotten[1:] == [(revoked.below, SEEN, SEEN + 2)]


def test_a_region_is_taken_back_by_what_is_mapped_of_it(revoked: Revoked) -> None:
    revoked.map(2, 3)
    revoked.map(0, 1, at=SEEN + 50)
    loose = revoked.map(0, 1, at=SEEN + 60)
    revoked.machine.load(loose, space=None)
    revoked.clear()
    revoke_region(revoked.machine.core, revoked.region)
    below = revoked.below
    assert sorted(revoked.forgotten, key=lambda each: each[1:]) == [
        (below, SEEN, SEEN + 3),
        (below, SEEN + 50, SEEN + 51),
    ]


@pytest.mark.parametrize("of_region", [False, True])
@pytest.mark.parametrize("spare", [1, 0, -1])
def test_there_are_so_many_ranges_at_most_and_else_all_tables_are_emptied(
    revoked: Revoked, monkeypatch: pytest.MonkeyPatch, spare: int, of_region: bool
) -> None:
    count = 4
    for number in range(count):
        revoked.map(0, 1, at=SEEN + 2 * number)
    ranges = count if of_region else 1 + count
    monkeypatch.setattr(revocation, "REVOKED_RANGES_MAX", ranges + spare)
    revoked.clear()
    if of_region:
        revoke_region(revoked.machine.core, revoked.region)
    else:
        revoked.revoke(0, REGION_PAGES)
    if spare < 0:
        assert revoked.emptied == 1
        assert len(revoked.forgotten) < ranges
    else:
        assert (len(revoked.forgotten), revoked.emptied) == (ranges, 0)


@pytest.mark.parametrize("spare", [1, 0, -1])
def test_there_are_so_many_looks_at_regions_and_mappings_at_most(
    revoked: Revoked, monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    """Whether what is looked at leads anywhere or not."""
    machine, count = revoked.machine, 3
    for number in range(count):
        revoked.map(4, 1, at=SEEN + 2 * number)
    again = machine.new(Region)
    bits = {"start_va": HERE * PAGE_SIZE, "size": PAGE_SIZE, "prot": int(Prot.ALL)}
    machine.load(again, bits, space=revoked.space)
    monkeypatch.setattr(revocation, "REVOKED_LOOKS_MAX", 1 + count + 1 + spare)
    revoked.revoke(0, 1)
    assert revoked.emptied == (1 if spare < 0 else 0)
    assert revoked.forgotten == [(revoked.space, HERE, HERE + 1)]
