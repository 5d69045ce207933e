"""
Plants every mistake, and says on a page what found it: `python -m tests.verify.planted_page FILE`.

The section is added to the page's end, as Markdown. Exit status 1 if a mistake is not found.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.tidy import ROOT
from tests.verify.planted import FULL, MISTAKES, OF_FULL, OF_STRANGERS, command_for
from tests.verify.planted_races import NOTHING, RACES, SHOWN_BY


class Planted(NamedTuple):
    """A mistake, what is wrong with it, and what showed it; empty if nothing did."""

    name: str
    what: str
    found: str


def plant(name: str) -> Planted:
    """Plant one, in a kernel in a process of its own."""
    preemption = (FULL,) if name in OF_FULL else ()
    result = subprocess.run(command_for(name, *preemption), cwd=ROOT, capture_output=True, text=True, check=False)
    found = result.stdout.strip().splitlines()[0] if result.returncode == 0 else ""
    return Planted(name, _what(MISTAKES[name]), found)


def _what(mistake: Callable[[], None]) -> str:
    """The first paragraph of what is said of a mistake."""
    return " ".join((mistake.__doc__ or "").split("\n\n")[0].split())


def plant_all() -> tuple[list[Planted], list[Planted]]:
    """Plant every mistake, and every race, on all processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(plant, MISTAKES)), list(pool.map(plant_race, RACES))


def plant_race(name: str) -> Planted:
    """Plant a race, likewise, where it shows itself."""
    command = [sys.executable, "-m", "tests.verify.planted_races", name]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    name_of_scene, configuration, harts, is_drawn = SHOWN_BY[name]
    _, _, after = result.stdout.rpartition("\nafter ")
    is_race = result.returncode == 0 and after.rstrip().endswith(f"plainly: {NOTHING}")  # else order has no part in it
    how = f"{'turn drawn' if is_drawn else 'schedule'} number {after.splitlines()[0]}" if is_race else ""
    where = f"{name_of_scene}, {'-'.join(configuration)}, {harts} harts"
    return Planted(name, _what(RACES[name]), f"{where}: {how}" if how else "")


def section(planted: list[Planted]) -> Iterator[str]:
    """The lines of the page."""
    missed = [each.name for each in planted if not each.found]
    strangers = sum(len(source.MISTAKES) for source in OF_STRANGERS)
    yield "## Planted mistakes"
    yield ""
    yield (
        f"{len(planted)} mistakes were planted in the kernel one after the other, {strangers} of them by somebody who "
        f"had not read the check; {len(planted) - len(missed)} were found. What is shown is the first thing found."
    )
    yield from _table(planted)


def section_of_races(races: list[Planted]) -> Iterator[str]:
    """Likewise for races."""
    found = sum(bool(each.found) for each in races)
    yield "## Planted races"
    yield ""
    yield (
        f"{len(races)} races were planted, by somebody who had not read the check; {found} were found by interleavings "
        "of small worlds and small programs, and none by a plain run of the same."
    )
    yield from _table(races)


def _table(planted: list[Planted]) -> Iterator[str]:
    yield ""
    yield "| mistake | what is wrong | found in | at |"
    yield "|---|---|---|---|"
    for each in planted:
        where, _, rest = each.found.partition(": ")
        point, parenthesis, _ = rest.partition("), ")
        cells = f"`{each.name}`", each.what, where or "NOT FOUND", point + parenthesis[:1]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def main(path: Path) -> int:
    """Add the section to a page; the exit status."""
    planted, races = plant_all()
    with path.open("a", encoding="utf-8") as page:
        page.write("\n" + "\n".join((*section(planted), *section_of_races(races))) + "\n")
    found = sum(bool(each.found) for each in (*planted, *races))
    sys.stdout.write(f"{found} of {len(planted) + len(races)} planted mistakes were found\n")
    return 0 if found == len(planted) + len(races) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
