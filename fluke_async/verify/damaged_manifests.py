"""Damage to what an image's manifest means: values that are others, fields that are missing, text that is no JSON."""

from __future__ import annotations

import json
from copy import deepcopy
from random import Random
from typing import Any

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.verify.image_draft import Draft, places

TEXTS = ("", "x", "thread", "mutex", "space", "console", "service:x", "service:", "\n", "\ud800", "../x", "x" * 5000)


def value_in_manifest(draft: Draft) -> None:
    """A value, anywhere in the manifest, is another."""
    manifest = draft.manifest()
    found = list(places(manifest))
    if found:
        holder, key = draft.random.choice(found)
        holder[key] = _another(draft, manifest)
        draft.set_manifest(manifest)


def _another(draft: Draft, manifest: dict[str, Any]) -> Any:
    random = draft.random
    way = random.randrange(8)
    if way < 4:
        return draft.number()
    if way == 4:
        return random.choice(TEXTS)
    if way == 5:
        return random.choice((None, True, False, 1.5, -0.0, [], {}, [[]], {"x": 1}, [0] * 32, [1] * 31))
    holder, key = random.choice(list(places(manifest)))
    return deepcopy(holder[key])  # it may hold the place where it goes


def key_in_manifest(draft: Draft) -> None:
    """A field is missing, new, or there under another name; a list has more or less."""
    manifest, random = draft.manifest(), draft.random
    holders = [manifest, *(holder[key] for holder, key in places(manifest) if isinstance(holder[key], dict | list))]
    holder = random.choice(holders)
    if isinstance(holder, list):
        if holder and random.random() < 0.5:
            del holder[random.randrange(len(holder))]
        else:
            holder.insert(0, random.choice(holder) if holder else draft.number())
    elif holder and random.random() < 0.5:
        name = random.choice(list(holder))
        value = holder.pop(name)
        if random.random() < 0.5:
            holder[random.choice((*TEXTS, name + "s"))] = value
    else:
        holder[random.choice(TEXTS)] = draft.number()
    draft.set_manifest(manifest)


def in_object(draft: Draft) -> None:
    """An object's word, link, place or type is another one of those that there are."""
    manifest, random = draft.manifest(), draft.random
    objects = _objects(manifest)
    if not objects:
        return
    target, other = random.choice(objects), random.choice(objects)
    way = random.randrange(6)
    if way == 0:
        target["offset"] = random.choice((other.get("offset"), draft.number()))
    elif way == 1:
        target["type"] = other.get("type")
    elif way < 4 and isinstance(links := target.get("links"), dict) and links:
        names = manifest.get("outside")
        outside = random.choice(list(names)) if isinstance(names, dict) and names else "console"
        links[random.choice(list(links))] = random.choice((None, other.get("offset"), outside, draft.number()))
    elif isinstance(state := target.get("state"), dict) and state:
        name = "x" if "x" in state and random.random() < 0.3 else random.choice(list(state))
        if isinstance(state[name], list):
            state[name][random.choice((ENTRY_POINT, 0))] = random.choice(ENTRY_POINTS).number
        else:
            state[name] = random.choice((1 << random.randrange(12), draft.number()))
    draft.set_manifest(manifest)


def _objects(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    found = manifest.get("objects")
    return [each for each in found if isinstance(each, dict)] if isinstance(found, list) else []


def in_lists(draft: Draft) -> None:
    """Threads to be started, mappings or names outside are others."""
    manifest, random = draft.manifest(), draft.random
    running, mappings = manifest.get("running"), manifest.get("mappings")
    way = random.randrange(4)
    if way == 0 and isinstance(running, list):
        offsets = [each.get("offset") for each in _objects(manifest)]
        running.append(random.choice((*offsets, *running, draft.number())))
    elif way == 1 and isinstance(mappings, list):
        starts = [each["start"] for each in mappings if isinstance(each, dict) and isinstance(each.get("start"), int)]
        start = random.choice((*starts, random.randrange(0, 1 << 20) * PAGE_SIZE))
        size = random.choice((-1, 0, 1, 16, 1 << 10)) * PAGE_SIZE
        mappings.append({"start": start, "end": start + size, "prot": random.randrange(9)})
    elif way == 2 and isinstance(manifest.get("outside"), dict):
        kind = random.choice(("port", "mutex", "ref", "space", "x"))
        other: Any = random.choice((kind, {"type": kind}, {"type": kind, "hash": draft.number()}))
        manifest["outside"][random.choice(TEXTS)] = other
    else:
        state: Any = random.choice(({}, {"x": [1.5, None, "y"]}, {"x": {"y": [[[]]]}}, {"x": 2**70}, [], 3))
        manifest["devices"] = {"console": {"device": random.choice(("a.b", "", "a b", "os.system")), "state": state}}
    draft.set_manifest(manifest)


def in_text(draft: Draft) -> None:
    """The manifest is no JSON, or JSON of an unusual kind."""
    text, random = draft.manifest_text(), draft.random
    way = random.randrange(6)
    if way == 0:
        text = text[: random.randrange(len(text) + 1)]
    elif way == 1:
        text += random.choice((b" ", b"\0", b"{}", b"x"))
    elif way == 2:
        text = random.choice((b"", b"[", b"{", b"\xff", b"null", b"[]")) * random.choice((1, 1, 100_000))
    elif way == 3:
        text = text.replace(b'"devices":{', b'"devices":{"x":{"device":"a.b","state":' + _nested(random) + b"}", 1)
    elif way == 4:
        text = text.replace(b":0", random.choice((b":-0", b":0.0", b":0e0", b":NaN", b":1e999", b":" + b"9" * 5000)), 3)
    else:
        text = json.dumps(draft.manifest(), indent=1, sort_keys=True).encode()
    draft.set_manifest_text(text)


def _nested(random: Random) -> bytes:
    depth = random.choice((1, 10, 100, 10_000, 1_000_000))
    return b'{"x":' + b"[" * depth + b"]" * random.choice((depth, depth, 0)) + b"}"
