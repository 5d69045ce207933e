"""
Explores a kernel with a race planted in it: `python -m tests.verify.planted_races NAME [SCENE]`.

A scene is a small world, or one of the small programs; SHOWN_BY says which shows the race, on how many harts and in
which configuration. Prints one line: what is wrong, and under which interleaving, behind what is wrong with a plain
run, on one hart without any interruption. Exit status 1 if nothing is found. It has a process of its own, because a
race stays planted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NamedTuple

from fluke_async.execution.configuration import Configuration
from fluke_async.verify.closed_run import Program
from fluke_async.verify.explorer import Explored, Schedule
from fluke_async.verify.interleavings import Interleavings, named, outcome
from tests.verify import races, races_of_harts, small_worlds, worlds_of_harts
from tests.verify.small_worlds import World

SOURCES = (races, races_of_harts)
RACES: dict[str, Callable[[], None]] = {each.__name__: each for source in SOURCES for each in source.MISTAKES}
WORLDS = {world.name: world for world in (*small_worlds.WORLDS, *worlds_of_harts.WORLDS)}
PARTIAL, PROCESS, FULL = (
    Configuration("interrupt", "partial"),
    Configuration("process", "partial"),
    Configuration("process", "full"),
)
DEPARTURES, SEEDS = 3, range(1, 40)


class Scene(NamedTuple):
    """Where a race shows itself: a world or a program, how many harts, and whether turns are explored or drawn."""

    name: str
    configuration: Configuration
    harts: int
    is_drawn: bool = False
    is_plain: bool = False  # whether a plain run shows it too


SHOWN_BY: dict[str, Scene] = {}


class Found(NamedTuple):
    """What is wrong with a plain run, and with an interleaving; empty: nothing."""

    plain: str
    explored: Explored
    seed: int = 0


def find(scene: Scene) -> Found:
    """Run a scene plainly, and then in all interleavings that depart little, or in drawn turns."""
    world = WORLDS.get(scene.name)
    return find_in_world(scene, world) if world is not None else find_in_program(scene, named(scene.name, scene.harts))


def find_in_world(scene: Scene, world: World) -> Found:
    configuration, harts = scene.configuration, scene.harts
    plain = world.attempt(configuration, None)
    if not scene.is_drawn:
        return Found(plain, world.explore(configuration, harts, DEPARTURES))
    explored = Explored(is_complete=False)
    for seed in SEEDS:
        explored.schedules += 1
        explored.failure = world.attempt(configuration, world.turns(harts, seed))
        if explored.failure:
            return Found(plain, explored, seed)
    return Found(plain, explored)
