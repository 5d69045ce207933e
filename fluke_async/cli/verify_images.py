"""`fluke verify --image`: images of a process at many moments, each restored in another kernel, and compared."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fluke_async.cli.check_lines import CheckLines, print_json
from fluke_async.verify_images import campaign
from fluke_async.verify_images.moments import Moment

if TYPE_CHECKING:
    from fluke_async.cli.verify import Selection
    from fluke_async.execution.configuration import Configuration

IMAGE_POINTS = 10


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
    begun = time.monotonic()
    results = campaign.run(tasks, None if json else CheckLines(campaign.COLUMNS, len(tasks)).show)
    summary = campaign.summary(results)
    if report is not None:
        report.write_text(campaign.page(results, summary, time.monotonic() - begun), "utf-8")
    if json:
        print_json(summary)
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
