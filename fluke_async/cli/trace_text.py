"""Events of a trace in words: one aligned line each, arguments by name."""

from __future__ import annotations

from typing import Any

from fluke_async.abi.codes import ExceptionCode, Prot, Status
from fluke_async.abi.entry_point import Kind
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.cli.trace_file import EventFields

HEXADECIMAL = {"pc", "address", "page"}
NUMBERS = {Kind.VALUE, Kind.WORDS, Kind.COUNT}
MANY_ARGUMENTS = 6  # of a call with more, those that are zero are left out
WORDS_MAX = 6  # of a message, the rest is counted
TEXT_MAX = 60  # of the bytes of an input
CALL_ENDS = {"finish", "complete"}


def describe(event: EventFields) -> str:
    """One line: virtual time, thread, event, and what it tells."""
    thread = f"thread {event['thread']}" if event["thread"] else ""
    details = " ".join(_details(event))
    mark = " (this model only)" if event.get("model") else ""
    return f"{event['time']:>12,}  {thread:<10}  {event['event']:<18}  {details}{mark}".rstrip()


def _details(event: EventFields) -> list[str]:
    words = []
    for name, value in event.items():
        if name in {"time", "event", "thread", "model", "arguments"}:
            continue
        if name == "entry":
            words.append(_call(value, event.get("arguments")))
        else:
            words.append(f"{name}={_value(event['event'], name, value)}")
    return words


def _call(entry: str, arguments: dict[str, int] | None) -> str:
    """The call as it would be written in C."""
    if arguments is None:
        return entry
    operands = BY_NAME[entry].arguments if entry in BY_NAME else ()
    numbers = {operand.name for operand in operands if operand.kind in NUMBERS}
    shown = [
        f"{name}={value if name in numbers else hex(value)}"
        for name, value in arguments.items()
        if value or len(arguments) <= MANY_ARGUMENTS
    ]
    return f"{entry}({', '.join(shown)})"


def _value(event: str, name: str, value: Any) -> str:
    if isinstance(value, list):
        rest = f" and {len(value) - WORDS_MAX} more" if len(value) > WORDS_MAX else ""
        return "[" + " ".join(f"{word:#x}" for word in value[:WORDS_MAX]) + rest + "]"
    if type(value) is not int:
        text = str(value)
        return text if len(text) <= TEXT_MAX else f"{text[:TEXT_MAX]}..."
    if name in HEXADECIMAL:
        return hex(value)
    if name == "access":
        return (Prot(value).name or "none").lower()
    if name == "status" and event in CALL_ENDS:
        return _name_of(Status, value)
    if name == "code":
        return _name_of(ExceptionCode, value)
    return str(value)


def _name_of(kind: type[Status | ExceptionCode], value: int) -> str:
    try:
        return kind(value).name.lower()
    except ValueError:  # of a newer version
        return str(value)
