"""What differs between two images: in what is said of the whole, in objects by their offsets, in pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from msgspec import to_builtins

from fluke_async.image.image import Image
from fluke_async.image.manifest import Manifest, ObjectRecord
from fluke_async.image.pages import ZERO_DIGEST

WHOLE = (
    *("program", "arguments", "clock_ns", "budget", "memory_size", "mappings"),
    *("outside", "running", "devices", "unsaved"),
)
"""The fields of a manifest that are compared as a whole; the parent is no part of what a process is."""

Change = tuple[str, object, object]
"""The name of a value, and what it is in the one image and in the other."""


@dataclass(slots=True)
class Difference:
    """
    What two images do not have in common; images are alike if all is empty.

    `changed` has the changed words and links of each object that both have, by its type and offset; `pages` the offsets
    of pages with other contents.
    """

    whole: list[Change] = field(default_factory=list)
    only_first: list[ObjectRecord] = field(default_factory=list)
    only_second: list[ObjectRecord] = field(default_factory=list)
    changed: dict[tuple[str, int], list[Change]] = field(default_factory=dict)
    pages: list[int] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any((self.whole, self.only_first, self.only_second, self.changed, self.pages))


def difference(first: Image, second: Image) -> Difference:
    """Compare two images, whatever they build on."""
    found = Difference(whole=list(_whole(first.manifest, second.manifest)))
    ours = {(each.type, each.offset): each for each in first.manifest.objects}
    others = {(each.type, each.offset): each for each in second.manifest.objects}
    found.only_first = [each for key, each in ours.items() if key not in others]
    found.only_second = [each for key, each in others.items() if key not in ours]
    for key in ours.keys() & others.keys():
        changes = [*_words(ours[key], others[key]), *_changes(ours[key].links, others[key].links)]
        if changes:
            found.changed[key] = changes
    found.changed = dict(sorted(found.changed.items(), key=lambda item: item[0][1]))
    ours_pages, other_pages = first.digests(), second.digests()
    found.pages = sorted(
        offset
        for offset in ours_pages.keys() | other_pages.keys()
        if ours_pages.get(offset, ZERO_DIGEST) != other_pages.get(offset, ZERO_DIGEST)
    )
    return found


def _whole(first: Manifest, second: Manifest) -> Iterator[Change]:
    for name in WHOLE:
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            yield name, one, other


def _words(first: ObjectRecord, second: ObjectRecord) -> Iterator[Change]:
    """Each word by its name, those of several with their number: x10."""
    for name, one, other in _changes(first.state, second.state):
        if isinstance(one, tuple) and isinstance(other, tuple):
            for number, (each, its) in enumerate(zip(one, other, strict=True)):
                if each != its:
                    yield f"{name}{number}", each, its
        else:
            yield name, one, other


def _changes(first: Mapping[str, object], second: Mapping[str, object]) -> Iterator[Change]:
    for name, one in first.items():
        if one != second[name]:
            yield name, one, second[name]


def plain_difference(found: Difference) -> dict[str, Any]:
    """A difference as plain values."""
    return {
        "whole": {name: [to_builtins(one), to_builtins(other)] for name, one, other in found.whole},
        "only_first": [{"type": each.type, "offset": each.offset} for each in found.only_first],
        "only_second": [{"type": each.type, "offset": each.offset} for each in found.only_second],
        "changed": [
            {"type": kind, "offset": offset, "values": {name: [one, other] for name, one, other in changes}}
            for (kind, offset), changes in found.changed.items()
        ],
        "pages": found.pages,
    }
