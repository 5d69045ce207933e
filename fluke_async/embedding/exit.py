"""How a process ended."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from fluke_async.embedding.snapshot import describe_exception, describe_wait
from fluke_async.kernel.objects.thread import Thread

Reason = Literal["exited", "killed", "budget", "exception", "deadlock"]


@dataclass(frozen=True, slots=True)
class Exit:
    """
    The end of a process.

    `status` is what the program gave to exit, else 1; `message` says in one line why it ended, if not by exit.
    """

    reason: Reason
    status: int
    message: str = ""


def stuck_exit(threads: Iterable[Thread]) -> Exit:
    """The end of a process of which no thread can go on by itself: the first exception, else who waits for what."""
    in_order = sorted(threads, key=lambda thread: thread.hash)
    for thread in in_order:
        if thread.exception is not None:
            return Exit("exception", 1, describe_exception(thread))
    waits = "; ".join(describe_wait(thread) for thread in in_order)
    return Exit("deadlock", 1, f"no thread can go on: {waits or 'there is none'}")
