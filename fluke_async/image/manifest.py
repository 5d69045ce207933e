"""
What an image says besides its pages: one structure, which is stored as JSON.

Offsets are bytes from the start of the program's memory. A word is a number from 0 to 2^64 - 1.
"""

from __future__ import annotations

from typing import Any

import msgspec

from fluke_async.image.refusal import brief, refusal

FORMAT = 1
ABI_VERSION = 1
OUTSIDE_TYPES = {"space": "space", "parent": "port", "console": "port", "timer": "port"}
"""The names of what every process has outside, with their types; services are beside them."""

SERVICE_PREFIX = "service:"
DEVICES_MAX = 256
STATES_MAX = 2 << 20  # bytes of the states of all devices, as they are stored

Words = int | tuple[int, ...]
Target = int | str | None
"""Where a link leads: to the object at an offset, to what lies outside under a name, or nowhere."""


class Mapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The program sees its memory from offset `start` to `end` at these same addresses, with at most access `prot`."""

    start: int
    end: int
    prot: int


class OutsideObject(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Something outside that the process can refer to: its type, and the hash by which a program knows it."""

    type: str
    hash: int


class Device(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device that the program used: the dotted name of its class, and its state in plain values."""

    device: str
    state: dict[str, Any]


class ObjectRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """
    An object in the program's memory. There may be tens of thousands, in no cycle: the collector passes them over.

    `state` has the words of the type's structure by name, arrays as tuples; `links` has a target for each of its links.
    A thread's state always says that it is stopped: whether it is to be started is in `Manifest.running`.
    """

    type: str
    offset: int
    state: dict[str, Words]
    links: dict[str, Target]

    def word(self, name: str) -> int:
        """A field that is one word, of a state that was checked."""
        value = self.state[name]
        assert isinstance(value, int)
        return value


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """
    All of an image but its pages.

    `arguments` come after the program's name. `clock_ns` is the process's own time, `last_stamp` the newest number of
    order that its kernel had given, `budget` the instructions that it may still execute, None for any number. `outside`
    has each thing outside by its name, `running` the offsets of the threads to be started, in that order, `unsaved` one
    line for each thing that could not be saved. `parent` is the identity of the image that this one builds on, None for
    a full one; the builder puts it in.
    """

    format: int = FORMAT
    abi: int = ABI_VERSION
    program: str
    arguments: tuple[str, ...]
    clock_ns: int
    last_stamp: int
    budget: int | None
    memory_size: int
    mappings: tuple[Mapping, ...]
    outside: dict[str, OutsideObject]
    objects: tuple[ObjectRecord, ...]
    running: tuple[int, ...]
    devices: dict[str, Device]
    unsaved: tuple[str, ...]
    parent: str | None = None


class _Versions(msgspec.Struct, frozen=True):
    """What says how the rest is to be read."""

    format: int
    abi: int


class _StoredDevice(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A device whose state is still text: values in values take many times the memory of their text."""

    device: str
    state: msgspec.Raw


class _Complete(Manifest, frozen=True, kw_only=True):
    """As it must be in a file: with all fields."""

    format: int
    abi: int
    devices: dict[str, _StoredDevice]  # type: ignore[assignment]  # before they are decoded
    parent: str | None


_ENCODER = msgspec.json.Encoder()
_DECODER = msgspec.json.Decoder(_Complete)
_VERSIONS_DECODER = msgspec.json.Decoder(_Versions)
_STATE_DECODER = msgspec.json.Decoder(dict[str, Any])


def encode_manifest(manifest: Manifest) -> bytes:
    """
    A manifest as it is stored.

    Raises:
        ImageError: it holds something that is no plain value, such as a character that UTF-8 does not have, or more of
            devices than an image can have.
    """
    try:
        devices = {
            name: _StoredDevice(each.device, msgspec.Raw(_ENCODER.encode(each.state)))
            for name, each in manifest.devices.items()
        }
        _check_states(devices)
        return _ENCODER.encode(msgspec.structs.replace(manifest, devices=devices))
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise refusal(f"the image cannot be written: {error}") from None


def decode_manifest(data: bytes) -> Manifest:
    """
    A manifest from its bytes, of the right structure; what it says is not checked, but for its versions.

    Raises:
        ImageError: the bytes are no JSON, of another version, or a field is missing, has another type or is not known.
    """
    try:
        versions = _VERSIONS_DECODER.decode(data)
        check_versions(versions.format, versions.abi)  # before the structure, which may be another one
        complete = _DECODER.decode(data)
        _check_states(complete.devices)
        devices = {
            name: Device(each.device, _STATE_DECODER.decode(each.state)) for name, each in complete.devices.items()
        }
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise refusal(f"the image's manifest is not what it should be: {error}") from None
    return Manifest(**(msgspec.structs.asdict(complete) | {"devices": devices}))


def _check_states(devices: dict[str, _StoredDevice]) -> None:
    if len(devices) > DEVICES_MAX:
        raise refusal(f"the image has {len(devices)} devices: it can have {DEVICES_MAX}")
    size = sum(len(bytes(each.state)) for each in devices.values())
    if size > STATES_MAX:
        raise refusal(f"the states of the image's devices have {size} bytes: they can have {STATES_MAX}")


def check_versions(format_: int, abi: int) -> None:
    """
    Refuse a manifest that is to be read in another way.

    Raises:
        ImageError: it is of another version than this one.
    """
    if format_ != FORMAT:
        raise refusal(f"the image's format is {brief(format_)}: only {FORMAT} can be read")
    if abi != ABI_VERSION:
        raise refusal(f"the image is of a kernel with ABI {brief(abi)}: only {ABI_VERSION} can be restored")


def shown(text: str) -> str:
    """A text for people, where an argument or a name has bytes that are no characters."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
