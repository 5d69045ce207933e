"""How a process ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
