"""Whatever no process can be made of is refused, with one line that says what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from fluke_async.abi.codes import PAGE_SIZE, USER_END, ThreadFlags
from fluke_async.errors import ImageError
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.checks import DEPTH_MAX, OBJECTS_MAX, check
from fluke_async.image.manifest import (
    Device,
    Manifest,
    Mapping,
    ObjectRecord,
    OutsideObject,
    Words,
    decode_manifest,
    encode_manifest,
)
from fluke_async.image.pages import ZERO_DIGEST
from tests.image.samples import MEMORY_SIZE, manifests, record, registers, sample_manifest, zero_state

LOCK = "service:a lock with a name that is longer than records have room for"
A_PORT = OutsideObject("port", 3)
STOPPED = int(ThreadFlags.STOPPED)
BASE = PAGE_SIZE
MUTEX = record("mutex", BASE + 32, {"locked": 1})
PORT = record("port", BASE + 48)


def thread(state: dict[str, Words] | None = None, **links: Any) -> tuple[ObjectRecord, ...]:
    """A thread, with a mutex and a port to wait for."""
    return record("thread", BASE, state, **links), MUTEX, PORT


def waiting(call: str, waits_for: int = BASE + 32, **state: Words) -> tuple[ObjectRecord, ...]:
    """A thread that waits in a call."""
    return thread({"x": registers(call), **state}, waiting_for=waits_for)


def nested(depth: int) -> Any:
    """A list in a list, and so on."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def device(**state: Any) -> dict[str, Device]:
    """A device with a state."""
    return {"console": Device("a.b", state)}


def without(name: str) -> dict[str, Words]:
    """A state of a mutex that lacks a word."""
    state = zero_state("mutex")
    del state[name]
    return state


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("format is 2", {"format": 2}),
    ("ABI 0", {"abi": 0}),
    ("last_stamp is -1", {"last_stamp": -1}),
    ("0x1000 has 71 as wait_order, after the last, 70".replace("0x1000", f"{BASE + 16:#x}"), {"last_stamp": 70}),
    ("clock_ns is -1", {"clock_ns": -1}),
    ("clock_ns is 0x1000", {"clock_ns": 1 << 400}),
    ("budget is -5", {"budget": -5}),
    ("memory_size is 4097", {"memory_size": 4097}),
    ("memory_size is 549755813888", {"memory_size": 2 * USER_END}),
    ("parent is 'x'", {"parent": "x"}),
    ("0x1001 to 0x2000 is not on whole pages", {"mappings": (Mapping(0x1001, 0x2000, 3),)}),
    ("0x2000 to 0x2000 is empty", {"mappings": (Mapping(0x2000, 0x2000, 3),)}),
    ("0x0 to 0x2000 is empty or not inside", {"mappings": (Mapping(0, 0x2000, 3),)}),
    ("not inside the memory", {"mappings": (Mapping(0x1000, MEMORY_SIZE + PAGE_SIZE, 3),)}),
    ("the access 8", {"mappings": (Mapping(0x1000, 0x2000, 8),)}),
    ("overlap at 0x2000", {"mappings": (Mapping(0x1000, 0x3000, 1), Mapping(0x2000, 0x4000, 1))}),
    ("1025 mappings", {"mappings": (Mapping(0x1000, 0x2000, 1),) * 1025}),
    ("'teapot' is not known", {"outside": {"teapot": A_PORT}}),
    ("'service:' is not known", {"outside": {"service:": A_PORT}}),
    ("is not known", {"outside": {"service:a\0b": A_PORT}}),
    ("is not known", {"outside": {"service:" + "x" * 300: A_PORT}}),
    ("'console' cannot be a 'space'", {"outside": {"console": OutsideObject("space", 3)}}),
    ("'service:x' cannot be a 'ref'", {"outside": {"service:x": OutsideObject("ref", 3)}}),
    ("300 names", {"outside": {f"service:{number}": A_PORT for number in range(300)}}),
    ("'console' cannot have the hash 0", {"outside": {"console": OutsideObject("port", 0)}}),
    ("cannot have the hash", {"outside": {"console": OutsideObject("port", 1 << 64)}}),
    ("no dotted name", {"devices": {"x": Device("os system", {})}}),
    ("no dotted name", {"devices": {"x": Device("a..b", {})}}),
    ("a bytes, which is no plain value", {"devices": device(x=b"y")}),
    ("no plain value", {"devices": device(x=1 << 64)}),
    ("no plain value", {"devices": device(x=float("nan"))}),
    ("no plain value", {"devices": device(x={1: 2})}),
    ("too deep", {"devices": device(x=nested(DEPTH_MAX))}),
    ("type 'teapot'", {"objects": (ObjectRecord("teapot", BASE, {}, {}),)}),
    ("ref at 0x1008 is not at a slot", {"objects": (record("ref", BASE + 8),)}),
    ("is not at a slot", {"objects": (record("ref", MEMORY_SIZE),)}),
    ("is not at a slot", {"objects": (record("ref", -16),)}),
    ("ref at 0x1000 comes after the one at 0x1010", {"objects": (record("ref", BASE + 16), record("ref", BASE))}),
    ("comes after the one at", {"objects": (record("ref", BASE), record("ref", BASE))}),
    ("70000 objects", {"objects": (record("ref", BASE),) * 70_000}),
    ("0 words of locked", {"objects": (ObjectRecord("mutex", BASE, without("locked"), {"owner": None}),)}),
    ("5 fields", {"objects": (record("mutex", BASE, {"more": 1}),)}),
    ("31 words of x", {"objects": (record("thread", BASE, {"x": (0,) * 31}),)}),
    ("1 words of x", {"objects": (record("thread", BASE, {"x": 0}),)}),
    ("1 words of pc", {"objects": (record("thread", BASE, {"pc": (0,)}),)}),
    ("alias that is no word", {"objects": (record("port", BASE, {"alias": 1 << 64}),)}),
    ("x that is no word", {"objects": (record("thread", BASE, {"x": (-1,) * 32}),)}),
    ("the hash 0", {"objects": (record("portset", BASE, {"hash": 0}),)}),
    ("0x0 as flags", {"objects": thread({"flags": 0})}),
    ("0x401 as flags", {"objects": thread({"flags": STOPPED | 1 << 10})}),
    ("0x29 as flags", {"objects": thread({"flags": STOPPED | 1 << 3 | 1 << 5})}),
    ("0x20 as priority", {"objects": thread({"priority": 32})}),
    ("as wait_order", {"objects": thread({"wait_order": (1 << 63) + 1})}),
    ("as run_order", {"objects": thread({"run_order": (1 << 63) + 1})}),
    ("0xf4241 as quantum_left", {"objects": thread({"quantum_left": 1_000_001})}),
    ("0x5 as exception", {"objects": thread({"exception": 5})}),
    ("0x7 as exception_subcode", {"objects": thread({"exception_subcode": 7})}),
    ("0x3 as fault_access", {"objects": thread({"fault_access": 3})}),
    ("0x7 as fault_address", {"objects": thread({"fault_address": 7})}),
    ("0x100 as fcsr", {"objects": thread({"fcsr": 256})}),
    ("0x1 as start_va", {"objects": (record("region", BASE, {"start_va": 1}),)}),
    ("0x1 as size", {"objects": (record("region", BASE, {"size": 1}),)}),
    ("as start_va", {"objects": (record("region", BASE, {"start_va": 2**64 - 4096, "size": 8192}),)}),
    ("0x8 as prot", {"objects": (record("region", BASE, {"prot": 8}),)}),
    ("0x1 as region_off", {"objects": (record("mapping", BASE, {"region_off": 1}),)}),
    (
        "as region_off",
        {"objects": (record("mapping", BASE, {"region_off": 2**64 - 4096, "start_va": 4096, "size": 8192}),)},
    ),
    ("0x0 as start_va", {"objects": (record("mapping", BASE, {"size": 4096}),)}),
    ("as start_va", {"objects": (record("mapping", BASE, {"start_va": USER_END, "size": 4096}),)}),
    ("0x10 as flags", {"objects": (record("mutex", BASE, {"flags": 16}),)}),
    ("0x2 as locked", {"objects": (record("mutex", BASE, {"locked": 2}),)}),
    ("0x20 as ceiling", {"objects": (record("mutex", BASE, {"ceiling": 32}),)}),
    ("0x2 as flags", {"objects": (record("cond", BASE, {"flags": 2}),)}),
    ("has an owner and is not locked", {"objects": (record("thread", BASE), record("mutex", BASE + 32, owner=BASE))}),
    ("0 links: it must have target", {"objects": (ObjectRecord("ref", BASE, {}, {}),)}),
    ("2 links: it must have none", {"objects": (record("portset", BASE, a=None, b=None),)}),
    ("target to 0x7, where no", {"objects": (record("ref", BASE, target=7),)}),
    ("target to 'teapot', where no", {"objects": (record("ref", BASE, target="teapot"),)}),
    ("target to 0x1000, where no", {"objects": (record("ref", BASE, target=BASE),)}),
    ("where no thread is", {"objects": (MUTEX, record("cond", BASE + 48, inheritor=BASE + 32))}),
    ("where no space is", {"objects": thread(space="console")}),
    (
        "it cannot lead outside",
        {"outside": {"service:x": OutsideObject("thread", 3)}, "objects": thread(client="service:x")},
    ),
    ("only calls to ports", {"objects": thread({"x": registers("mutex_lock")}, waiting_for=LOCK)}),
    ("only calls to ports", {"objects": thread({"x": registers("ipc_call"), "exception": 13}, waiting_for="console")}),
    ("0x11c9 does not wait", {"objects": thread({"x": registers("mutex_unlock")}, waiting_for="console")}),
    ("0x11c9 does not wait", {"objects": thread({"x": registers("mutex_unlock")}, waiting_for=BASE + 32)}),
    ("does not wait", {"objects": waiting("mutex_lock", fault_access=1)}),
    ("a fault and an exception at once", {"objects": waiting("mutex_lock", BASE + 48, fault_access=1, exception=13)}),
    ("which has none", {"objects": thread({"flags": STOPPED | int(ThreadFlags.IN_CALL)})}),
    ("client to itself", {"objects": thread(client=BASE)}),
    ("server to itself", {"objects": thread(server=BASE)}),
    ("waiting_for to itself", {"objects": waiting("ipc_call", BASE)}),
    ("none, or it is named twice", {"running": (BASE, BASE)}),
    ("a thread at 0x1020 is to be started", {"running": (BASE + 32,)}),
]


@pytest.mark.parametrize(("remark", "changes"), WRONG, ids=[f"{n}: {remark}" for n, (remark, _) in enumerate(WRONG)])
def test_wrong_manifests_are_refused(remark: str, changes: dict[str, Any]) -> None:
    if "objects" in changes:
        changes = {"running": (), **changes}
    with pytest.raises(ImageError) as caught:
        check(sample_manifest(**changes), {})
    text = str(caught.value)
    assert remark in text
    assert text.isprintable()
    assert len(text) <= 300


def test_mappings_of_the_programs_own_are_apart_from_those_that_it_was_given() -> None:
    def one(start: int, offset: int = BASE, space: str | int = "space") -> ObjectRecord:
        return record("mapping", offset, {"start_va": start, "size": PAGE_SIZE}, space=space)

    inner = record("space", BASE + 64)
    check(sample_manifest(objects=(one(6 * PAGE_SIZE),), running=()), {})
    check(sample_manifest(objects=(one(PAGE_SIZE, BASE, BASE + 64), inner), running=()), {})
    for objects in (
        (one(PAGE_SIZE),),
        (one(6 * PAGE_SIZE), one(6 * PAGE_SIZE, BASE + 16)),
        (one(PAGE_SIZE, BASE, BASE + 64), one(PAGE_SIZE, BASE + 16, BASE + 64), inner),
    ):
        with pytest.raises(ImageError, match="overlap"):
            check(sample_manifest(objects=objects, running=()), {})


@pytest.mark.parametrize("offset", [-PAGE_SIZE, 1, MEMORY_SIZE])
def test_pages_lie_in_the_memory(offset: int) -> None:
    with pytest.raises(ImageError, match="is not on a page of the memory"):
        check(sample_manifest(), {offset: b"x" * 16})


def test_pages_that_were_touched_may_be_zero() -> None:
    check(sample_manifest(), {PAGE_SIZE: ZERO_DIGEST})


@given(manifests())
def test_right_manifests_pass_and_are_stored_as_they_are(manifest: Manifest) -> None:
    check(manifest, {})
    assert decode_manifest(encode_manifest(manifest)) == manifest


def test_plain_values_of_devices_are_kept() -> None:
    state = {"x": [None, True, -(1 << 63), (1 << 64) - 1, 1.5, "y", {"z": nested(DEPTH_MAX - 4)}]}
    manifest = sample_manifest(devices=device(**state))
    check(manifest, {})
    assert decode_manifest(encode_manifest(manifest)) == manifest


TEXT = encode_manifest(sample_manifest())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 100_000,
        TEXT[:-1],
        TEXT + b"x",
        TEXT.replace(b'"format":1,', b""),
        TEXT.replace(b'"parent":null', b'"x":null'),
        TEXT.replace(b'"offset":4096', b'"offset":4096.5'),
        TEXT.replace(b'"offset":4096', b'"offset":"4096"'),
        TEXT.replace(b'"offset":4096', b'"offset":4096,"more":1'),
        TEXT.replace(b'"priority":16', b'"priority":null'),
        TEXT.replace(b'"written":17', b'"written":NaN'),
        TEXT.replace(b'"written":17', b'"written":' + b"[" * 5000 + b"]" * 5000),
        TEXT.replace(b'"written":17', b'"written":[' + b"0," * (3 << 20) + b"0]"),
        TEXT.replace(
            b'"devices":{', b'"devices":{' + b"".join(b'"%d":{"device":"a.b","state":{}},' % n for n in range(300))
        ),
    ],
    ids=range(16),
)
def test_what_is_no_manifest_is_refused(text: bytes) -> None:
    with pytest.raises(ImageError) as caught:
        check(decode_manifest(text), {})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) <= 300


def test_fields_that_are_not_known_are_passed_over() -> None:
    assert decode_manifest(TEXT.replace(b'"format":1', b'"format":1,"later":[1]')) == sample_manifest()


def test_what_cannot_be_written_is_refused_when_the_image_is_made() -> None:
    for changes in ({"program": "\udcff"}, {"devices": device(x=object())}, {"clock_ns": -1}):
        with pytest.raises(ImageError):
            ImageBuilder(sample_manifest(**changes)).finish()


def test_as_many_objects_as_there_may_be_are_checked_in_a_moment() -> None:
    objects = tuple(record("ref", 16 * number, target="console") for number in range(OBJECTS_MAX))
    check(sample_manifest(memory_size=USER_END, objects=objects, running=()), {})
