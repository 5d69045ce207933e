"""The page that says what was verified, how thoroughly, where, and what was found."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from fluke_async.verify.check import Result


def page(results: Sequence[Result], summary: dict[str, Any], missed: Sequence[str], seconds: float) -> str:
    """A campaign as Markdown: its sum, a row for each program, what should have been passed, and every failure."""
    coverage = summary["coverage"]
    instruction_points = summary["points"] - summary["kernel_points"]
    lines = [
        "# Verification",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, in {seconds / 60:.1f} minutes, on {machine()}.",
        "",
        f"- {summary['kernel_points']:,} kernel points: everything read out as bytes, destroyed and created again.",
        f"- {summary['exact']:,} compared exactly, {summary['outcome']:,} also by the outcome, with all calls anew.",
        f"- {instruction_points:,} points between two instructions.",
        f"- {summary['divergences']:,} divergences, {summary['stalls']:,} stalls.",
        f"- {coverage['hit']:,} of {coverage['rows']:,} rows of the table of calls, in all configurations.",
        "",
        "| program | configurations | kernel points | between instructions | divergences | stalls |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(each.program for each in results):
        checks = [each for each in results if each.program == name]
        lines.append(
            f"| `{name}` | {len(checks)} | {sum(each.kernel_points for each in checks):,} "
            f"| {sum(each.instruction_points for each in checks):,} "
            f"| {sum(len(each.divergences) for each in checks)} | {sum(len(each.stalls) for each in checks)} |"
        )
    lines.append("")
    for title, found in (("Never passed", missed), ("Failures", summary["failures"])):
        if found:
            lines += [f"## {title}", "", *(f"- {each}" for each in found), ""]
    return "\n".join(lines)


def machine() -> str:
    """What the campaign ran on."""
    kind = f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} processors ({kind})"
