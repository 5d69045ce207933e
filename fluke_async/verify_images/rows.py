"""
The rows that images have to show: what a thread can be in the middle of when its process is written down.

For every call: each type of object that it waits for, its marked points, and its faults, in its own memory or in that
of its peer; the waits for the keepers of regions and of spaces; and connections, as each side of them stands.
"""

from __future__ import annotations

from collections.abc import Iterator

from fluke_async.abi.codes import FAULT_IN_CALL, ObjectType, ThreadFlags
from fluke_async.abi.entry_points import BY_NUMBER, ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.image.image import Image
from fluke_async.image.manifest import Manifest, ObjectRecord

CONNECTIONS = (
    "client of an idempotent call",
    "server of an idempotent call",
    "client of a connection, sending",
    "client of a connection, receiving",
    "server of a connection, sending",
    "server of a connection, receiving",
)


def rows() -> Iterator[str]:
    """Every row, as text."""
    for entry in ENTRY_POINTS:
        for type_ in entry.waits_on:
            yield f"{entry.name} wait on {type_.name.lower()}"
        if entry.has_points:
            yield f"{entry.name} marked"
        if entry.touches_memory:
            yield f"{entry.name} hard fault"
    for type_ in (ObjectType.PORT, ObjectType.THREAD):
        yield f"fault wait on {type_.name.lower()}"
        yield f"exception wait on {type_.name.lower()}"
    yield from CONNECTIONS


def rows_in(image: Image) -> set[str]:
    """What the threads of an image are in the middle of."""
    manifest = image.manifest
    return {row for each in manifest.objects if each.type == "thread" for row in _rows_of(manifest, each)}


def _rows_of(manifest: Manifest, thread: ObjectRecord) -> Iterator[str]:
    registers = thread.state["x"]
    assert isinstance(registers, tuple)
    entry = BY_NUMBER.get(registers[ENTRY_POINT])
    name = "none" if entry is None else entry.name
    access, flags = thread.word("fault_access"), thread.word("flags")
    target = thread.links["waiting_for"]
    if target is not None:
        kind = manifest.outside[target].type if isinstance(target, str) else _type_at(manifest, target)
        if thread.word("exception"):
            yield f"exception wait on {kind}"
        elif access:
            yield f"fault wait on {kind}"
            if access & FAULT_IN_CALL:
                yield f"{name} hard fault"
        else:
            yield f"{name} wait on {kind}"
            if kind == "thread" and name == "ipc_call":
                yield CONNECTIONS[0]
    if flags & ThreadFlags.IN_CALL:
        yield f"{name} marked"
    if flags & ThreadFlags.IDEMPOTENT:
        yield CONNECTIONS[1]
    elif thread.links["client"] is not None:
        yield CONNECTIONS[4 if flags & ThreadFlags.SERVER_SENDER else 5]
    if thread.links["server"] is not None:
        yield CONNECTIONS[2 if flags & ThreadFlags.CLIENT_SENDER else 3]


def _type_at(manifest: Manifest, offset: int) -> str:
    return next(each.type for each in manifest.objects if each.offset == offset)
