"""Nothing is wrong in any interleaving of the small worlds, and there are as many as there should be."""

from __future__ import annotations

from functools import partial
from math import comb

import pytest

from fluke_async.execution.configuration import Configuration
from fluke_async.verify.explorer import UNLIMITED, explore
from tests.verify import explored_worlds
from tests.verify.explored_worlds import FULL, HARTS, PARTIAL, SCHEDULES, WORLDS, Schedules, main

MANY, FEW = 1000, 3
"""Of a world with more schedules, only those with so few departures are run here; all are by the command."""


@pytest.mark.parametrize("configuration", [PARTIAL, FULL], ids="-".join)
@pytest.mark.parametrize("harts", HARTS)
@pytest.mark.parametrize("name", WORLDS)
def test_nothing_is_wrong_in_any_interleaving(name: str, configuration: Configuration, harts: int) -> None:
    count = SCHEDULES[name].of(configuration, harts)
    explored = WORLDS[name].explore(configuration, harts, UNLIMITED if count < MANY else FEW)
    assert not explored.failure, explored
    assert explored.is_complete
    assert explored.schedules == count or (count >= MANY and 100 < explored.schedules < count)


@pytest.mark.parametrize("configuration", [PARTIAL, FULL], ids="-".join)
@pytest.mark.parametrize("harts", HARTS)
@pytest.mark.parametrize("name", WORLDS)
def test_nothing_is_wrong_in_turns_that_are_drawn(name: str, configuration: Configuration, harts: int) -> None:
    world = WORLDS[name]
    assert not any(world.attempt(configuration, world.turns(harts, seed)) for seed in range(1, 4))


def test_numbers_of_interleavings_are_those_counted_by_hand() -> None:
    assert SCHEDULES.keys() == WORLDS.keys()
    counted = {
        "each_has_its_floating_registers": comb(8, 4),  # four steps each
        "nothing_is_reserved_for_two": comb(11, 4),  # three instructions and a trap, six and a trap
        "who_is_destroyed_does_nothing_more": 8,  # before, between and behind the seven steps of the other
        # One has locked: the other waits from one of two places on (and what follows the unlocking can be laid out in
        # four ways), or has its four steps to come beside the first's last.
        "two_count_under_a_mutex": 2 * (2 * comb(4, 1) + comb(5, 1)),
    }
    for name, count in counted.items():
        assert SCHEDULES[name] == ((count,) * 3, (count,) * 3), name


@pytest.mark.parametrize("configuration", [PARTIAL, FULL], ids="-".join)
@pytest.mark.parametrize("name", WORLDS)
def test_nothing_is_wrong_if_everything_is_created_again_at_each_point(name: str, configuration: Configuration) -> None:
    """Of each interleaving with one departure at most."""
    world = WORLDS[name]
    explored = explore(partial(world.attempt, configuration, remade=True), 2, 1, length=world.length)
    assert not explored.failure, explored
    assert explored.schedules > 3


def test_command_runs_all_and_fails_with_another_number(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "who_unlocks_cannot_get_in_before_who_waits"
    monkeypatch.setattr(explored_worlds, "WORLDS", {name: WORLDS[name]})
    assert main() == 0
    assert capsys.readouterr().out.splitlines()[0] == f"{name} interrupt-partial 1: 12 schedules"
    monkeypatch.setitem(SCHEDULES, name, Schedules((12, 12, 12), (12, 13, 12)))
    assert main() == 1
    assert [line.endswith("WRONG") for line in capsys.readouterr().out.splitlines()] == [False] * 4 + [True, False]
