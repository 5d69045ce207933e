"""A campaign of images: many checks side by side, what they found together, and the page that says so."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import Any

from fluke_async.execution.configuration import Configuration
from fluke_async.verify.campaign import side_by_side
from fluke_async.verify.closed_run import Program
from fluke_async.verify.programs import program, programs
from fluke_async.verify.report import Column, heading, name_of, options_of, sections, table
from fluke_async.verify_images.check import IN_A_ROW, ImageFailure, ImageResult, ImageTask, carry_out
from fluke_async.verify_images.moments import Moment
from fluke_async.verify_images.rows import rows
from fluke_async.verify_images.stores import PROGRAMS

MANAGER_ARGUMENTS = ("-c", "7", "-m", "4096", "bounded_buffer", "3", "2", "12", "3")
COLUMNS: dict[str, Column[ImageResult]] = {
    "images": attrgetter("images"),
    "restored": attrgetter("restored"),
    "went on": attrgetter("went_on"),
    "in a row": attrgetter("in_a_row"),
    "divergences": lambda result: len(result.divergences),
}
NOT_CARRIED = (
    (
        "the kernel's next hash: an object that is made later has the number that the kernel chooses then, and it has "
        "chosen others for the manager; what `ref_hash` comes to is left out of the comparison"
    ),
    "what a service has: the store of `manager` is given to the restored process as it was at that moment",
    (
        "turns of several harts: they follow from the kernel's clock, which the manager moves; with --cpus, the output "
        "of programs that are indifferent to time is compared, and of the others how they end"
    ),
)
"""What a process can see that its image does not have, and what is done about it."""


def chosen_programs(names: tuple[str, ...], harts: int, seed: int) -> list[Program]:
    """The programs named, by default all of the table and those that need a store."""
    special = [name for name in PROGRAMS if name in names or not names]
    usual = tuple(name for name in names if name not in PROGRAMS)
    found = programs(usual, harts, seed) if usual or not names else []
    found = [each for each in found if each.name not in PROGRAMS]
    return [*found, *(program(name, MANAGER_ARGUMENTS, harts, seed) for name in special)]


def tasks_for(
    chosen: Sequence[Program], configurations: Sequence[Configuration], points: int, only: Moment | None
) -> list[ImageTask]:
    """Each program in each configuration; in each of these, other rows are to be seen."""
    return [
        ImageTask(each, model, preemption, points, phase, len(configurations), only)
        for each in chosen
        for phase, (model, preemption) in enumerate(configurations)
    ]


def run(tasks: Sequence[ImageTask], on_result: Callable[[ImageResult], None] | None = None) -> list[ImageResult]:
    """Carry out checks on all processors; `on_result` sees each as it comes."""
    return side_by_side(carry_out, tasks, on_result)


def summary(results: Sequence[ImageResult]) -> dict[str, Any]:
    """The whole as one JSON object."""
    found: dict[str, list[dict[str, Any]]] = {}
    for each in results:
        found.setdefault(each.program, []).append(
            {
                "model": each.model,
                "preemption": each.preemption,
                "images": each.images,
                "restored": each.restored,
                "went_on": each.went_on,
                "in_a_row": each.in_a_row,
                "exact": each.is_exact,
                "refused": len(each.refused),
                "divergences": len(each.divergences),
            }
        )
    wanted = list(rows())
    covered, lasting, passed = (
        set().union(*(getattr(each, what) for each in results)) for what in ("covered", "lasting", "passed")
    )
    fleeting = passed - lasting - covered
    totals = {
        name: sum(getattr(each, name) for each in results) for name in ("images", "restored", "went_on", "in_a_row")
    }
    return {
        "programs": found,
        **totals,
        "divergences": sum(len(each.divergences) for each in results),
        "refused": [f"{name_of(each)}: {failure}" for each in results for failure in each.refused],
        "coverage": {
            "rows": len(wanted),
            "hit": sum(row in covered for row in wanted),
            "missed": [row for row in wanted if row in lasting - covered],
            "never_lasting": [row for row in wanted if row in fleeting],
            "never_came": [row for row in wanted if row not in covered | lasting | passed],
        },
        "not_carried": list(NOT_CARRIED),
        "failures": [
            f"{name_of(each)}: {failure}\n  {replay(each, failure)}" for each in results for failure in each.divergences
        ],
    }  # fmt: skip


def replay(result: ImageResult, failure: ImageFailure) -> str:
    """The command that shows a failure again."""
    command = f"fluke verify --image {options_of(result)}"
    if failure.form.startswith(IN_A_ROW):
        return command
    return f"{command} {'--point' if failure.moment.is_point else '--instant'} {failure.moment.number}"


def page(results: Sequence[ImageResult], found: dict[str, Any], seconds: float) -> str:
    """A campaign as Markdown."""
    coverage = found["coverage"]
    lines = [
        *heading("Images", results, seconds),
        "At each moment a process was written down by the kernel's manager, the image put into a file and read back",
        "with all checks, and restored in a fresh kernel. Output from there on, exit, and every system call with its",
        "status and its nanosecond of the process's own time were compared with the undisturbed run.",
        "",
        "Some moments are counts, evenly spread. The others are points at which the undisturbed run was seen to be in",
        "the middle of something: a thread had come to wait, or to a marked point of its call, or back from a call,",
        "and a row of what a thread can be in the middle of was true of some thread. For each row that point was taken",
        "which is in the middle of the longest time that it lasted; the image itself has to show the row.",
        "",
        f"- {found['images']:,} images, {found['restored']:,} of them restored and run to the end.",
        f"- {found['went_on']:,} times the process itself went on and was compared too; {found['in_a_row']:,} images",
        "  were taken one after the other in the same runs, each building on the one before.",
        f"- {found['divergences']:,} divergences; {len(found['refused']):,} times there was no image.",
        f"- {coverage['hit']:,} of {coverage['rows']:,} rows of what a thread can be in the middle of were in images;",
        f"  {len(coverage['missed']):,} lasted and were in none, {len(coverage['never_lasting']):,} never lasted, and",
        f"  {len(coverage['never_came']):,} never came.",
        "",
        *table(results, COLUMNS),
        *sections(
            {
                "What an image does not carry": found["not_carried"],
                "No image was made": found["refused"],
                "It lasted, and is in no image": _quoted(coverage["missed"]),
                "It never lasted: what began it ended it, before anybody went on": _quoted(coverage["never_lasting"]),
                "It never came": _quoted(coverage["never_came"]),
                "Divergences": found["failures"],
            }
        ),
    ]
    return "\n".join(lines)


def _quoted(rows: Sequence[str]) -> list[str]:
    return [f"`{row}`" for row in rows]
