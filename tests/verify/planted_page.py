"""
Plants every mistake, and says on a page what found it: `python -m tests.verify.planted_page FILE`.

The section is added to the page's end, as Markdown. Exit status 1 if a mistake is not found.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from tests.tidy import ROOT
from tests.verify.planted import FULL, MISTAKES, OF_FULL, OF_STRANGERS, command_for


class Planted(NamedTuple):
    """A mistake, what is wrong with it, and what showed it; empty if nothing did."""

    name: str
    what: str
    found: str


def plant(name: str) -> Planted:
    """Plant one, in a kernel in a process of its own."""
    preemption = (FULL,) if name in OF_FULL else ()
    result = subprocess.run(command_for(name, *preemption), cwd=ROOT, capture_output=True, text=True, check=False)
    what = " ".join((MISTAKES[name].__doc__ or "").split("\n\n")[0].split())
    found = result.stdout.strip().splitlines()[0] if result.returncode == 0 else ""
    return Planted(name, what, found)


def plant_all() -> list[Planted]:
    """Plant every mistake, on all processors."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(plant, MISTAKES))


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
    planted = plant_all()
    with path.open("a", encoding="utf-8") as page:
        page.write("\n" + "\n".join(section(planted)))
    found = sum(bool(each.found) for each in planted)
    sys.stdout.write(f"{found} of {len(planted)} planted mistakes were found\n")
    return 0 if found == len(planted) else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
