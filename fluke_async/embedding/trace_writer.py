"""
The trace as text: events are tuples in a ring until a breath, then structlog renders them.

Nothing is formatted on the hot path. Rendering names the fields from the event's declaration and the arguments of a
system call from the table of entry points; the lines hold no host time and no host address, so the same run gives the
same bytes.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from fluke_async.abi.entry_points import BY_NAME
from fluke_async.errors import FlukeError
from fluke_async.kernel.trace import Event


class TraceWriter:
    """Takes events and writes them as JSON lines to a file, or to a logger that the application injects."""

    def __init__(self, path: str | Path | None, logger: Any | None) -> None:
        self._ring: deque[tuple[Any, ...]] = deque()
        self._file: TextIO | None = None
        if path is not None and logger is not None:
            raise FlukeError("trace and logger were both given: choose one of them")
        if logger is not None and not hasattr(logger, "info"):
            raise FlukeError(f"logger {logger!r} has no method `info`: give a structlog logger")
        if path is not None:
            import structlog  # noqa: PLC0415  # slow to import, and most kernels write no trace

            try:
                self._file = Path(path).open("w", encoding="utf-8", newline="\n")  # noqa: SIM115  # closed in `close`
            except (OSError, TypeError, ValueError) as error:
                raise FlukeError(f"trace file {str(path)!r} cannot be written: {error}") from error
            logger = structlog.wrap_logger(
                structlog.WriteLogger(self._file),
                processors=[structlog.processors.JSONRenderer(serializer=_to_json)],
                wrapper_class=structlog.BoundLogger,
                context_class=dict,
                cache_logger_on_first_use=True,
            )
        assert logger is not None
        self._info: Callable[..., object] = logger.info
        self.take: Callable[[tuple[Any, ...]], None] = self._ring.append

    def drain(self) -> None:
        """Write what has come."""
        ring = self._ring
        while ring:
            time, event, thread, *values = ring.popleft()
            self._info(event.label, **render(time, event, thread, values))

    def close(self) -> None:
        """Write the rest and close the file, if it is ours."""
        self.drain()
        if self._file is not None:
            self._file.close()


def render(time: int, event: Event, thread: int, values: list[Any]) -> dict[str, Any]:
    """The fields of an event by name."""
    fields: dict[str, Any] = {"time": time, "thread": thread}
    for name, value in zip(event.fields, values, strict=True):
        fields[name] = list(value) if isinstance(value, tuple) else value
    if event is Event.TRAP:
        operands = BY_NAME[fields["entry"]].arguments
        fields["arguments"] = {
            operand.name: value for operand, value in zip(operands, fields["arguments"], strict=True)
        }
    if event.model:
        fields["model"] = True
    return fields


def _to_json(fields: dict[str, Any], **_: Any) -> str:
    ordered = {"time": fields.pop("time"), "event": fields.pop("event"), **fields}
    return json.dumps(ordered, separators=(",", ":"))
