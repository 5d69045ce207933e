"""
Verifies a kernel with a mistake planted in it: `python -m tests.verify.planted NAME [full] [PROGRAM...]`.

With `full`, the kernel is preempted at every marked point, for which there is one model only; else both models are
tried, preempted between the chunks of messages and then nowhere. Prints the first divergence as one line; exit status
1 if there is none. It has a process of its own, because a mistake stays planted, and because verification forks.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from fluke_async.execution.configuration import configurations
from fluke_async.verify import branch, chain, check
from fluke_async.verify.campaign import differing_models
from fluke_async.verify.check import Check
from fluke_async.verify.programs import program
from tests.verify import (
    mistakes,
    mistakes_of_memory,
    mistakes_of_order,
    mistakes_of_others,
    mistakes_of_preemption,
    mistakes_of_strangers,
)

OF_STRANGERS = (mistakes_of_others, mistakes_of_strangers, mistakes_of_order)  # who had not read the check
SOURCES = (mistakes, mistakes_of_memory, mistakes_of_preemption, *OF_STRANGERS)
MISTAKES = {each.__name__: each for source in SOURCES for each in source.MISTAKES}
PROGRAMS = ("primes", "bounded_buffer", "bulk", "inversion", "philosophers", "clock", "pager", "usertests")
POINTS = 150
POINTS_WHERE_IT_SHOWS = 500  # of a program that is known to show a mistake: most of those there are in one case
HANGS_S = 3  # a thousand times what it takes from one point to the next
FULL = "full"

SHOWN_BY = {
    "stage_kept_in_a_local": "bounded_buffer",
    "order_of_waiters_not_exported": "primes",
    "time_slice_not_exported": "primes",
    "owner_not_exported": "primes",
    "lent_priority_exported": "inversion",
    "progress_kept_beside_the_thread": "bulk",
    "cut_off_call_not_exported": "usertests:cond_broadcast",
    "registration_of_a_working_server_not_exported": "primes",
    "client_of_a_working_server_not_exported": "primes",
    "saved_entry_point_taken_from_its_register": "usertests:interrupt_lock",
    "rounding_mode_not_exported": "usertests:state_registers",
    "pending_interrupt_not_loaded": "usertests:interrupt_lock",
    "priority_not_lent_by_a_loaded_mutex": "inversion",
    "lock_of_a_dead_owner_not_loaded": "usertests:mutex_owner_dead",
    "order_of_ready_threads_not_kept": "bounded_buffer",
    "waiter_looks_again_when_it_starts": "bounded_buffer",
    "device_not_asked_again": "clock",
    "connection_known_to_the_client_alone": "bulk",
    "request_finished_before_the_stop": "bulk",
    "answer_awaited_before_the_stop": "inversion",
    "decoding_charged": "bounded_buffer",
    "reply_committed_after_the_marked_point": "bulk",
    "mutex_looked_up_once": "usertests:mutex_destroy_waited_for",
    "wanted_page_not_exported": "memtest:32",
    "keeper_not_exported": "memtest:32",
    "asker_of_a_working_keeper_not_exported": "memtest:32",
    "keeper_of_a_space_not_exported": "usertests:space_keeper_asked",
    "mistake_asked_about_not_exported": "usertests:space_keeper_asked",
    "pages_taken_from_one_space_alone": "pager:8",
    "pages_of_a_chunk_committed_with_its_last": "bulk",
    "place_of_a_search_committed_with_its_last_page": "rpc_server:2,2",
    "reply_counted_beside_the_server": "bulk",
    "words_of_a_connection_counted_beside_the_receiver": "pipeline",
    "alias_set_with_the_last_chunk": "usertests:paged_call_into_server",
    "round_of_a_scan_kept_beside_the_thread": "usertests:changed_in_parts",
    "time_used_not_committed": "usertests:schedule_quantum",
    "owner_told_when_it_runs": "usertests:mutex_hand_over",
    "destination_kept_across_the_wait": "usertests:port_destroy_called",
    "request_for_time_not_exported": "fairshare",
    "server_of_a_connection_not_exported": "pipeline",
    "sender_of_a_connection_not_exported": "pipeline",
    "alerts_not_exported": "usertests:connection_alert_later",
    "floating_flags_not_exported": "usertests:state_registers",
    "order_at_a_condition_not_exported": "bounded_buffer",
    "place_of_a_broadcast_not_exported": "usertests:cond_broadcast",
    "fault_of_a_call_exported_as_the_programs": "usertests:paged_call",
    "inheritor_not_exported": "usertests:priority_inheritor",
    "server_entries_not_exported": "usertests:connection_entries",
    "request_for_time_taken_for_received": "fairshare",
    "notes_of_a_start_dropped": "usertests:schedule_after_wait",
    "wake_up_of_a_stopped_thread_put_off": "usertests:cond_signal_stopped",
    "first_donor_is_the_first_that_came": "usertests:schedule_two_donors",
    "reply_committed_before_it_is_copied": "usertests:paged_reply",
    "client_released_before_its_references_are_found": "usertests:paged_return",
    "arrival_committed_before_references": "usertests:paged_give",
    "one_way_message_counted_before_it_moves": "usertests:paged_send",
    "found_objects_written_last": "usertests:paged_search",
    "thread_stopped_before_its_state_has_room": "usertests:paged_running",
    "mutex_unlocked_before_the_condition_is_found": "usertests:paged_condition",
    "write_done_again_by_the_console": "hello",
}
"""A program that shows the mistake soon; without a name here, all are tried."""

OF_FULL = (  # whose steps are too long elsewhere for anybody to come in between
    *(each.__name__ for each in mistakes_of_preemption.MISTAKES),
    "round_of_a_scan_kept_beside_the_thread",
)
ALSO_FULL = (  # those in how messages move, which is in smaller pieces then; the others see the same points again
    "progress_kept_beside_the_thread",
    "request_finished_before_the_stop",
    "reply_committed_after_the_marked_point",
)


def command_for(name: str, *preemption: str) -> list[str]:
    """The command that plants a mistake in a kernel of its own, and looks for it where it shows soon."""
    return [sys.executable, "-m", "tests.verify.planted", name, *preemption, *filter(None, [SHOWN_BY.get(name)])]


def find(name: str, preemptions: Sequence[str], programs: Sequence[str]) -> str:
    """The first divergence that a mistake leads to; empty if it is not found."""
    MISTAKES[name]()
    if programs:
        return first_divergence(preemptions, programs, POINTS_WHERE_IT_SHOWS)
    return first_divergence(preemptions, PROGRAMS)


def first_divergence(preemptions: Sequence[str], programs: Sequence[str], points: int = POINTS) -> str:
    """What differs at some points of some programs, or between the models. A program may be NAME:ARGUMENT,..."""
    check.FAILURES_MAX = 1  # the first will do
    branch.BRANCH_S = chain.CHAIN_S = HANGS_S  # and what hangs has diverged
    for each in programs:
        title, _, arguments = each.partition(":")
        named = program(title, tuple(arguments.split(",")) if arguments else None)
        for preemption in preemptions:
            results = []
            for model, _ in configurations(None, preemption):
                results.append(Check(named, model, preemption, points=points, instructions=5).run())
                for failure in (*results[-1].divergences, *results[-1].stalls):
                    return f"{each}, {model}-{preemption}: {failure}"
            for difference in differing_models(results):
                return difference
    return ""


if __name__ == "__main__":
    mistake, *rest = sys.argv[1:]
    found = find(mistake, (FULL,), rest[1:]) if rest[:1] == [FULL] else find(mistake, ("partial", "none"), rest)
    sys.stdout.write(f"{found or 'not found'}\n")
    sys.exit(0 if found else 1)
