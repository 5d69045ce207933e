"""Every mistake that is planted in the kernel is found."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.tidy import ROOT
from tests.verify.planted import MISTAKES

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
    "pages_taken_from_one_space_alone": "pager:8",
}
"""A program that shows the mistake soon; without a name here, all are tried."""


@pytest.mark.parametrize("name", MISTAKES)
def test_the_mistake_is_found(name: str) -> None:
    command = [sys.executable, "-m", "tests.verify.planted", name, *filter(None, [SHOWN_BY.get(name)])]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "point" in result.stdout


def test_there_are_twelve_and_half_of_them_are_of_others() -> None:
    from tests.verify import mistakes, mistakes_of_memory, mistakes_of_others  # noqa: PLC0415

    assert len(MISTAKES) >= 12
    assert len(mistakes_of_others.MISTAKES) >= len(mistakes.MISTAKES) + len(mistakes_of_memory.MISTAKES)
