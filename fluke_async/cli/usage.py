"""The ways in which a command can go wrong, and the checks of values that several commands share."""

from __future__ import annotations

from pathlib import Path


class UsageError(Exception):
    """The command line asks for what cannot be: one line with the value and the remedy."""


class CommandFailed(Exception):
    """The command line is right, but what it asks for cannot be done: one line that says why."""


def at_least(least: int, option: str, value: int | None) -> None:
    """Refuse numbers below `least`."""
    if value is not None and value < least:
        raise UsageError(f"{option} {value} is too small; give {least} or more")


def readable(path: Path) -> None:
    """Refuse a file that cannot be opened for reading."""
    try:
        path.open("rb").close()
    except OSError as error:
        raise UsageError(f"cannot read {path} ({error.strerror}); give a file to read") from None


def writable(option: str, path: Path) -> None:
    """Refuse a file that cannot be opened for writing; leave everything as it was."""
    existed = path.exists()
    try:
        path.open("ab").close()
        if not existed:
            path.unlink()
    except OSError as error:
        raise UsageError(
            f"{option} {path} cannot be written ({error.strerror}); give a file in a folder of yours"
        ) from None
