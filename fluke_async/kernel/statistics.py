"""What has happened in a kernel, counted."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Counters:
    """Live counts; the embedding shows a frozen copy."""

    system_calls: int = 0
    switches: int = 0
    quanta_ended: int = 0
    waits: int = 0
    completions: int = 0
    restarts: int = 0  # operations dispatched again from the registers
    resumes: int = 0  # kept stacks that were resumed
    stacks_dropped: int = 0  # kept stacks that had become stale
    preemptions: int = 0
    soft_faults: int = 0
    hard_faults: int = 0  # for which a keeper was asked
    exceptions: int = 0  # that stopped a thread
    exceptions_asked: int = 0  # for which a space's keeper was asked
    interrupts: int = 0
    device_requests: int = 0
    words_copied: int = 0
