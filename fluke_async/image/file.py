"""
Images in the file system: written whole or not at all, read with bounds.

A file is written under another name beside it, a *draft*, which is locked by whoever writes it. One whose writer was
killed is locked by nobody: the next writer of the same file removes it.
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO
from zlib import crc32

from fluke_async.image.refusal import refusal

try:
    import fcntl
except ModuleNotFoundError:  # then drafts of killed writers stay
    fcntl = None  # type: ignore[assignment]


def write_whole(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """
    Write a file so that at any moment, also after a crash, it is the old one or the new one.

    Raises:
        ImageError: it cannot be written, or what is there is no file; nothing has changed.
    """
    try:
        if path.exists() and not path.is_file():
            raise refusal(f"cannot write {path}: what is there is no file")
        _remove_abandoned(path)
        with _draft(path) as file:
            for piece in pieces:
                file.write(piece)
            file.flush()
            os.fsync(file.fileno())
            if fcntl is None:
                file.close()  # for systems where an open file keeps its name
            Path(file.name).replace(path)  # while it is locked
        _sync_folder(path.parent)
    except OSError as error:
        raise refusal(f"cannot write {path} ({error.strerror or error})") from None


def _prefix(path: Path) -> str:
    """How the names of a file's drafts begin; its own name may be as long as a name can be."""
    return f".fluke-{crc32(os.fsencode(path.name)):08x}-"


@contextmanager
def _draft(path: Path) -> Iterator[BinaryIO]:
    """A new file beside `path`, locked; removed if something goes wrong."""
    while True:
        place = path.parent / (_prefix(path) + secrets.token_hex(8))
        with place.open("xb") as file:
            try:
                _lock(file)
                if not place.exists():
                    continue  # another writer has found it before it was locked
                yield file
            except BaseException:
                place.unlink(missing_ok=True)
                raise
            return


def _lock(file: BinaryIO) -> None:
    if fcntl is not None:
        with suppress(OSError):  # not every file system has locks: there, others cannot lock the draft either
            fcntl.flock(file, fcntl.LOCK_EX)


def _remove_abandoned(path: Path) -> None:
    """Remove drafts whose writers are gone."""
    if fcntl is None:
        return
    for place in path.parent.glob(_prefix(path) + "*"):
        with suppress(OSError), place.open("rb") as file:  # one that is written, or was finished meanwhile
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            place.unlink()


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
