"""`fluke verify`: everything exported, destroyed and created again, at every point of a program."""

from __future__ import annotations

import time
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from fluke_async.cli.usage import UsageError, at_least
from fluke_async.kernel.params import HARTS_MAX

if TYPE_CHECKING:
    from fluke_async.verify.check import Result
    from fluke_async.verify.report import Column

POINTS = "3500"  # of each check: all of most programs; every row of the coverage is among them
INSTRUCTION_POINTS = 20
_COLUMNS: dict[str, Column[Result]] = {
    "points": attrgetter("kernel_points"),
    "instr.": attrgetter("instruction_points"),
    "exact": attrgetter("exact"),
    "outcome": attrgetter("outcome"),
    "diverging": lambda result: len(result.divergences),
    "stalls": lambda result: len(result.stalls),
}


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Selection:
    """What is verified."""

    all: Annotated[bool, Parameter(negative="")] = False
    """Every program of the table, which is also what no PROGRAM at all means."""
    model: Literal["interrupt", "process"] | None = None
    """One execution model; the default is both."""
    preemption: Literal["none", "partial", "full"] | None = None
    """One kind of preemption; the default is all. There is no full one in the interrupt model."""
    points: str = POINTS
    """How many kernel points are taken of each program in each configuration: all, or so many."""
    point: int | None = None
    """One single point, by its number."""
    instant: int | None = None
    """One single instant, between two instructions."""
    instructions: int = INSTRUCTION_POINTS
    """How many boundaries between two instructions are taken of each program in each configuration, evenly spread."""
    all_points_at_once: Annotated[bool, Parameter(negative="")] = False
    """Create everything again at every kernel point, one after the other, without a rest in between."""
    image: Annotated[bool, Parameter(negative="")] = False
    """Take images of the process at so many moments (10, unless --points says otherwise), and in the middle of all that
    its threads were seen to be in the middle of; restore each in another kernel, and compare. With --instant, at one
    count of the process's own; with --point, at one point."""
    cpus: int = 1
    """Number of harts: so many threads run at a time."""
    seed: int = 0
    """Draws the turns of the harts, and ends time slices early: each seed is another interleaving; 0 draws nothing.
    With --image only where there are several harts."""


def verify(
    *programs: str,
    selection: Selection | None = None,
    json: Annotated[bool, Parameter(negative="")] = False,
    report: Path | None = None,
) -> int:
    """
    Interrupt, export, destroy and re-create everything at every point of a program, and compare.

    Exit status 1 if anything differs, stalls, or, with all programs, if a row of the table is never passed.

    Args:
        programs: Names from `fluke list`, or paths of ELF files.
        selection: What is verified.
        json: Print one JSON object.
        report: Write a page on what was verified and found.
    """
    from fluke_async.cli.check_lines import CheckLines, print_json  # noqa: PLC0415  (start-up time)
    from fluke_async.execution.configuration import configurations  # noqa: PLC0415  (start-up time)
    from fluke_async.verify import campaign  # noqa: PLC0415  (start-up time)
    from fluke_async.verify.programs import programs as programs_named  # noqa: PLC0415

    selection = selection or Selection()
    _check(selection, programs)
    chosen = configurations(selection.model, selection.preemption)
    if not chosen:
        raise UsageError(f"--preemption {selection.preemption} needs --model process")
    points = _points(selection)
    if selection.image:
        from fluke_async.cli.verify_images import verify_images  # noqa: PLC0415  (start-up time)

        return verify_images(programs, chosen, selection, json=json, report=report)
    at_once = selection.all_points_at_once
    is_alone = selection.point is not None or selection.instant is not None
    is_whole = not programs and selection.points in ("all", POINTS) and not is_alone
    tasks = [
        campaign.Task(
            program,
            model,
            preemption,
            None if at_once else points,
            0 if at_once else selection.instructions,
            selection.point,
            selection.instant,
            at_once,
        )
        for program in programs_named(programs, selection.cpus, selection.seed)
        for model, preemption in chosen
    ]
    begun = time.monotonic()
    results = campaign.run(tasks, None if json else CheckLines(_COLUMNS, len(tasks)).show)
    summary = campaign.summary(results)
    missed = summary["coverage"]["missed"] if is_whole else []
    if report is not None:
        from fluke_async.verify.report import page  # noqa: PLC0415  (start-up time)

        report.write_text(page(results, summary, missed, time.monotonic() - begun), "utf-8")
    if json:
        print_json(summary)
    else:
        coverage = summary["coverage"]
        print(f"{summary['kernel_points']} kernel points, {summary['exact']} compared exactly, "
              f"{summary['outcome']} also by their outcome; {summary['divergences']} divergences, "
              f"{summary['stalls']} stalls; {coverage['hit']} of {coverage['rows']} rows of the table")  # fmt: skip
        for failure in summary["failures"]:
            print(failure)
        for row in missed:
            print(f"never passed: {row}")
    return 1 if summary["divergences"] or summary["stalls"] or missed else 0


def _check(selection: Selection, programs: tuple[str, ...]) -> None:
    """See that what was given goes together."""
    at_least(1, "--cpus", selection.cpus)
    if selection.cpus > HARTS_MAX:
        raise UsageError(f"--cpus {selection.cpus} is too many; give {HARTS_MAX} or fewer")
    at_least(0, "--seed", selection.seed)
    if selection.image and selection.seed and selection.cpus == 1:
        raise UsageError(f"--image --seed {selection.seed} draws the turns of several harts; give --cpus 2, or more")
    one_of = (
        {
            "--all": selection.all,
            programs[0] if programs else "": bool(programs),
        },
        {
            "--point": selection.point is not None,
            "--instant": selection.instant is not None,
            "--all-points-at-once": selection.all_points_at_once,
        },
        {"--image": selection.image, "--all-points-at-once": selection.all_points_at_once},
        {"--image": selection.image, "--points all": selection.points == "all"},
    )
    for alternatives in one_of:
        given = [name for name, is_given in alternatives.items() if is_given]
        if len(given) > 1:
            raise UsageError(f"{given[0]} and {given[1]} exclude each other; give one of them")


def _points(selection: Selection) -> int | None:
    if selection.points == "all":
        return None
    if not selection.points.isdecimal():
        raise UsageError(f"--points {selection.points} is no number; give one, or all")
    at_least(1, "--points", int(selection.points))
    return int(selection.points)
