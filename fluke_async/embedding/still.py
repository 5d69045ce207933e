"""What was noted of a process while it stood still, and what an image says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from fluke_async.embedding.devices import CONSOLE
from fluke_async.embedding.outside import Outside
from fluke_async.image.manifest import Device, Manifest, OutsideObject, shown
from fluke_async.image.manifest import Mapping as MappedRange
from fluke_async.image.records import from_records

if TYPE_CHECKING:
    from fluke_async.embedding.process import Process


@dataclass(frozen=True, slots=True)
class Still:
    """What was noted of a process while it stood still."""

    outside: Outside
    clock_ns: int
    last_stamp: int
    budget: int | None
    console: Any  # the state of its console
    records: bytearray


def manifest_of(process: Process, still: Still) -> Manifest:
    """All of an image but its pages."""
    outside = still.outside
    records = from_records(bytes(still.records), outside.named)
    return Manifest(
        program=shown(process.name),
        arguments=tuple(map(shown, process.arguments)),
        clock_ns=still.clock_ns,
        last_stamp=still.last_stamp,
        budget=still.budget,
        memory_size=records.memory_size,
        mappings=tuple(MappedRange(*each) for each in outside.mappings),
        outside={name: OutsideObject(target.type.name.lower(), target.hash) for name, target in outside.named.items()},
        objects=records.objects,
        running=records.running,
        devices={"console": Device(CONSOLE.replace(":", "."), dict(still.console))},
        unsaved=(),
    )
