"""`fluke image`: what an image says, whether it is one, and what differs between two."""

from __future__ import annotations

import json as json_text
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from fluke_async.cli.usage import CommandFailed, UsageError, readable
from fluke_async.errors import ImageError

if TYPE_CHECKING:
    from fluke_async.image.difference import Change, Difference
    from fluke_async.image.image import Image

Json = Annotated[bool, Parameter(negative="")]
Parents = Annotated[tuple[Path, ...], Parameter(name="--parent", negative="")]
HEADER = ("thread", "condition", "priority", "call", "waits for", "pc", "exception")
CHANGES_SHOWN = 20
PAGES_SHOWN = 8


def show(*images: Path, parent: Parents = (), memory: str = "128M", json: Json = False) -> None:
    """
    Show what images say: threads and what each was in, objects, pages, what lies outside.

    Args:
        images: Files that `Image.save` has written.
        parent: An image that these may build on, if it is not beside them; may be given several times.
        memory: Refuse files with more bytes of pages than this, as 64K, 64M, 1G.
        json: Print one JSON object a line for each image.
    """
    from fluke_async.image.description import description  # noqa: PLC0415  (start-up time)

    for number, (path, image) in enumerate(load_all(images, parent, memory)):
        said = description(image)
        if json:
            print(json_text.dumps({"file": str(path), **said}))
        else:
            print("\n" * bool(number) + "\n".join(description_lines(str(path), said)))


def verify(*images: Path, parent: Parents = (), memory: str = "128M") -> None:
    """
    Check that images could be restored; the exit status is 1 at the first that could not.

    Args:
        images: Files that `Image.save` has written.
        parent: An image that these may build on, if it is not beside them; may be given several times.
        memory: Refuse files with more bytes of pages than this, as 64K, 64M, 1G.
    """
    for path, image in load_all(images, parent, memory):
        pages, objects = len(image.offsets()), len(image.manifest.objects)
        print(f"{line(path)}: image {image.identity}, {objects:,} objects, {pages:,} pages: sound")


def diff(first: Path, second: Path, /, *, parent: Parents = (), memory: str = "128M", json: Json = False) -> int:
    """
    Show what differs between two images; the exit status is 1 if anything does.

    Args:
        first: A file that `Image.save` has written.
        second: Another one.
        parent: An image that these may build on, if it is not beside them; may be given several times.
        memory: Refuse files with more bytes of pages than this, as 64K, 64M, 1G.
        json: Print one JSON object.
    """
    from fluke_async.image.difference import difference, plain_difference  # noqa: PLC0415  (start-up time)

    (_, one), (_, other) = load_all((first, second), parent, memory)
    found = difference(one, other)
    if json:
        print(json_text.dumps(plain_difference(found)))
    else:
        print("\n".join(difference_lines(found)) or "no difference")
    return 1 if found else 0


def load_all(paths: Sequence[Path], parents: Sequence[Path], memory: str) -> Iterator[tuple[Path, Image]]:
    """Load images one after the other; those that were loaded before are known as parents."""
    from fluke_async.embedding.options import memory_size  # noqa: PLC0415  (start-up time)
    from fluke_async.image.image import Image  # noqa: PLC0415  (start-up time)

    if not paths:
        raise UsageError("'fluke image' needs an image; give one or more files")
    for path in (*parents, *paths):
        readable(path)
    size = memory_size(memory)
    known: list[Image] = []
    for number, path in enumerate((*parents, *paths)):
        try:
            image = Image.load(path, known, pages_max_bytes=size)
        except ImageError as error:
            raise CommandFailed(str(error)) from None
        known.append(image)
        if number >= len(parents):
            yield path, image


def line(value: object) -> str:
    """A text of a stranger's, on one line."""
    return "".join(each if each.isprintable() else "?" for each in str(value))


def description_lines(path: str, said: dict[str, Any]) -> Iterator[str]:
    """An image for people."""
    from fluke_async.cli.ps import table  # noqa: PLC0415  (start-up time)

    yield f"{line(path)}: image {said['identity']}"
    yield f"program    {line(' '.join((said['program'], *said['arguments'])))}"
    yield f"clock      {said['clock_ns']:,} ns"
    yield f"budget     {'none' if said['budget'] is None else format(said['budget'], ',')}"
    if said["parent"] is not None:
        yield f"builds on  {said['parent']}, {said['builds_on']} in all"
    counts = [f"{kind} {count:,}" for kind, count in said["objects"].items()]
    yield f"objects    {', '.join(counts) or 'none'}"
    pages = said["pages"]
    parts = [f"{pages['all']:,} other than zero", f"{pages['stored']:,} stored", f"{pages['shared']:,} like another"]
    if said["parent"] is not None:
        parts.append(f"{pages['inherited']:,} of those that it builds on")
    parts.append(f"{pages['zero']:,} zero")
    yield f"pages      {', '.join(parts)}"
    yield f"outside    {line(', '.join(said['outside'])) or 'nothing'}"
    for name, device in said["devices"].items():
        numbers = [f"{key} {value:,}" for key, value in device["state"].items() if type(value) is int]
        yield f"device     {line(name)}: {line(', '.join((device['device'], *numbers)))}"
    for text in said["unsaved"]:
        yield f"not saved  {line(text)}"
    for row in table(HEADER, [thread_row(each) for each in said["threads"]]):
        yield f"    {row}"


def thread_row(thread: dict[str, Any]) -> list[str]:
    """A thread in words, as the header has them."""
    return [
        str(thread["hash"]),
        thread["condition"],
        str(thread["priority"]),
        thread["call"] or "-",
        thread["waits_for"] or "-",
        f"{thread['pc']:#x}",
        thread["exception"] or "",
    ]


def difference_lines(found: Difference) -> Iterator[str]:
    """What differs, for people: first and second value of each, with an arrow between."""
    for change in found.whole:
        yield line(change_text(change))
    for records, where in ((found.only_first, "first"), (found.only_second, "second")):
        for each in records:
            yield f"{each.type} at {each.offset:#x}: in the {where} only"
    for (kind, offset), changes in found.changed.items():
        shown = ", ".join(map(change_text, changes[:CHANGES_SHOWN]))
        more = f", and {len(changes) - CHANGES_SHOWN} more" if len(changes) > CHANGES_SHOWN else ""
        yield line(f"{kind} at {offset:#x}: {shown}{more}")
    if found.pages:
        shown = ", ".join(f"{offset:#x}" for offset in found.pages[:PAGES_SHOWN])
        more = ", ..." if len(found.pages) > PAGES_SHOWN else ""
        yield f"{len(found.pages):,} page{'' if len(found.pages) == 1 else 's'}: {shown}{more}"


def change_text(change: Change) -> str:
    """A value that is another."""
    name, one, other = change
    return f"{name} {value_text(one)} -> {value_text(other)}"


def value_text(value: object) -> str:
    """A value in few characters."""
    text = f"{value:#x}" if isinstance(value, int) and value >= 1 << 12 else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
