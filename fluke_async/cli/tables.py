"""Tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import IO

from rich.console import Console
from rich.table import Table


def print_table(header: Sequence[str], rows: Iterable[Sequence[object]], file: IO[str] | None = None) -> None:
    """Print rows under a header, whole numbers with separators and flushed right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    lines = [list(row) for row in rows]
    for column, title in enumerate(header):
        numeric = bool(lines) and all(isinstance(line[column], int) for line in lines)
        table.add_column(title, justify="right" if numeric else "left", no_wrap=True)
    for line in lines:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in line))
    Console(file=file, highlight=False, markup=False).print(table)
