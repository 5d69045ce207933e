"""What was noted of a process while it stood still, and what an image says of that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fluke_async.embedding.outside import Outside
from fluke_async.image.manifest import Device, Manifest, OutsideObject, shown
from fluke_async.image.manifest import Mapping as MappedRange
from fluke_async.image.records import from_records


@dataclass(frozen=True, slots=True)
class Still:
    """Of one process; `records` come from the manager, some of them only when it goes on."""

    outside: Outside
    clock_ns: int
    last_stamp: int
    budget: int | None
    devices: Mapping[str, Device]
    records: bytearray
    unsaved: tuple[str, ...] = ()

    def manifest(self, name: str, arguments: tuple[str, ...]) -> Manifest:
        """All of that as an image's manifest has it, when the records are there."""
        outside = self.outside
        named = {key: OutsideObject(target.type.name.lower(), target.hash) for key, target in outside.named.items()}
        records = from_records(memoryview(self.records), tuple(named))
        return Manifest(
            program=shown(name),
            arguments=tuple(map(shown, arguments)),
            clock_ns=self.clock_ns,
            last_stamp=self.last_stamp,
            budget=self.budget,
            memory_size=records.memory_size,
            mappings=tuple(MappedRange(*each) for each in outside.mappings),
            outside=named,
            objects=records.objects,
            running=records.running,
            devices=dict(self.devices),
            unsaved=self.unsaved,
        )
