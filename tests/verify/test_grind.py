"""The kernel under random hostile calls, in short; and that grinding it finds what is wrong, and repeats itself."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fluke_async.execution.configuration import CONFIGURATIONS, Configuration
from fluke_async.verify import grind
from fluke_async.verify.grind import Ground, Mode, grind_again, grind_world
from fluke_async.verify.grinding.bystanders import COUNT, Bystanders
from fluke_async.verify.grinding.tally import Tally
from fluke_async.verify.grinding.world import World
from tests.tidy import ROOT
from tests.verify import mistakes_of_care
from tests.verify.planted_grind import MISTAKES

SEED, CALLS = 11, 4_000
AGAIN_CALLS = 600
ONE = CONFIGURATIONS[0]
SHOWN_AGAIN = ("time_slice_not_exported", "owner_not_exported", "order_of_waiters_not_exported")

each_configuration = pytest.mark.parametrize("configuration", CONFIGURATIONS, ids=grind.name_of)


@pytest.fixture(scope="module")
def ground() -> dict[Configuration, Ground]:
    """A world of each configuration, ground."""
    return {each: grind_world(SEED, each, CALLS) for each in CONFIGURATIONS}


@each_configuration
def test_nothing_comes_of_hostile_calls(ground: dict[Configuration, Ground], configuration: Configuration) -> None:
    assert ground[configuration].failure == ""
    assert ground[configuration].calls == CALLS


@each_configuration
def test_programs_do_not_see_that_everything_was_created_again(configuration: Configuration) -> None:
    assert grind_again(SEED, configuration, AGAIN_CALLS).failure == ""


@pytest.mark.parametrize("preemption", ["none", "partial"])
def test_programs_see_the_same_in_both_models(ground: dict[Configuration, Ground], preemption: str) -> None:
    one, other = (ground[Configuration(model, preemption)] for model in ("interrupt", "process"))
    assert one.digests == other.digests
    assert one.tally.counts == other.tally.counts


def test_every_call_comes_to_more_than_exceptions(ground: dict[Configuration, Ground]) -> None:
    tally = Tally()
    for each in ground.values():
        tally.add(each.tally)
    assert tally.shallow == []


def test_a_seed_says_what_happens(ground: dict[Configuration, Ground]) -> None:
    """Here and in another process, whatever the hashes of strings are there; another seed is another world."""
    here = grind_world(SEED, ONE, 1_000)
    script = (
        f"from fluke_async.verify.grind import *; print(grind_world({SEED}, Configuration{tuple(ONE)!r}, 1000).digests)"
    )
    there = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert there.stdout.strip() == str(here.digests)
    assert here.digests == ground[ONE].digests[: len(here.digests)]
    assert grind_world(SEED + 1, ONE, 1_000).digests != here.digests


@pytest.mark.parametrize("name", [each.__name__ for each in mistakes_of_care.MISTAKES])
def test_the_mistake_is_found(name: str) -> None:
    check_found(name)


@pytest.mark.parametrize("name", SHOWN_AGAIN)
def test_the_mistake_is_found_by_creating_everything_again(name: str) -> None:
    assert name in MISTAKES
    check_found(name, "again")


def check_found(name: str, *again: str) -> None:
    """Plant a mistake in a kernel, and grind it."""
    command = [sys.executable, "-m", "tests.verify.planted_grind", name, *again]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"{grind.COMMAND} --seed" in result.stdout


def test_what_a_bystander_is_cannot_change_unseen() -> None:
    world = World(SEED, ONE)
    bystanders = Bystanders(world)
    bystanders.compare()
    place = world.physical(bystanders.slab + 100)
    world.cpu.ram[place] ^= 1
    with pytest.raises(AssertionError, match="page 0 of the bystanders"):
        bystanders.compare()
    world.cpu.ram[place] ^= 1
    bystanders.runner.registers[COUNT] += 1
    with pytest.raises(AssertionError, match="running bystander"):
        bystanders.compare()
    bystanders.runner.registers[COUNT] -= 1
    waiter = next(each for each in bystanders.objects if each is not bystanders.runner)
    world.core.destroy(waiter)
    with pytest.raises(AssertionError, match="is gone"):
        bystanders.compare()


def test_a_failure_says_how_to_see_it_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("planted")

    monkeypatch.setattr(grind, "check", fail)
    status = grind.main(["--seed", "3", "--configuration", "process-full", "--calls", "50"])
    told = capsys.readouterr().out
    assert status == 1
    assert "planted" in told
    assert f"{grind.COMMAND} --seed 3 --configuration process-full --calls 50" in told


def test_a_world_that_is_created_again_is_ground_as_one_that_is_not() -> None:
    alone = grind_world(SEED, ONE, AGAIN_CALLS, Mode.REPEATABLE)
    again = grind_world(SEED, ONE, AGAIN_CALLS, Mode.AGAIN)
    assert (alone.calls, len(alone.digests)) == (again.calls, len(again.digests))
    assert len(again.digests) > 10
