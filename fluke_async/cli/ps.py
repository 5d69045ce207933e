"""`fluke ps`, `fluke suspend` and `fluke resume`: looking at a run from outside, and holding it."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from fluke_async.cli.control_client import ask

HEADER = ("thread", "condition", "priority", "call", "waits for", "restarts", "pc", "")
NUMERIC = {"thread", "restarts", "pc"}


def ps(socket: Path, /, *, json: Annotated[bool, Parameter(negative="")] = False) -> None:
    """
    Show the processes and threads of a run, and what each waits for; stops nothing.

    Args:
        socket: What was given to `fluke run --control SOCKET`.
        json: Print one JSON object, with statistics, instead of a table.
    """
    reply = ask(socket, "ps")
    if json:
        print(json_text.dumps(reply))
        return
    for process in reply["processes"]:
        count = len(process["threads"])
        print(f"process {process['number']}, {process['name']}: ", end="")
        print(f"{process['state']}, {count} thread{'' if count == 1 else 's'}")
        for line in table(HEADER, [thread_row(thread) for thread in process["threads"]]):
            print(f"    {line}")
    if not reply["processes"]:
        print("no processes")


def suspend(socket: Path, process: int | None = None, /) -> None:
    """
    Let no thread of a process run until `fluke resume`; the program cannot tell.

    Args:
        socket: What was given to `fluke run --control SOCKET`.
        process: The number that `fluke ps` shows; not needed where there is only one.
    """
    tell(socket, "suspend", process)


def resume(socket: Path, process: int | None = None, /) -> None:
    """
    Let a suspended process go on where it was.

    Args:
        socket: What was given to `fluke run --control SOCKET`.
        process: The number that `fluke ps` shows; not needed where there is only one.
    """
    tell(socket, "resume", process)


def tell(socket: Path, command: str, number: int | None) -> None:
    """Give a command about a process, and say what became of that."""
    process = ask(socket, command, process=number)["process"]
    print(f"process {process['number']}, {process['name']}: {process['state']}")


def thread_row(thread: dict[str, Any]) -> list[str]:
    """A thread in words, as the header has them."""
    base, now = thread["priority"], thread["effective_priority"]
    return [
        str(thread["hash"]),
        thread["condition"],
        str(base) if base == now else f"{base}, lent {now}",
        thread["call"] or "-",
        thread["waiting_for"] or "-",
        str(thread["restarts"]),
        f"{thread['pc']:#x}",
        thread["exception"] or "",
    ]


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Aligned lines, numbers flushed right."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    for line in lines:
        cells = [
            cell.rjust(width) if title in NUMERIC else cell.ljust(width)
            for title, cell, width in zip(header, line, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()
