"""The user programs that come with the library: their names, what each shows, their ELF files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fluke_async.errors import ProgramError

RECORD = "bin/SOURCES.json"


def userland_directory() -> Path:
    """Where `userland` is: inside the installed package, or beside the package in a source tree."""
    package = Path(__file__).resolve().parent
    for directory in (package / "userland", package.parent / "userland"):
        if (directory / "include").is_dir():
            return directory
    raise ProgramError(
        f"no 'userland' in {package} nor beside it: the installation is incomplete; install fluke_async again"
    )


def build_record() -> dict[str, Any]:
    """What `python -m fluke_async.toolchain --rebuild` noted about the built programs."""
    record: dict[str, Any] = json.loads((userland_directory() / RECORD).read_text("utf-8"))
    return record


def list_programs() -> list[tuple[str, str]]:
    """Name and one line of description of each program, by name; test programs are left out."""
    return [
        (name, entry["description"])
        for name, entry in build_record()["programs"].items()
        if entry["source"].startswith("programs/")
    ]


def find_program(name_or_path: str) -> bytes:
    """
    The ELF file of a built-in program, or of a path if no program has that name.

    A file that has the name of a program is reached as ./NAME. Raises ProgramError if there is neither.
    """
    if name_or_path in build_record()["programs"]:
        return (userland_directory() / f"bin/{name_or_path}.elf").read_bytes()
    try:
        return Path(name_or_path).read_bytes()
    except (OSError, ValueError) as error:
        names = ", ".join(name for name, _ in list_programs())
        reason = getattr(error, "strerror", None) or error
        raise ProgramError(
            f"{name_or_path!r} is no built-in program and cannot be read as a file ({reason}); "
            f"give the path of an RV64 ELF file or one of: {names}"
        ) from None
