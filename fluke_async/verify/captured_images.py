"""
Images of programs that run: a closed run is stopped, read out by the host, and becomes an image.

The host's procedure is that of `kernel/recreation.py`, and what waits outside is forgotten as `userland/include/
checkpoint.h` says; so these are images as a program in user mode would make them, at any moment of any program.
"""

from __future__ import annotations

from fluke_async.abi.codes import FAULT_IN_CALL, PAGE_SIZE, ObjectType, ThreadFlags
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.image import Image
from fluke_async.image.kinds import BY_NUMBER
from fluke_async.image.manifest import Manifest, Mapping, ObjectRecord, OutsideObject, Target, Words
from fluke_async.kernel.recreation import Record, capture, closed_set
from fluke_async.verify.closed_run import ClosedRun

STOPPED = int(ThreadFlags.STOPPED)


class _Places:
    """Where the run's objects are in terms of an image: at offsets in the program's memory, or outside by name."""

    def __init__(self, run: ClosedRun) -> None:
        loaded = run.loaded
        self.end = loaded.slab.end
        self.frames = {frame: page - loaded.slab.start for page, frame in run.core.root.frames()}
        self.outside = loaded.outside.named
        self.names = {each.address: name for name, each in self.outside.items()}

    def offset(self, address: int) -> int:
        """Where an object is, in the slab: from `end` on it is the parent's."""
        return self.frames[address & -PAGE_SIZE] + address % PAGE_SIZE

    def target(self, address: int | None) -> Target:
        """What a link leads to."""
        return None if address is None else self.names.get(address, self.offset(address))


def captured_image(run: ClosedRun, parent: Image | None = None) -> Image:
    """The image of a run between two steps. Its threads are stopped by that: the run is over."""
    places = _Places(run)
    records = [each for each in capture(run.core, closed_set(run.core)) if places.offset(each.address) < places.end]
    records.sort(key=lambda each: places.offset(each.address))
    threads = [each for each in records if each.type is ObjectType.THREAD and not each.flags & STOPPED]
    objects = {each.address: _object(each, places) for each in records}
    threads.sort(key=lambda each: objects[each.address].word("wait_order"))
    manifest = Manifest(
        program="captured",
        arguments=(),
        clock_ns=run.core.time,
        last_stamp=run.core.stamp,
        budget=None,
        memory_size=places.end,
        mappings=tuple(
            Mapping(each.start, each.start + each.size, each.prot)
            for each in run.loaded.space.mappings
            if places.offset(each.address) >= places.end
        ),
        outside={name: OutsideObject(each.type.name.lower(), each.hash) for name, each in places.outside.items()},
        objects=tuple(objects.values()),
        running=tuple(places.offset(each.address) for each in threads),
        devices={},
        unsaved=(),
    )
    builder = ImageBuilder(manifest, parent)
    ram = run.cpu.ram
    builder.add((at, ram[frame : frame + PAGE_SIZE]) for frame, at in places.frames.items() if at < places.end)
    return builder.finish()


def _object(record: Record, places: _Places) -> ObjectRecord:
    state: dict[str, Words] = {} if record.bits is None else dict(record.words)
    links = {name: places.target(address) for name, address in record.links.items()}
    if record.type is ObjectType.THREAD:
        state["flags"] = record.flags | STOPPED
        access = state["fault_access"]
        assert isinstance(access, int)
        if isinstance(links["waiting_for"], str) and (access or state["exception"]):  # it tries again what it failed at
            links["waiting_for"] = None
            if state["exception"] or (access and not access & FAULT_IN_CALL):
                state["wait_order"] = 0
            state |= dict.fromkeys(("exception", "exception_subcode", "fault_access", "fault_address"), 0)
    return ObjectRecord(BY_NUMBER[record.type].name, places.offset(record.address), state, links)
