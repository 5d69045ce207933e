"""`fluke bench`: tables of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fluke_async.cli.usage import writable


def syscalls(*, json: Annotated[Path | None, Parameter(name="--json")] = None) -> None:
    """
    Count the system calls by their classes, and time a call of each.

    Args:
        json: Write the table to this file, too, with all entry points.
    """
    if json is not None:
        writable("--json", json)
    from fluke_async.bench.syscalls import report, time_calls  # noqa: PLC0415  (start-up time)
    from fluke_async.cli.tables import print_table  # noqa: PLC0415  (start-up time)

    table = report(time_calls())
    print_table(
        ("class", "calls", "share", "us of one", "recalled", "such as"),
        [
            (
                row["class"],
                row["count"],
                f"{row['percent']} %",
                f"{row['us']:.1f} ({row['us_min']:.1f} to {row['us_max']:.1f})",
                f"{row['recalled_count']} ({row['recalled_percent']} %)",
                row["examples"][0],
            )
            for row in table["rows"]
        ],
    )
    print("Recalled are the counts of the OSDI '99 paper, from memory.")
    if json is not None:
        import orjson  # noqa: PLC0415  (start-up time)

        json.write_bytes(orjson.dumps(table, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


def operations() -> int:
    """Measure operations, memory, start-up and the event loop's lag; exit status 1 if a median is above its bound."""
    from fluke_async.bench.__main__ import measure  # noqa: PLC0415  (start-up time)

    return measure()
