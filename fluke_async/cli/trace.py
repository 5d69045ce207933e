"""`fluke trace`: what a trace tells, summed up or line by line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from fluke_async.cli.trace_file import EventFields, read_trace
from fluke_async.cli.usage import UsageError, at_least

CALL_ENDS = {"finish", "complete", "exception"}


@dataclass(slots=True)
class Calls:
    """The calls of one entry point: how many, how many of them ended, and the time these took."""

    count: int = 0
    ended: int = 0
    time: int = 0

    @property
    def mean_time(self) -> int | str:
        return round(self.time / self.ended) if self.ended else "-"


@dataclass(slots=True)
class Summary:
    """What happened, counted; times are virtual, in nanoseconds."""

    end_time: int = 0
    events: Counter[str] = field(default_factory=Counter)
    calls: dict[str, Calls] = field(default_factory=dict)


def sum_up(events: Iterable[EventFields]) -> Summary:
    """
    Count events and calls.

    A call begins with its trap and ends when it is finished by its thread, completed by another, or
    cut short by an exception. It counts under the name that it began with.
    """
    summary = Summary()
    open_calls: dict[int, tuple[Calls, int]] = {}
    for event in events:
        name, time, thread = event["event"], event["time"], event["thread"]
        summary.end_time = time
        summary.events[name] += 1
        if name == "trap":
            calls = summary.calls.setdefault(str(event.get("entry")), Calls())
            calls.count += 1
            open_calls[thread] = (calls, time)
        elif name in CALL_ENDS and thread in open_calls:
            calls, begun = open_calls.pop(thread)
            calls.ended += 1
            calls.time += time - begun
    return summary


def summary(file: Path, /) -> None:
    """
    Count the events of a trace, and the calls of each entry point.

    Args:
        file: A trace that `fluke run --trace FILE` has written.
    """
    from fluke_async.cli.tables import print_table  # noqa: PLC0415  (start-up time)

    found = sum_up(read_trace(file))
    print(f"{found.events.total():,} events in {found.end_time:,} ns of virtual time: ", end="")
    print(f"{found.events['switch']:,} switches, ", end="")
    print(f"{found.events['restarted']:,} calls restarted, ", end="")
    print(f"{found.events['resumed']:,} stacks resumed\n")
    print_table(("event", "count"), found.events.most_common())
    if found.calls:
        print()
        rows = sorted(found.calls.items(), key=lambda row: (-row[1].count, row[0]))
        print_table(
            ("system call", "calls", "ended", "mean ns"),
            [(name, calls.count, calls.ended, calls.mean_time) for name, calls in rows],
        )


def show(file: Path, /, *, thread: int | None = None, event: str | None = None, limit: int | None = None) -> None:
    """
    Print the events of a trace, one a line.

    Args:
        file: A trace that `fluke run --trace FILE` has written.
        thread: Only events of this thread.
        event: Only events of this name.
        limit: At most so many lines.
    """
    from fluke_async.cli.trace_text import describe  # noqa: PLC0415  (start-up time)
    from fluke_async.kernel.trace import Event  # noqa: PLC0415  (start-up time)

    at_least(1, "--limit", limit)
    names = [known.label for known in Event]
    if event is not None and event not in names:
        raise UsageError(f"--event {event}: there is no such event; use one of {', '.join(names)}")
    chosen = (
        fields
        for fields in read_trace(file)
        if (thread is None or fields["thread"] == thread) and (event is None or fields["event"] == event)
    )
    for fields in islice(chosen, limit):
        print(describe(fields))
