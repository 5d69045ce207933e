"""`fluke verify --image`: images of a process at many moments, each restored in another kernel, and compared."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fluke_async.verify_images import campaign
from fluke_async.verify_images.moments import Moment

if TYPE_CHECKING:
    from fluke_async.cli.verify import Selection
    from fluke_async.execution.configuration import Configuration
    from fluke_async.verify_images.check import ImageResult

IMAGE_POINTS = 10
_LINE = "{:16} {:18} {:>7} {:>8} {:>8} {:>9} {:>9}   {}"


def verify_images(
    programs: tuple[str, ...],
    configurations: Sequence[Configuration],
    selection: Selection,
    *,
    json: bool,
    report: Path | None,
) -> int:
    """Carry out what was selected, and show it; the exit status."""
    from fluke_async.cli.verify import POINTS  # noqa: PLC0415  (which imports this)

    points = IMAGE_POINTS if selection.points == POINTS else int(selection.points)
    is_whole = not programs and selection.point is None and selection.instant is None
    chosen = campaign.chosen_programs(programs, selection.cpus, selection.seed)
    tasks = campaign.tasks_for(chosen, configurations, points, _only(selection))
    if not json:
        print(_LINE.format("program", "configuration", "images", "restored", "went on", "in a row", "diverging", ""))
    begun, shown = time.monotonic(), itertools.count(1)
    results = campaign.run(tasks, None if json else lambda result: _show(result, next(shown), len(tasks)))
    summary = campaign.summary(results)
    if report is not None:
        report.write_text(campaign.page(results, summary, time.monotonic() - begun), "utf-8")
    if json:
        import orjson  # noqa: PLC0415  (start-up time)

        sys.stdout.buffer.write(orjson.dumps(summary, option=orjson.OPT_APPEND_NEWLINE))
    else:
        coverage = summary["coverage"]
        print(f"{summary['images']} images, {summary['restored']} restored; {summary['divergences']} divergences, "
              f"{len(summary['refused'])} refused; {coverage['hit']} of {coverage['rows']} rows in images")  # fmt: skip
        for failure in (*summary["failures"], *summary["refused"]):
            print(failure)
        for what in ("missed", "never_lasting", "never_came"):
            if is_whole:
                for row in coverage[what]:
                    print(f"{what.replace('_', ' ')}: {row}")
    return 1 if summary["divergences"] else 0


def _only(selection: Selection) -> Moment | None:
    if selection.point is not None:
        return Moment(selection.point, is_point=True)
    return None if selection.instant is None else Moment(selection.instant)


def _show(result: ImageResult, number: int, count: int) -> None:
    print(
        _LINE.format(
            result.program,
            f"{result.model}-{result.preemption}",
            result.images,
            result.restored,
            result.went_on,
            result.in_a_row,
            len(result.divergences),
            f"{number} of {count}",
        ),
        flush=True,
    )
