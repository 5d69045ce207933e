"""An image in words: what each thread was in, how many objects there are of each type, where the pages come from."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode
from fluke_async.abi.entry_points import BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.image.image import Image
from fluke_async.image.manifest import ObjectRecord, Target
from fluke_async.image.pages import ZERO_DIGEST

ECALL = (0x73).to_bytes(4, "little")


@dataclass(frozen=True, slots=True)
class ThreadSummary:
    """A thread: the call that it was in, or None; what it waited for; the exception that stopped it."""

    offset: int
    hash: int
    condition: str
    priority: int
    call: str | None
    waits_for: str | None
    pc: int
    exception: str | None


@dataclass(frozen=True, slots=True)
class PageCounts:
    """
    Pages of an image.

    `all` are not zero, `inherited` of them are in the images that this one builds on. Of its own, so many different
    `stored` contents stand for `shared` more, and `zero` are listed as zero.
    """

    all: int
    inherited: int
    stored: int
    shared: int
    zero: int


def threads(image: Image) -> list[ThreadSummary]:
    """All threads, in the order of their places."""
    types = {each.offset: each.type for each in image.manifest.objects}
    running = frozenset(image.manifest.running)
    found = (each for each in image.manifest.objects if each.type == "thread")
    return [_thread(image, each, types, is_running=each.offset in running) for each in found]


def _thread(image: Image, record: ObjectRecord, types: dict[int, str], *, is_running: bool) -> ThreadSummary:
    waits_for, exception = record.links["waiting_for"], record.word("exception")
    if not is_running:
        condition = "stopped"
    elif waits_for is not None:
        condition = "waiting"
    else:
        condition = "exception" if exception else "ready"
    return ThreadSummary(
        offset=record.offset,
        hash=record.word("hash"),
        condition=condition,
        priority=record.word("priority"),
        call=_call(image, record),
        waits_for=None if waits_for is None else target_text(waits_for, types),
        pc=record.word("pc"),
        exception=f"{ExceptionCode(exception).name} {record.word('exception_subcode'):#x}" if exception else None,
    )


def _call(image: Image, record: ObjectRecord) -> str | None:
    """The call that a thread is in: it waits in it, or stands on its `ecall` in memory that it sees where it lies."""
    registers, pc = record.state["x"], record.word("pc")
    assert isinstance(registers, tuple)
    entry = BY_NUMBER.get(registers[ENTRY_POINT])
    if record.links["waiting_for"] is None:
        is_plain = record.links["space"] == "space" and any(
            each.start <= pc <= each.end - len(ECALL) for each in image.manifest.mappings
        )
        start = pc % PAGE_SIZE
        following = image.page(pc - start) + image.page(pc - start + PAGE_SIZE)
        if not is_plain or following[start : start + len(ECALL)] != ECALL:
            return None
    return None if entry is None else entry.name


def target_text(target: Target, types: dict[int, str]) -> str:
    """What a link leads to, in words."""
    if target is None:
        return "nothing"
    return target if isinstance(target, str) else f"{types[target]} at {target:#x}"


def page_counts(image: Image) -> PageCounts:
    """Where an image's pages come from."""
    own = [each for each in image.table.values() if each != ZERO_DIGEST]
    total = len(image.digests())
    return PageCounts(
        all=total,
        inherited=total - len(own),
        stored=len(image.contents),
        shared=len(own) - len(image.contents),
        zero=len(image.table) - len(own),
    )


def description(image: Image) -> dict[str, Any]:
    """All that is said of an image, as plain values."""
    manifest = image.manifest
    return {
        "identity": image.identity,
        "program": manifest.program,
        "arguments": list(manifest.arguments),
        "clock_ns": manifest.clock_ns,
        "budget": manifest.budget,
        "memory_size": manifest.memory_size,
        "parent": manifest.parent,
        "builds_on": image.depth - 1,
        "objects": dict(sorted(Counter(each.type for each in manifest.objects).items())),
        "threads": [asdict(each) for each in threads(image)],
        "pages": asdict(page_counts(image)),
        "outside": {name: {"type": each.type, "hash": each.hash} for name, each in manifest.outside.items()},
        "devices": {name: {"device": each.device, "state": each.state} for name, each in manifest.devices.items()},
        "unsaved": list(manifest.unsaved),
    }
