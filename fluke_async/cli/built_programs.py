"""`fluke list` and `fluke cc`: the programs there are, and new ones."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from fluke_async.cli.usage import UsageError, readable, writable
from fluke_async.errors import FlukeError


def list_programs() -> None:
    """List the built-in user programs, one line each."""
    from fluke_async import programs  # noqa: PLC0415  (start-up time)

    rows = programs.list_programs()
    width = max((len(name) for name, _ in rows), default=0)
    for name, description in rows:
        print(f"{name:<{width}}  {description}")


def compile_program(*sources: Path, output: Annotated[Path, Parameter(name=["-o", "--output"])]) -> int:
    """
    Compile C sources to a program for the kernel; needs the extra `sdk`.

    Args:
        sources: C files, which may include <fluke.h> and <ulib.h>.
        output: The ELF file to write.
    """
    if not sources:
        raise UsageError("'fluke cc' needs a source; give one or more C files")
    for source in sources:
        readable(source)
    writable("-o", output)
    from fluke_async import toolchain  # noqa: PLC0415  (start-up time)

    try:
        warnings = toolchain.compile_program(sources, output)
    except FlukeError as error:  # the compiler's own words, on lines of their own
        print(f"fluke: {error}", file=sys.stderr)
        return 1
    if warnings:
        print(warnings.rstrip(), file=sys.stderr)
    return 0
