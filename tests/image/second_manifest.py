"""What the second reader makes of a manifest: JSON, read as the format page says, with the page's tables as data."""

import hashlib
import json
import math
import re
from collections.abc import Callable
from itertools import pairwise
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

WAITABLE = {"thread", "port", "portset", "mutex", "cond"}
LEADS_TO: dict[str, set[str]] = (
    {"space": {"space"}, "region": {"region"}, "portset": {"portset"}, "waiting_for": WAITABLE}
    | {name: {"port"} for name in ("scheduler", "keeper")}
    | {name: {"thread"} for name in ("client", "server", "owner", "inheritor")}
    | {"target": WAITABLE | {"space", "region"}}
)
"""The types to which links lead, by their names."""

EXCEPTIONS = {0, 2, 3, 4, 8, 12, 13, 15, 0x115, 0x116, *range(0x100, 0x10A), *range(0x111, 0x114), *range(0x120, 0x134)}
"""As the kernel's page of codes has them."""

Numbers = dict[str, Any]
END = 1 << 64
RULES: dict[str, tuple[Callable[[Numbers], object], ...]] = {
    "thread": (
        lambda state: state["flags"] < 1024 and state["flags"] & 1 and state["flags"] & 40 != 40,
        lambda state: state["priority"] <= 31,
        lambda state: state["quantum_left"] <= 1_000_000 or state["quantum_left"] >= END // 2,
        lambda state: state["fcsr"] <= 255,
        lambda state: state["exception"] in EXCEPTIONS,
        lambda state: state["exception"] or not state["exception_subcode"],
        lambda state: state["fault_access"] in {0, 1, 2, 4, 9, 10, 12},
        lambda state: state["fault_access"] or not state["fault_address"],
    ),
    "mutex": (
        lambda state: state["flags"] <= 15,
        lambda state: state["locked"] <= 1,
        lambda state: state["ceiling"] <= 31,
    ),
    "cond": (lambda state: state["flags"] <= 1,),
    "region": (
        lambda state: state["prot"] <= 7,
        lambda state: state["start_va"] % PAGE == state["size"] % PAGE == 0,
        lambda state: state["start_va"] + state["size"] <= END,
    ),
}
RULES["mapping"] = (
    *RULES["region"],
    lambda state: not state["size"] or PAGE <= state["start_va"] <= state["start_va"] + state["size"] <= 1 << 38,
    lambda state: state["region_off"] % PAGE == 0 and state["region_off"] + state["size"] <= END,
)
"""What must hold of the words of a type."""


class UnfitError(Exception):
    """The manifest is not as the page says."""


def need(condition: object, why: str) -> None:
    """Refuse the manifest for a reason unless a condition holds."""
    if not condition:
        raise UnfitError(why)


def manifest_of(text: str) -> dict[str, Any]:
    """The manifest that a text is."""
    try:
        manifest: dict[str, Any] = json.loads(text, parse_constant=constant)
        json.dumps(manifest, ensure_ascii=False).encode()  # halves of surrogate pairs are no characters
    except (ValueError, RecursionError) as error:
        raise UnfitError("no JSON") from error
    need(isinstance(manifest, dict), "no object")
    need(number(manifest.get("format"), range(1, 2)), f"another format: {manifest.get('format')!r}")
    need(number(manifest.get("abi"), range(1, 2)), f"another ABI: {manifest.get('abi')!r}")
    for field, fits in FIELDS.items():
        need(field in manifest, f"no {field}")
        need(fits(manifest[field]), f"{field} is not as it has to be")
    check_together(manifest)
    return manifest


def constant(name: str) -> float:
    """Refuse what JSON itself does not have."""
    raise UnfitError(f"{name} is no number")


def check_together(manifest: dict[str, Any]) -> None:
    """What one field says of another."""
    memory, objects = manifest["memory_size"], manifest["objects"]
    need(all(mapping["end"] <= memory for mapping in manifest["mappings"]), "a mapping of more than there is")
    check_apart(manifest)
    offsets = [thing["offset"] for thing in objects]
    need(all(low < high for low, high in pairwise(offsets)), "objects out of order")
    need(all(offset < memory for offset in offsets), "an object outside the memory")
    types = {thing["offset"]: thing["type"] for thing in objects}
    running = manifest["running"]
    need(all(types.get(offset) == "thread" for offset in running), "what runs is no thread")
    need(len(set(running)) == len(running), "a thread runs twice")
    known = types | {name: thing["type"] for name, thing in manifest["outside"].items()}
    for thing in objects:
        links, state = thing["links"], thing["state"]
        for name, end in links.items():
            need(end is None or known.get(end) in LEADS_TO[name], f"a link {name} to what it cannot lead to")
        need(all(rule(state) for rule in RULES.get(thing["type"], ())), "a state that is none")
        if thing["type"] == "mutex":
            need(links["owner"] is None or state["locked"], "an owner of what is not locked")
        if thing["type"] == "thread":
            check_thread(thing, known, manifest["last_stamp"])


def check_apart(manifest: dict[str, Any]) -> None:
    """Mappings of one space do not overlap."""
    spaces: dict[int | str, list[tuple[int, int]]] = {
        "space": [(mapping["start"], mapping["end"]) for mapping in manifest["mappings"]]
    }
    for thing in manifest["objects"]:
        if thing["type"] == "mapping" and thing["links"]["space"] is not None:
            start, size = thing["state"]["start_va"], thing["state"]["size"]
            spaces.setdefault(thing["links"]["space"], []).append((start, start + size))
    for ranges in spaces.values():
        ranges.sort()
        need(all(low[1] <= high[0] for low, high in pairwise(ranges)), "mappings overlap")


def check_thread(thread: dict[str, Any], known: dict[int | str, str], last_stamp: int) -> None:
    """What one word or link of a thread says of another."""
    links, state = thread["links"], thread["state"]
    need(max(state["wait_order"], state["run_order"]) <= last_stamp, "an order after the last")
    ends = [links[name] for name in ("waiting_for", "client", "server")]
    need(thread["offset"] not in ends, "a thread at its own other end")
    need(not any(isinstance(end, str) for end in ends[1:]), "a connection that leads outside")
    away = ends[0]
    asks = bool(state["exception"]) + bool(state["fault_access"])
    need(not isinstance(away, str) or (known[away] == "port" and not asks), "waits outside for no answer")
    need(away is None or not asks or (asks == 1 and known[away] in {"port", "thread"}), "asks whom it cannot ask")


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
        and len({kept(name) for name in value}) == len(value)
        and all(
            fields(thing, "type", "hash")
            and thing["type"] in ([OUTSIDE[name]] if name in OUTSIDE else list(LEADS_TO["target"]))
            and number(thing["hash"], WORD[1:])
            and (name in OUTSIDE or re.fullmatch(r"service:[^\0]{1,247}", name))
            for name, thing in value.items()
        )
    )


def kept(name: str) -> bytes:
    """What records keep of a name."""
    data = name.encode()
    return (
        data if len(data) <= 31 else data[:14] + b"~" + hashlib.blake2b(data, digest_size=16).hexdigest()[:16].encode()
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
    """Whether a value names devices with their states, which are measured without any spaces between their parts."""
    return (
        isinstance(value, dict)
        and len(value) <= 256
        and all(
            fields(device, "device", "state")
            and text(device["device"])
            and len(device["device"]) <= 255
            and all(re.fullmatch(r"[^\W\d]\w*", part) for part in device["device"].split("."))
            and isinstance(device["state"], dict)
            and is_plain(device["state"], 16)
            for device in value.values()
        )
        and sum(len(json.dumps(device["state"], separators=(",", ":"))) for device in value.values()) <= 2 << 20
    )


def is_plain(value: object, depth: int) -> bool:
    """Whether it is a plain value, with so many in each other at most."""
    if isinstance(value, dict | list):
        inner = value.values() if isinstance(value, dict) else value
        return depth > 0 and all(is_plain(each, depth - 1) for each in inner)
    if type(value) is int:
        return value in range(-(1 << 63), 1 << 64)
    return value is None or isinstance(value, bool | str) or (isinstance(value, float) and math.isfinite(value))


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
