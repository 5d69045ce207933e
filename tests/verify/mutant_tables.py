"""The tables of the mutation run: by which tests each module is tried, and what is known of mutants that live."""

from __future__ import annotations

TESTS: dict[str, tuple[str, ...]] = {
    module: tuple(names.split())
    for module, names in {
        "reliable": """
            ends_of_turns reliable taken_from_a_client server_entries before_anything_moves alerts
            recreated_connections message_tables connections_named_midway
        """,
        "ipc": """
            parked_by_a_state before_anything_moves taken_from_a_client ipc ipc_mistakes ipc_references
            server_entries paid_work keepers_in_calls in_call interrupt away_created_again rings_of_calls
            loaded_faults ipc_ends
        """,
        "connection": """
            parked_by_a_state taken_from_a_client server_entries ipc ends_of_turns keepers_in_calls
            space_keeper_ends recreated_connections rings_of_calls loaded_faults ipc_ends
            connections_named_midway
        """,
        "message": """
            message_limits before_anything_moves ipc_references ipc_mistakes ipc ends_of_turns paid_work
            keepers_in_calls torn_transfers scattered_messages message_tables
        """,
        "buffers": """
            message_limits ipc_mistakes ipc ends_of_turns keepers_in_calls scattered_messages message_tables
            torn_transfers
        """,
        "links": """
            ends_of_turns moves taken_from_a_client parked_by_a_state reliable dormant_created_again alerts
            thread_state recreated_connections connections_named_midway ipc_ends
        """,
        "scheduler": """
            core equal_stamps packing mutex paid_work schedule_requests ends_of_turns cond thread_schedule
            priority in_call interrupt asking_threads thread_state possible_states priority_ends
            space_keeper_ends cond_changes loaded_again loaded_faults execution/models execution/probe
        """,
        "scheduling": "schedule_requests paid_work thread_schedule server_entries random_schedules",
        "donation": "schedule_requests paid_work thread_schedule random_schedules",
        "recreation": """
            asking_threads recreated_connections thread_schedule loaded_faults first_law_of_exceptions first_law
        """,
        "questions": "fault_states asking_threads space_keeper_ends keeper_kinds keeper_ends keepers space_keepers",
        "asking": "server_entries space_keeper_ends keeper_ends keepers space_keepers",
        "objects.thread_state": """
            parked_by_a_state loaded_again equal_stamps possible_states thread_state in_call asking_threads
            space_keeper_ends cond_changes thread_schedule recreated_connections loaded_faults
            away_created_again first_law
        """,
        "objects.mutex": "mutex equal_stamps priority priority_ends",
        "objects.cond": "cond equal_stamps paid_work cond_changes priority priority_ends",
        "objects.thread": """
            packing core thread_calls thread_state in_call recreated_connections priority_ends
            taken_from_a_client space_keeper_ends alerts pulled_away rings_of_calls ipc_ends execution/models
        """,
        "region_scan": "paid_work scans_cut_off region_changed region_search region_consumers",
        "hold": "changed_since holds_beside hold held_memory",
        "slab": "changed_since holds_beside hold copy_on_write fault_around region_search held_memory",
        "revocation": "revoked_ranges parked_by_a_state tables mapping translation memory_pulled_away",
    }.items()
}
"""The modules that are changed, and by which files of tests each is tried, the quickest first; see `file_of`."""

HARMLESS = {
    ("message", "other comparison: moved <= 0"): "to copy no words does nothing",
    ("buffers", "other comparison: here > 0"): "a piece of no words is nowhere, and nothing of it moves",
    (
        "revocation",
        "other constant: 0 in first, last = (max(start - region.start, 0), min(end - re...",
    ): "the same page",
    (
        "objects.thread",
        "removed: self.stack.close()",
    ): "nobody else knows the coroutine, which closes as it is forgotten",
    (
        "objects.thread",
        "removed: self.scheduler.scheduled = self.scheduler.scheduled or None",
    ): "an empty table will do",
    (
        "scheduler",
        "removed: thread.stack.close()",
    ): "nobody else knows the coroutine, which closes as it is forgotten",
}
"""What no trial can notice, by module and change, and why."""

SURVIVORS: dict[tuple[str, str], str] = {}
"""What could be noticed, and is not; by module and change, and why not."""


def file_of(name: str) -> str:
    """Where a file of tests is: `mutex` is the kernel's, `execution/models` another package's."""
    package, _, stem = name.rpartition("/")
    return f"tests/{package or 'kernel'}/test_{stem}.py"
