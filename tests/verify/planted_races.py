"""
Explores a kernel with a race planted in it: `python -m tests.verify.planted_races NAME`.

SHOWN_BY says where the race shows itself: in a small world or in one of the small programs, on how many harts, in which
configuration, and whether its interleavings are explored or drawn. Prints what is wrong, after how many interleavings,
and whether a plain run is wrong too, on one hart without any interruption. Exit status 1 if nothing is found. It has a
process of its own, because a race stays planted.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from fluke_async.execution.configuration import Configuration
from fluke_async.kernel.turns import Turns
from fluke_async.verify.explorer import UNLIMITED, Explored, explore
from fluke_async.verify.interleavings import Interleavings, named
from tests.verify import races, races_of_harts, races_of_steps
from tests.verify.explored_worlds import FULL, PARTIAL, WORLDS

SOURCES = (races, races_of_steps, races_of_harts)
RACES: dict[str, Callable[[], None]] = {each.__name__: each for source in SOURCES for each in source.MISTAKES}
PROCESS = Configuration("process", "partial")
DEPARTURES, SEEDS = 3, range(1, 40)
NOTHING = "nothing"


class Scene(NamedTuple):
    """Where a race shows itself."""

    name: str
    configuration: Configuration
    harts: int = 2
    is_drawn: bool = False


class Found(NamedTuple):
    """What is wrong with a plain run, and with an interleaving; empty: nothing."""

    plain: str
    explored: Explored


def find(race: Callable[[], None], scene: Scene) -> Found:
    """Plant a race and run a scene plainly, then in interleavings that depart little, or in drawn turns."""
    attempt: Callable[[Turns | None], str]
    world = WORLDS.get(scene.name)
    if world is None:
        program = named(scene.name, scene.harts)
        attempt = Interleavings(program, scene.configuration).wrong_under  # it has run plainly before the race is there
    else:
        attempt = partial(world.attempt, scene.configuration)
    race()
    plain = attempt(None)
    if not scene.is_drawn:
        return Found(
            plain, explore(attempt, scene.harts, DEPARTURES, length=UNLIMITED if world is None else world.length)
        )
    explored = Explored(is_complete=False)
    for seed in SEEDS:
        explored.schedules += 1
        turns = Turns(scene.harts, seed) if world is None else world.turns(scene.harts, seed)
        explored.failure = attempt(turns)
        if explored.failure:
            break
    return Found(plain, explored)


SHOWN_BY: dict[str, Scene] = {
    "mutex_found_free_before_a_point": Scene("two_count_under_a_mutex", FULL),
    "heir_of_a_mutex_found_before_a_point": Scene("a_mutex_is_handed_over", PARTIAL, 1),
    "mutex_found_locked_before_a_point": Scene("two_count_under_a_mutex", PROCESS),
    "mutex_unlocked_a_point_before_the_sleep": Scene("bounded_buffer", PROCESS),
    "no_server_found_before_a_point": Scene("two_clients_come_to_a_server", FULL),
    "no_client_found_before_a_point": Scene("pipeline", PROCESS, 4),
    "server_found_before_a_point": Scene("two_clients_come_to_a_server", FULL, 1),
    "waiter_of_a_signal_found_before_a_point": Scene("two_signals_for_two_sleepers", FULL),
    "waiters_of_a_broadcast_found_at_once": Scene("a_broadcast_and_a_signal", FULL),
    "stack_resumed_without_its_epochs": Scene("a_long_reply_is_interrupted", PROCESS),
    "client_of_a_reply_looked_up_once": Scene("a_long_reply_is_interrupted", PARTIAL),
    "pages_of_a_message_looked_up_once": Scene("a_region_is_protected_under_a_message", PARTIAL, 1),
    "receiver_moved_on_after_the_point": Scene("a_connection_beside_a_bystander", PARTIAL),
    "entries_taken_back_before_the_right": Scene("a_region_is_protected_under_stores", FULL),
    "place_in_line_lost_with_the_processor": Scene("a_broadcast_leaves_alone_who_waits_again", FULL),
    "interrupt_of_a_preempted_call_forgotten": Scene("a_long_request_is_interrupted", FULL),
    "stop_waits_for_the_next_trap": Scene("who_is_stopped_stands_still_and_goes_on", PARTIAL),
    "end_waits_for_the_next_trap": Scene("who_is_destroyed_does_nothing_more", PARTIAL, 1),
    "state_read_as_of_the_last_turn": Scene("who_is_stopped_stands_still_and_goes_on", PARTIAL, is_drawn=True),
    "reservation_kept_over_the_end_of_a_turn": Scene("nothing_is_reserved_for_two", PARTIAL),
    "floating_registers_left_at_the_end_of_a_turn": Scene("each_has_its_floating_registers", PARTIAL),
    "entries_taken_back_on_one_engine_alone": Scene("a_region_is_protected_under_stores_elsewhere", PARTIAL),
    "entries_taken_back_for_who_asked_alone": Scene("a_region_is_protected_under_stores", PARTIAL),
    "entries_taken_back_in_the_running_space_alone": Scene("a_mapping_is_taken_away_under_stores", PARTIAL, 1),
}


if __name__ == "__main__":
    found = find(RACES[sys.argv[1]], SHOWN_BY[sys.argv[1]])
    failure = found.explored.failure.strip()
    sys.stdout.write(
        f"{failure or NOTHING}\nafter {found.explored.schedules}\nplainly: {found.plain.strip() or NOTHING}\n"
    )
    sys.exit(0 if failure else 1)
