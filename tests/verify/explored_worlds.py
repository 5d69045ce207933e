"""
All small worlds and the numbers of their interleavings: `python -m tests.verify.explored_worlds` runs every one.

Prints one line for each world, configuration and number of harts; exit status 1 if anything is wrong, or a number is
another.
"""

from __future__ import annotations

import sys
from typing import NamedTuple

from fluke_async.execution.configuration import Configuration
from tests.verify import worlds_of_ends, worlds_of_harts, worlds_of_locks, worlds_of_memory, worlds_of_messages

PARTIAL, FULL = Configuration("interrupt", "partial"), Configuration("process", "full")
HARTS = (1, 2, 4)
SOURCES = (worlds_of_locks, worlds_of_messages, worlds_of_memory, worlds_of_ends, worlds_of_harts)
WORLDS = {world.name: world for source in SOURCES for world in source.WORLDS}


class Schedules(NamedTuple):
    """How many interleavings there are on 1, 2 and 4 harts, under partial and under full preemption."""

    partial: tuple[int, int, int]
    full: tuple[int, int, int]

    def of(self, configuration: Configuration, harts: int) -> int:
        return (self.partial if configuration == PARTIAL else self.full)[HARTS.index(harts)]


SCHEDULES = {
    "two_count_under_a_mutex": Schedules((26, 26, 26), (26, 26, 26)),
    "a_mutex_is_handed_over": Schedules((132, 45, 132), (132, 45, 132)),
    "who_unlocks_cannot_get_in_before_who_waits": Schedules((12, 12, 12), (12, 12, 12)),
    "a_sleeper_meets_its_signal": Schedules((30, 30, 30), (30, 30, 30)),
    "two_signals_for_two_sleepers": Schedules((630, 90, 630), (630, 90, 630)),
    "a_broadcast_and_a_signal": Schedules((945, 93, 945), (5088, 234, 5088)),
    "a_broadcast_leaves_alone_who_waits_again": Schedules((30, 12, 30), (126, 42, 126)),
    "two_clients_come_to_a_server": Schedules((34, 24, 34), (34, 24, 34)),
    "a_long_request_is_interrupted": Schedules((67, 36, 68), (102, 53, 103)),
    "a_long_reply_is_interrupted": Schedules((74, 34, 76), (118, 49, 121)),
    "a_connection_beside_a_bystander": Schedules((108, 66, 108), (135, 87, 135)),
    "a_region_is_protected_under_stores": Schedules((16, 16, 16), (16, 16, 16)),
    "a_region_is_protected_under_stores_elsewhere": Schedules((16, 16, 16), (16, 16, 16)),
    "a_mapping_is_taken_away_under_stores": Schedules((16, 16, 16), (16, 16, 16)),
    "a_region_is_protected_under_a_message": Schedules((10, 10, 10), (13, 13, 13)),
    "a_server_is_destroyed_in_a_call": Schedules((18, 18, 18), (27, 27, 27)),
    "a_client_is_destroyed_in_its_call": Schedules((171, 52, 171), (239, 76, 239)),
    "a_mutex_is_destroyed_under_its_waiters": Schedules((49, 18, 49), (49, 18, 49)),
    "a_port_is_destroyed_under_its_caller": Schedules((39, 21, 39), (39, 21, 39)),
    "a_waiter_is_read_out_and_loaded": Schedules((97, 37, 97), (97, 37, 97)),
    "a_client_is_read_out_and_loaded": Schedules((20, 20, 20), (27, 27, 27)),
    "a_server_is_read_out_and_loaded": Schedules((34, 34, 34), (74, 74, 74)),
    "two_read_out_and_load_the_same": Schedules((430, 114, 430), (430, 114, 430)),
    "a_sleeper_is_interrupted": Schedules((1715, 284, 1730), (1715, 284, 1730)),
    "two_want_a_page_that_is_away": Schedules((14, 14, 14), (14, 14, 14)),
    "who_is_stopped_stands_still_and_goes_on": Schedules((36, 36, 36), (36, 36, 36)),
    "who_is_destroyed_does_nothing_more": Schedules((8, 8, 8), (8, 8, 8)),
    "who_is_interrupted_goes_on": Schedules((93, 93, 93), (93, 93, 93)),
    "nothing_is_reserved_for_two": Schedules((330, 330, 330), (330, 330, 330)),
    "each_has_its_floating_registers": Schedules((70, 70, 70), (70, 70, 70)),
}


def main() -> int:
    """The command; returns its exit status."""
    failed = False
    for name, world in WORLDS.items():
        for configuration in (PARTIAL, FULL):
            for harts in HARTS:
                explored = world.explore(configuration, harts)
                expected = SCHEDULES[name].of(configuration, harts)
                is_right = not explored.failure and explored.schedules == expected
                failed |= not is_right
                result = explored.failure or f"{explored.schedules:,} schedules"
                sys.stdout.write(f"{name} {'-'.join(configuration)} {harts}: {result}{'' if is_right else ', WRONG'}\n")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
