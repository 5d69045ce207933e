"""Traces as files: one event a line, checked while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from fluke_async.cli.usage import CommandFailed, readable

EventFields = dict[str, Any]
"""An event as it stands in the file: `time`, `event`, `thread` (0: none) and the event's own fields."""


def read_trace(path: Path) -> Iterator[EventFields]:
    """
    The events of a trace, in order.

    Raises:
        UsageError: the file cannot be read.
        CommandFailed: it is not a trace, or is damaged.
    """
    readable(path)
    with path.open("rb") as file:
        number = 0
        for number, line in enumerate(file, 1):
            yield _event(path, number, line)
    if number == 0:
        raise CommandFailed(f"{path} is empty; write a trace with 'fluke run --trace {path} PROGRAM'")


def _event(path: Path, number: int, line: bytes) -> EventFields:
    try:
        fields = orjson.loads(line)
    except orjson.JSONDecodeError:
        fields = None
    if not _is_event(fields):
        raise CommandFailed(f"{path}, line {number}: not an event of a trace; the file is damaged or something else")
    event: EventFields = fields
    return event


def _is_event(fields: Any) -> bool:
    return (
        isinstance(fields, dict)
        and type(fields.get("time")) is int
        and type(fields.get("thread")) is int
        and type(fields.get("event")) is str
        and type(fields.get("entry", "")) is str
        and all(_is_value(value) for value in fields.values())
    )


def _is_value(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return all(type(item) is int for item in value)
    return type(value) in {bool, int, str}
