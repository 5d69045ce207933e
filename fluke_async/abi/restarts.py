"""
What a thread's registers say in the middle of each call: which call they name, what it waits for, and what has moved.

All of it follows from the table of system calls and from the steps of conversations; only of the calls that carry one
message is it written down here which registers tell how far that has come.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fluke_async.abi import registers as reg
from fluke_async.abi.conversation import CONVERSATIONS, Step
from fluke_async.abi.entry_point import Class, EntryPoint
from fluke_async.abi.entry_points import BY_NAME

_SENT = (
    *(reg.SEND_BUFFER, reg.SEND_WORDS, reg.SEND_BUFFER_TABLE, reg.SEND_BUFFER_COUNT),
    *(reg.SEND_REFERENCES, reg.SEND_REFERENCE_COUNT),
)
_RECEIVED = (
    *(reg.RECEIVE_BUFFER, reg.RECEIVE_WORDS, reg.RECEIVE_BUFFER_TABLE, reg.RECEIVE_BUFFER_COUNT),
    *(reg.RECEIVE_REFERENCES, reg.RECEIVE_REFERENCE_COUNT, reg.PROGRESS_WORDS),
)
_MOVED_IN_STEP = {Step.SEND: _SENT, Step.RECEIVE: _RECEIVED}
_MOVED: dict[str, tuple[int, ...]] = {
    "ipc_reply": (*_SENT[:4], reg.PROGRESS_WORDS),
    "ipc_reply_wait_receive": (*_SENT[:4], reg.PROGRESS_WORDS),
    "ipc_request_receive": (reg.PORT_ALIAS, reg.MESSAGE_KIND, *_RECEIVED),
    "cond_wait": (),
    "mutex_lock": (),
    "thread_schedule": (reg.A1,),
}
_BY_NAME = {call.name: call for call in CONVERSATIONS}
Table = list[str]


def moved_in(entry: EntryPoint) -> tuple[int, ...]:
    """The registers that tell how far a thread has come whose registers name this call."""
    if entry.goes_in_steps:
        results = {result.register for result in entry.results}
        return tuple(argument.register for argument in entry.arguments if argument.register in results)
    call = _BY_NAME.get(entry.name)
    if call is not None:
        return _MOVED_IN_STEP.get(call.steps[0], ())
    return _MOVED.get(entry.name, ())


def _names(registers: Iterable[int]) -> str:
    return ", ".join(f"`{reg.ABI_NAMES[register]}`" for register in registers)


def _stage(name: str) -> Sequence[str]:
    entry = BY_NAME[name]
    waits = " or ".join(f"a {type_.name.lower()}" for type_ in entry.waits_on)
    page = name.partition("_")[0]
    return f"[`{name}`]({page}.md#{name})", waits or "nothing", _names(moved_in(entry)) or "nothing"


def restart_lines(entry: EntryPoint) -> list[str]:
    """What of a call is left to do, as its registers say it wherever it is cut off: the lines of a page."""
    if entry.call_class is Class.TRIVIAL:
        return ["Restart: there is nothing in between; the call is done, or not begun.", ""]
    if entry.goes_in_steps:
        return [
            f"Restart: as itself, from where it has come to: {_names(moved_in(entry))} have moved on to what is left.",
            "",
        ]
    if entry.call_class is Class.SHORT:
        text = "Restart: as itself, with the registers that it was called with"
        if entry.has_points:
            return [f"{text}; what it has done by then stays done, and is not done again.", ""]
        return [f"{text}; cut off by a fault, it has changed nothing.", ""]
    return [
        "Restart: cut off, the thread is on the `ecall`, and its registers name one of these calls, for what is left:",
        "",
        "| call in `a7` | can wait for | registers that have moved on |",
        "|---|---|---|",
        *("| " + " | ".join(_stage(name)) + " |" for name in entry.restarts_as),
        "",
    ]
