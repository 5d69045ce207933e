"""
What must hold before anything of an image is used, or one is made.

The structure is right by then; here it is what the manifest means, and where pages are. What a kernel would refuse to
load is refused here, so that nothing is created of an image that cannot be created as a whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import pairwise

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_END, USER_START, Prot
from fluke_async.image.kinds import KINDS, REFERABLE
from fluke_async.image.manifest import (
    OUTSIDE_TYPES,
    SERVICE_PREFIX,
    Manifest,
    ObjectRecord,
    OutsideObject,
    check_versions,
)
from fluke_async.image.object_checks import STAMP_MAX, WORD_END, check_object, where
from fluke_async.image.records import STAMPS
from fluke_async.image.refusal import brief, refusal

OBJECTS_MAX = 1 << 16
PAGES_MAX = USER_END // PAGE_SIZE
MAPPINGS_MAX = 1 << 10
NAMES_MAX = 256  # more than the references that a program starts with
NAME_MAX = 255  # characters
TIME_MAX_NS = 1 << 62
BUDGET_MAX = 1 << 63
DEPTH_MAX = 16  # of values in values, in what a device says of itself
DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
IDENTITY = re.compile(r"[0-9a-f]{32}")


def check(manifest: Manifest, table: Mapping[int, bytes]) -> None:
    """
    Refuse what no process can be made of.

    Raises:
        ImageError: one line that says what is wrong with which value.
    """
    _check_numbers(manifest)
    _check_mappings(manifest)
    _check_outside(manifest.outside)
    _check_devices(manifest)
    _check_objects(manifest)
    _check_running(manifest)
    _check_pages(manifest, table)


def _check_numbers(manifest: Manifest) -> None:
    check_versions(manifest.format, manifest.abi)
    for name, value, most in (
        ("clock_ns", manifest.clock_ns, TIME_MAX_NS),
        ("last_stamp", manifest.last_stamp, STAMP_MAX),
        ("budget", manifest.budget or 0, BUDGET_MAX),
        ("memory_size", manifest.memory_size, USER_END),
    ):
        if not 0 <= value <= most:
            raise refusal(f"the image's {name} is {brief(value)}: it can be 0 to {most}")
    if manifest.memory_size % PAGE_SIZE:
        raise refusal(f"the image's memory_size is {manifest.memory_size}: it must be a multiple of {PAGE_SIZE}")
    if manifest.parent is not None and not IDENTITY.fullmatch(manifest.parent):
        raise refusal(f"the image's parent is {brief(manifest.parent)}: it must be 32 hexadecimal digits")


def _check_mappings(manifest: Manifest) -> None:
    if len(manifest.mappings) > MAPPINGS_MAX:
        raise refusal(f"the image has {len(manifest.mappings)} mappings: it can have {MAPPINGS_MAX}")
    for each in manifest.mappings:
        text = f"the mapping from {each.start:#x} to {each.end:#x}"
        if each.start % PAGE_SIZE or each.end % PAGE_SIZE:
            raise refusal(f"{text} is not on whole pages")
        if not USER_START <= each.start < each.end <= manifest.memory_size:
            raise refusal(f"{text} is empty or not inside the memory, {USER_START:#x} to {manifest.memory_size:#x}")
        if not 0 <= each.prot <= Prot.ALL:
            raise refusal(f"{text} has the access {each.prot}, which there is not")
    _check_apart(((each.start, each.end) for each in manifest.mappings), "the program's space")


def _check_apart(ranges: Iterable[tuple[int, int]], space: str) -> None:
    """No two mappings of a space cover the same address; an empty one lies in no other."""
    highest = 0
    for start, end in sorted(ranges):
        if start < highest:
            raise refusal(f"mappings of {space} overlap at {start:#x}")
        highest = max(highest, end)


def _check_outside(outside: Mapping[str, OutsideObject]) -> None:
    if len(outside) > NAMES_MAX:
        raise refusal(f"the image has {len(outside)} names outside: it can have {NAMES_MAX}")
    for name, each in outside.items():
        is_service = len(SERVICE_PREFIX) < len(name) <= NAME_MAX and name.startswith(SERVICE_PREFIX)
        if "\0" in name or (name not in OUTSIDE_TYPES and not is_service):
            known = ", ".join(OUTSIDE_TYPES)
            raise refusal(f"the name outside {brief(name)} is not known: there are {known} and {SERVICE_PREFIX}NAME")
        if each.type != OUTSIDE_TYPES.get(name, each.type) or each.type not in REFERABLE:
            raise refusal(f"what is outside under the name {brief(name)} cannot be a {brief(each.type)}")
        if not 0 < each.hash < WORD_END:
            raise refusal(f"what is outside under the name {brief(name)} cannot have the hash {brief(each.hash)}")


def _check_devices(manifest: Manifest) -> None:
    for name, device in manifest.devices.items():
        if not DOTTED.fullmatch(device.device) or len(device.device) > NAME_MAX:
            raise refusal(f"the device {brief(name)} is {brief(device.device)}, which is no dotted name of a class")
        _check_plain(device.state, brief(name), DEPTH_MAX)


def _check_plain(value: object, device: str, depth: int) -> None:
    """Only what JSON gives back as it was: no bytes, no numbers beyond 64 bits, nothing too deep."""
    if value is None or isinstance(value, bool | str):
        return
    if isinstance(value, int) and -(1 << 63) <= value < 1 << 64:
        return
    if isinstance(value, float) and abs(value) < float("inf"):
        return
    if isinstance(value, dict) and depth and all(isinstance(key, str) for key in value):
        for each in value.values():
            _check_plain(each, device, depth - 1)
        return
    if isinstance(value, list) and depth:
        for each in value:
            _check_plain(each, device, depth - 1)
        return
    raise refusal(f"the state of the device {device} has {brief(value)}, which is no plain value or too deep")


def _check_objects(manifest: Manifest) -> None:
    objects = manifest.objects
    if len(objects) > OBJECTS_MAX:
        raise refusal(f"the image has {len(objects)} objects: it can have {OBJECTS_MAX}")
    for each in objects:
        if each.type not in KINDS:
            raise refusal(f"the object at {each.offset:#x} has the type {brief(each.type)}, which there is not")
        if each.offset % SLOT_SIZE or not 0 <= each.offset < manifest.memory_size:
            raise refusal(f"{where(each)} is not at a slot of the memory of {manifest.memory_size:#x} bytes")
    for before, after in pairwise(objects):
        if before.offset >= after.offset:
            raise refusal(f"{where(after)} comes after the one at {before.offset:#x}: each must lie behind the last")
    types = {each.offset: each.type for each in objects}
    outside = {name: each.type for name, each in manifest.outside.items()}
    for each in objects:
        check_object(each, types, outside)
        for name in STAMPS if each.type == "thread" else ():
            if each.word(name) > manifest.last_stamp:
                raise refusal(f"{where(each)} has {each.word(name)} as {name}, after the last, {manifest.last_stamp}")
    _check_mapping_objects(manifest)


def _check_mapping_objects(manifest: Manifest) -> None:
    """Those of the program's own making are apart too, in each space, and from those that it was given."""
    spaces: dict[object, list[ObjectRecord]] = {}
    for each in manifest.objects:
        if each.type == "mapping" and each.links["space"] is not None:
            spaces.setdefault(each.links["space"], []).append(each)
    for space, mappings in spaces.items():
        ranges = [(each.word("start_va"), each.word("start_va") + each.word("size")) for each in mappings]
        if isinstance(space, str):
            ranges += [(each.start, each.end) for each in manifest.mappings]
            _check_apart(ranges, "the program's space")
        else:
            _check_apart(ranges, f"the space at {space:#x}")


def _check_running(manifest: Manifest) -> None:
    threads = {each.offset for each in manifest.objects if each.type == "thread"}
    for offset in manifest.running:
        if offset not in threads:
            raise refusal(f"a thread at {offset:#x} is to be started, and there is none, or it is named twice")
        threads.remove(offset)


def _check_pages(manifest: Manifest, table: Mapping[int, bytes]) -> None:
    for offset in table:
        if offset % PAGE_SIZE or not 0 <= offset < manifest.memory_size:
            raise refusal(f"the page at {offset:#x} is not on a page of the memory of {manifest.memory_size:#x} bytes")
