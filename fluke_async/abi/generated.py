"""Files that are generated from the tables: write them, or say which are stale."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent


def stale(files: Mapping[Path, str]) -> list[Path]:
    """The files whose text on disk is not what the tables give."""
    return [path for path, text in files.items() if not path.is_file() or path.read_text("utf-8") != text]


def run_generator(files: Mapping[Path, str], arguments: Sequence[str]) -> int:
    """The command line of a generator; returns the exit status."""
    parser = argparse.ArgumentParser(description="Writes the files that are generated from the tables of the ABI.")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file is stale")
    check = parser.parse_args(arguments).check
    changed = stale(files)
    for path in changed:
        sys.stderr.write(f"{'stale' if check else 'wrote'}: {path.relative_to(REPOSITORY)}\n")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files[path], "utf-8")
    return 1 if check and changed else 0
