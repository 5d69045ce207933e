"""Every mistake that is planted in the kernel is found."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tidy import ROOT
from tests.verify import mistakes_of_preemption
from tests.verify.planted import FULL, MISTAKES, OF_STRANGERS, SOURCES

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


@pytest.mark.parametrize("name", [name for name in MISTAKES if name not in OF_FULL])
def test_the_mistake_is_found(name: str) -> None:
    check_found(name)


@pytest.mark.parametrize("name", [*OF_FULL, *ALSO_FULL])
def test_the_mistake_is_found_under_full_preemption(name: str) -> None:
    assert "process-full" in check_found(name, FULL)


def check_found(name: str, *preemption: str) -> str:
    """Plant a mistake in a kernel; what shows it."""
    command = [sys.executable, "-m", "tests.verify.planted", name, *preemption, *filter(None, [SHOWN_BY.get(name)])]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "point" in result.stdout
    return result.stdout


def test_there_are_enough_and_half_of_them_are_of_strangers() -> None:
    assert len(MISTAKES) >= 44
    assert len(MISTAKES) == sum(len(source.MISTAKES) for source in SOURCES), "two have the same name"
    assert sum(len(source.MISTAKES) for source in OF_STRANGERS) >= len(MISTAKES) / 2
