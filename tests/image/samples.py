"""Images to test with: one written by hand, and any number that hypothesis makes up."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from fluke_async.abi.codes import PAGE_SIZE, PRIORITY_MAX, SLOT_SIZE, USER_START, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.image.kinds import INSIDE_ONLY, KINDS
from fluke_async.image.manifest import Device, Manifest, Mapping, ObjectRecord, OutsideObject, Target, Words

MEMORY_SIZE = 64 * PAGE_SIZE
OUTSIDE = {
    "space": OutsideObject("space", 1),
    "parent": OutsideObject("port", 2),
    "console": OutsideObject("port", 3),
    "timer": OutsideObject("port", 2**64 - 1),
    "service:store": OutsideObject("port", 5),
    "service:a lock with a name that is longer than records have room for": OutsideObject("mutex", 6),
}
STOPPED = int(ThreadFlags.STOPPED)


def zero_state(kind: str) -> dict[str, Words]:
    """A state of a type in which nothing is set."""
    layout = KINDS[kind].layout
    if layout is None:
        return {}
    state: dict[str, Words] = {each.name: 0 if each.count == 1 else (0,) * each.count for each in layout.fields}
    if kind == "thread":
        state["flags"] = STOPPED
    return state | {"hash": 1}


def record(kind: str, offset: int, state: dict[str, Words] | None = None, **links: Target) -> ObjectRecord:
    """An object of which only what differs from nothing is said."""
    return ObjectRecord(kind, offset, zero_state(kind) | (state or {}), dict.fromkeys(KINDS[kind].links) | links)


def registers(call: str, **others: int) -> tuple[int, ...]:
    """The registers of a thread in a call, others by x and number."""
    values = {ENTRY_POINT: BY_NAME[call].number} | {int(name[1:]): value for name, value in others.items()}
    return tuple(values.get(number, 0) for number in range(32))


def sample_manifest(**changes: Any) -> Manifest:
    """Two threads, one of which waits for the other's mutex, with a reference to the console."""
    base = PAGE_SIZE
    fields: dict[str, Any] = {
        "program": "sample",
        "arguments": ("-n", "3"),
        "clock_ns": 1_234_567,
        "last_stamp": 2**63,
        "budget": None,
        "memory_size": MEMORY_SIZE,
        "mappings": (Mapping(USER_START, 4 * PAGE_SIZE, 5), Mapping(8 * PAGE_SIZE, MEMORY_SIZE, 3)),
        "outside": OUTSIDE,
        "objects": (
            record("thread", base, {"hash": 11, "priority": 16, "pc": 0x1000, "run_order": 70}, space="space"),
            record(
                "thread",
                base + 16,
                {"hash": 12, "priority": 16, "x": registers("mutex_lock", x10=base + 32), "wait_order": 71},
                space="space",
                waiting_for=base + 32,
            ),
            record("mutex", base + 32, {"hash": 13, "locked": 1}, owner=base),
            record("ref", base + 48, target="console"),
        ),
        "running": (base, base + 16),
        "devices": {"console": Device("fluke_devices.console.Console", {"written": 17, "ended": False})},
        "unsaved": ("the standard input beyond what was read",),
    }
    return Manifest(**fields | changes)


def sample_pages() -> dict[int, bytes]:
    """Three pages, of which two are alike, and a fourth that is zero."""
    text = b"The quick brown fox jumps over the lazy dog. ".ljust(64, b".") * 64
    counted = b"".join(number.to_bytes(8, "little") for number in range(512))
    return {PAGE_SIZE: text, 8 * PAGE_SIZE: counted, 9 * PAGE_SIZE: text, 10 * PAGE_SIZE: bytes(PAGE_SIZE)}


words = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))


@st.composite
def states(draw: st.DrawFn, kind: str) -> dict[str, Words]:
    """A state that the kernel takes."""
    layout = KINDS[kind].layout
    if layout is None:
        return {}
    state: dict[str, Words] = {
        each.name: draw(words)
        if each.count == 1
        else tuple(draw(st.lists(words, min_size=each.count, max_size=each.count)))
        for each in layout.fields
    }
    limits = {
        "thread": {
            "flags": st.sampled_from((STOPPED, STOPPED | int(ThreadFlags.EXCEPTION_ENABLE | ThreadFlags.ASKED))),
            "priority": st.integers(0, PRIORITY_MAX),
            "wait_order": st.integers(0, 5) | st.integers(0, 2**63),
            "run_order": st.integers(0, 5) | st.integers(0, 2**63),
            "quantum_left": st.integers(0, 1_000_000) | st.integers(2**63, 2**64 - 1),
            "fcsr": st.integers(0, 255),
            **{name: st.just(0) for name in ("exception", "exception_subcode", "fault_access", "fault_address")},
        },
        "region": {"start_va": st.just(PAGE_SIZE), "size": st.just(5 * PAGE_SIZE), "prot": st.integers(0, 7)},
        "mapping": {name: st.just(0) for name in ("region_off", "start_va", "size", "prot")},
        "mutex": {"flags": st.integers(0, 15), "locked": st.just(1), "ceiling": st.integers(0, PRIORITY_MAX)},
        "cond": {"flags": st.integers(0, 1)},
    }
    state["hash"] = draw(st.integers(1, 2**64 - 1))
    return state | {name: draw(limit) for name, limit in limits.get(kind, {}).items()}


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any manifest that is right, but for threads that wait."""
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), max_size=8))
    slots = st.integers(0, MEMORY_SIZE // SLOT_SIZE - 1)
    places = sorted(draw(st.sets(slots, min_size=len(kinds), max_size=len(kinds))))
    types = {place * SLOT_SIZE: kind for place, kind in zip(places, kinds, strict=True)}
    objects = []
    for offset, kind in types.items():
        links: dict[str, Target] = {}
        for name, permitted in KINDS[kind].links.items():
            targets: list[Target] = [None]
            if name != "waiting_for":
                targets += [other for other, its in types.items() if its in permitted and other != offset]
            if name not in (*INSIDE_ONLY, "waiting_for"):
                targets += [other for other, its in OUTSIDE.items() if its.type in permitted]
            links[name] = draw(st.sampled_from(targets))
        objects.append(ObjectRecord(kind, offset, draw(states(kind)), links))
    threads = [offset for offset, kind in types.items() if kind == "thread"]
    return sample_manifest(
        clock_ns=draw(st.integers(0, 2**62)),
        budget=draw(st.none() | st.integers(0, 2**63)),
        objects=tuple(objects),
        running=tuple(draw(st.permutations(threads))[: draw(st.integers(0, len(threads)))]),
    )
