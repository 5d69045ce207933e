"""What `fluke verify` prints of its checks: a line for each as it comes, or all as one JSON object."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Generic

from fluke_async.verify.report import C, Column


class CheckLines(Generic[C]):
    """A table that is printed line by line: program, configuration, a number for each of `columns`, how many of all."""

    def __init__(self, columns: Mapping[str, Column[C]], count: int) -> None:
        self._columns = columns
        self._count = count
        self._shown = 0
        self._print("program", "configuration", list(columns), "")

    def show(self, result: C) -> None:
        """Print the next line."""
        self._shown += 1
        numbers = [str(column(result)) for column in self._columns.values()]
        configuration = f"{result.model}-{result.preemption}"
        self._print(result.program, configuration, numbers, f"{self._shown} of {self._count}")

    def _print(self, program: str, configuration: str, cells: list[str], place: str) -> None:
        row = " ".join(cell.rjust(max(7, len(title))) for cell, title in zip(cells, self._columns, strict=True))
        print(f"{program:16} {configuration:18} {row}   {place}", flush=True)


def print_json(summary: Mapping[str, Any]) -> None:
    """Print a campaign as one JSON object."""
    import orjson  # noqa: PLC0415  (start-up time)

    sys.stdout.buffer.write(orjson.dumps(summary, option=orjson.OPT_APPEND_NEWLINE))
