"""Images in the file system: written whole or not at all, read with bounds."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path

from fluke_async.image.refusal import refusal


def write_whole(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """
    Write a file so that at any moment, also after a crash, it is the old one or the new one.

    Raises:
        ImageError: it cannot be written; nothing has changed.
    """
    folder = path.parent
    draft = folder / f".fluke-{secrets.token_hex(8)}"
    try:
        try:
            with draft.open("xb") as file:
                for piece in pieces:
                    file.write(piece)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        except BaseException:
            draft.unlink(missing_ok=True)
            raise
        _sync_folder(folder)
    except OSError as error:
        raise refusal(f"cannot write {path} ({error.strerror or error})") from None


def _sync_folder(folder: Path) -> None:
    """Let the folder know the new name after a crash too; not every system can open folders."""
    if hasattr(os, "O_DIRECTORY"):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_whole(path: Path, most_bytes: int) -> bytes:
    """
    Read a file of at most so many bytes.

    Raises:
        ImageError: it cannot be read, is no regular file, or is larger.
    """
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise refusal("this is no file that an image could be in")
        if found.st_size > most_bytes:
            raise refusal(f"the file has {found.st_size} bytes, and may have {most_bytes}: allow more, if it is yours")
        with path.open("rb") as file:
            return file.read(most_bytes + 1)
    except (OSError, ValueError) as error:
        raise refusal(f"it cannot be read ({getattr(error, 'strerror', None) or error})") from None
