"""
The events of a kernel's trace, each with the names of its fields.

An event is a tuple `(time, event, thread hash, *fields)` handed to the core's `trace`, if it has one. Events marked
`model` exist in one execution model only; without them the two models' traces are equal.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any


class Event(Enum):
    """Name, the fields that follow the thread, and whether only one execution model has it."""

    SPAWN = ("spawn", ("process", "program"))
    EXIT = ("exit", ("process", "reason", "status"))
    SUSPEND = ("suspend_process", ("process",))
    RESUME = ("resume_process", ("process",))
    TRAP = ("trap", ("entry", "pc", "arguments"))
    FINISH = ("finish", ("entry", "status"))
    COMPLETE = ("complete", ("entry", "status"))
    STAGE = ("stage", ("entry",))
    WAIT = ("wait", ("entry", "on", "object", "order"))
    WAKE = ("wake", ("entry",))
    ADVANCE = ("advance", ("entry",))
    CHUNK = ("chunk", ("words",))
    FAULT = ("fault", ("page", "access"))
    ASK = ("ask", ("address", "access", "region", "port"))
    RESOLVED = ("resolved", ("address", "reply"))
    ASK_EXCEPTION = ("ask_exception", ("code", "subcode", "port"))
    ANSWERED = ("answered", ("code", "verdict"))
    EXCEPTION = ("exception", ("code", "subcode", "pc", "handled"))
    INTERRUPT = ("interrupt", ("pc",))
    SWITCH = ("switch", ())
    QUANTUM = ("quantum", ())
    PREEMPT = ("preempt", ())
    STOP = ("stop", ("target",))
    START = ("start", ("target",))
    CREATE = ("create", ("type", "object", "address"))
    DESTROY = ("destroy", ("type", "object"))
    REQUEST = ("request", ("port", "words"))
    REPLY = ("reply", ("port", "words"))
    INPUT = ("input", ("source", "data"))
    JUMP = ("jump", ("to",))
    CONTINUATION_SAVED = ("continuation_saved", ("entry",), True)
    RESTARTED = ("restarted", ("entry",), True)
    STACK_KEPT = ("stack_kept", ("entry",), True)
    RESUMED = ("resumed", ("entry",), True)
    STACK_DROPPED = ("stack_dropped", ("entry",), True)

    def __init__(self, label: str, fields: tuple[str, ...], model: bool = False) -> None:
        self.label = label
        self.fields = fields
        self.model = model


Trace = Callable[[tuple[Any, ...]], None]
