"""The page that says what was verified, how thoroughly, where, and what was found; and the parts of such pages."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Protocol, TypeVar

from fluke_async.verify.check import Result


class Checked(Protocol):
    """What a check was of: a program in one configuration."""

    program: str
    model: str
    preemption: str
    harts: int
    seed: int


C = TypeVar("C", bound=Checked)
Column = Callable[[C], int]

COLUMNS: dict[str, Column[Result]] = {
    "kernel points": attrgetter("kernel_points"),
    "between instructions": attrgetter("instruction_points"),
    "divergences": lambda result: len(result.divergences),
    "stalls": lambda result: len(result.stalls),
}


def page(results: Sequence[Result], summary: dict[str, Any], missed: Sequence[str], seconds: float) -> str:
    """A campaign as Markdown: its sum, a row for each program, what should have been passed, and every failure."""
    coverage = summary["coverage"]
    instruction_points = summary["points"] - summary["kernel_points"]
    lines = [
        *heading("Verification", results, seconds),
        f"- {summary['kernel_points']:,} kernel points: everything read out as bytes, destroyed and created again.",
        f"- {summary['exact']:,} compared exactly, {summary['outcome']:,} also by the outcome, with all calls anew.",
        f"- {instruction_points:,} points between two instructions.",
        f"- {summary['divergences']:,} divergences, {summary['stalls']:,} stalls.",
        f"- {coverage['hit']:,} of {coverage['rows']:,} rows of the table of calls, in all configurations.",
        "",
        *table(results, COLUMNS),
        *sections({"Never passed": missed, "Failures": summary["failures"]}),
    ]
    return "\n".join(lines)


# -- Parts -------------------------------------------------------------------------------------------------------------


def heading(title: str, results: Sequence[Checked], seconds: float) -> list[str]:
    """The title, and when, where, and with which options of harts."""
    harts = dict.fromkeys(harts_of(each) for each in results)
    options = " and".join(f" with{each}" for each in harts if each)
    place = (
        f"{os.cpu_count()} processors ({platform.machine()}, {platform.system()}, Python {platform.python_version()})"
    )
    return [
        f"# {title}",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, in {seconds / 60:.1f} minutes, on {place}{options}.",
        "",
    ]


def table(results: Sequence[C], columns: Mapping[str, Column[C]]) -> list[str]:
    """A line for each program: in how many configurations it was checked, and the sum of each column over these."""
    lines = [f"| program | configurations | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for name in dict.fromkeys(each.program for each in results):
        checks = [each for each in results if each.program == name]
        cells = " | ".join(f"{sum(map(column, checks)):,}" for column in columns.values())
        lines.append(f"| `{name}` | {len(checks)} | {cells} |")
    return [*lines, ""]


def sections(found: Mapping[str, Iterable[str]]) -> list[str]:
    """A heading with a list for each that has anything."""
    lines: list[str] = []
    for title, texts in found.items():
        if texts:
            lines += [f"## {title}", "", *(f"- {each}" for each in texts), ""]
    return lines


def name_of(result: Checked) -> str:
    """A check in a few words."""
    return f"{result.program}, {result.model}-{result.preemption}"


def harts_of(result: Checked) -> str:
    """The options of `fluke verify` that say how many harts there are, and whose turn it is; nothing if usual."""
    given = (("--cpus", result.harts, 1), ("--seed", result.seed, 0))
    return "".join(f" {option} {value}" for option, value, usual in given if value != usual)


def options_of(result: Checked) -> str:
    """What of the command line makes the same check again."""
    return f"{result.program} --model {result.model} --preemption {result.preemption}{harts_of(result)}"
