"""What the second reader makes of a manifest: JSON, read as the format page says, with the page's tables as data."""

import json
import re
from collections.abc import Callable
from typing import Any

PAGE = 4096
WORD = range(1 << 64)

THREAD_WORDS = """
    hash thread_va flags priority sched_val wait_order run_order quantum_left pc x f fcsr trap_handler
    interrupt_handler client_alert_handler server_alert_handler saved_a0 saved_a1 saved_a2 saved_a7 saved_pc
    server_portset server_sp server_oneway_pc server_idempotent_pc server_reliable_pc exception exception_subcode
    fault_access fault_address
"""

TYPES: dict[str, tuple[set[str], set[str]]] = {
    name: (set(words.split()), set(links.split()))
    for name, words, links in (
        ("thread", THREAD_WORDS, "space scheduler waiting_for client server"),
        ("space", "hash", "keeper"),
        ("region", "hash start_va size prot", "space keeper"),
        ("mapping", "hash region_off start_va size prot", "region space"),
        ("port", "hash alias", "portset"),
        ("portset", "hash", ""),
        ("mutex", "hash flags locked ceiling", "owner"),
        ("cond", "hash flags", "inheritor"),
        ("ref", "", "target"),
    )
}
"""The words and the links of each type."""

SEVERAL = {"x": 32, "f": 32}
"""Words of which a type has so many."""

OUTSIDE = {"space": "space", "parent": "port", "console": "port", "timer": "port"}
"""Types of what lies outside, but for services."""


class UnfitError(Exception):
    """The manifest is not as the page says."""


def need(condition: object, why: str) -> None:
    """Refuse the manifest for a reason unless a condition holds."""
    if not condition:
        raise UnfitError(why)


def manifest_of(text: str) -> dict[str, Any]:
    """The manifest that a text is."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UnfitError("no JSON") from error
    need(isinstance(manifest, dict), "no object")
    need(number(manifest.get("format"), WORD) and manifest["format"] == 1, "another format")
    need(number(manifest.get("abi"), WORD) and manifest["abi"] == 1, "another ABI")
    for field, fits in FIELDS.items():
        need(field in manifest, f"no {field}")
        need(fits(manifest[field]), f"{field} is not as it has to be")
    check_together(manifest)
    return manifest


def check_together(manifest: dict[str, Any]) -> None:
    """What one field says of another."""
    memory, objects = manifest["memory_size"], manifest["objects"]
    mappings = sorted(manifest["mappings"], key=lambda mapping: mapping["start"])
    need(all(mapping["end"] <= memory for mapping in mappings), "a mapping of more than there is")
    need(all(low["end"] <= high["start"] for low, high in zip(mappings, mappings[1:], strict=False)), "mappings overlap")
    offsets = [thing["offset"] for thing in objects]
    need(all(low < high for low, high in zip(offsets, offsets[1:], strict=False)), "objects out of order")
    need(all(offset < memory for offset in offsets), "an object outside the memory")
    types = {thing["offset"]: thing["type"] for thing in objects}
    need(all(types.get(offset) == "thread" for offset in manifest["running"]), "what runs is no thread")
    for thing in objects:
        for end in thing["links"].values():
            need(end is None or end in (manifest["outside"] if isinstance(end, str) else types), "a link to nothing")
        if thing["type"] == "thread":
            links, state = thing["links"], thing["state"]
            need(state["flags"] & 1, "a thread that is not stopped")
            need(max(state["wait_order"], state["run_order"]) <= manifest["last_stamp"], "an order after the last")
            need(not isinstance(links["client"], str) and not isinstance(links["server"], str), "a client outside")
            away = links["waiting_for"]
            need(not isinstance(away, str) or manifest["outside"][away]["type"] == "port", "waits for no port")


def number(value: object, within: range) -> bool:
    """Whether a value is a whole number in a range; truth is none."""
    return type(value) is int and value in within


def text(value: object) -> bool:
    """Whether a value is text."""
    return isinstance(value, str)


def texts(value: object) -> bool:
    """Whether a value is a list of texts."""
    return isinstance(value, list) and all(map(text, value))


def several(fits: Callable[[Any], bool], most: int) -> Callable[[object], bool]:
    """Whether a value is a list of at most so many that fit."""
    return lambda value: isinstance(value, list) and len(value) <= most and all(map(fits, value))


def fields(value: object, *names: str) -> bool:
    """Whether a value is an object with exactly these fields."""
    return isinstance(value, dict) and value.keys() == set(names)


def one_mapping(value: Any) -> bool:
    """Whether a value is one of `mappings`, as far as it goes alone."""
    return (
        fields(value, "start", "end", "prot")
        and number(value["start"], range(PAGE, 1 << 39, PAGE))
        and number(value["end"], range(value["start"] + PAGE, 1 << 39, PAGE))
        and number(value["prot"], range(8))
    )


def outside(value: Any) -> bool:
    """Whether a value names what lies outside, each with a type and a hash."""
    return (
        isinstance(value, dict)
        and len(value) <= 256
        and all(
            fields(thing, "type", "hash")
            and thing["type"] in ([OUTSIDE[name]] if name in OUTSIDE else list(TYPES))
            and number(thing["hash"], WORD[1:])
            and (name in OUTSIDE or name.startswith("service:"))
            for name, thing in value.items()
        )
    )


def one_object(value: Any) -> bool:
    """Whether a value is one of `objects`, as far as it goes alone."""
    if not fields(value, "type", "offset", "state", "links") or value["type"] not in list(TYPES):
        return False
    words, links = TYPES[value["type"]]
    return (
        number(value["offset"], range(0, 1 << 38, 16))
        and fields(value["state"], *words)
        and all(word(name, held) for name, held in value["state"].items())
        and value["state"].get("hash") != 0
        and fields(value["links"], *links)
        and all(end is None or text(end) or number(end, WORD) for end in value["links"].values())
    )


def word(name: str, value: Any) -> bool:
    """Whether a value is what a word has: a number, or a list of so many."""
    if name not in SEVERAL:
        return number(value, WORD)
    return isinstance(value, list) and len(value) == SEVERAL[name] and all(number(held, WORD) for held in value)


def devices(value: Any) -> bool:
    """Whether a value names devices with their states."""
    return (
        isinstance(value, dict)
        and len(value) <= 256
        and all(
            (name == "console" or name.startswith("service:"))
            and fields(device, "device", "state")
            and text(device["device"])
            and isinstance(device["state"], dict)
            for name, device in value.items()
        )
        and sum(len(json.dumps(device["state"])) for device in value.values()) <= 2 << 20
    )


def identity(value: object) -> bool:
    """Whether a value is an identity."""
    return isinstance(value, str) and re.fullmatch(r"[0-9a-f]{32}", value) is not None


FIELDS: dict[str, Callable[[Any], bool]] = {
    "program": text,
    "arguments": texts,
    "clock_ns": lambda value: number(value, range((1 << 62) + 1)),
    "last_stamp": lambda value: number(value, range((1 << 63) + 1)),
    "budget": lambda value: value is None or number(value, range((1 << 63) + 1)),
    "memory_size": lambda value: number(value, range(0, (1 << 38) + 1, PAGE)),
    "mappings": several(one_mapping, 1024),
    "outside": outside,
    "objects": several(one_object, 65536),
    "running": several(lambda value: number(value, WORD), 65536),
    "devices": devices,
    "unsaved": texts,
    "parent": lambda value: value is None or identity(value),
}
"""What each field has to be, alone."""
