"""The types of objects in images: the structure of each one's state, and its links in order, with what they lead to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fluke_async.abi.codes import ObjectType
from fluke_async.abi.layout import Layout
from fluke_async.abi.layouts import (
    COND_STATE,
    MAPPING_STATE,
    MUTEX_STATE,
    PORT_STATE,
    PORTSET_STATE,
    REGION_STATE,
    SPACE_STATE,
    THREAD_STATE,
)

Types = frozenset[str]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type: its number in records, the layout of its state if it has one, its links with what they may lead to."""

    number: ObjectType
    layout: Layout | None
    links: Mapping[str, Types]
    name: str = field(init=False)
    """As it is written in images."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", self.number.name.lower())


THREAD, SPACE, REGION, PORT, PORTSET = (frozenset({name}) for name in ("thread", "space", "region", "port", "portset"))
WAITABLE = frozenset({"thread", "port", "portset", "mutex", "cond"})
REFERABLE = WAITABLE | SPACE | REGION

_KINDS = (
    Kind(
        ObjectType.THREAD,
        THREAD_STATE,
        {"space": SPACE, "scheduler": PORT, "waiting_for": WAITABLE, "client": THREAD, "server": THREAD},
    ),
    Kind(ObjectType.SPACE, SPACE_STATE, {"keeper": PORT}),
    Kind(ObjectType.REGION, REGION_STATE, {"space": SPACE, "keeper": PORT}),
    Kind(ObjectType.MAPPING, MAPPING_STATE, {"region": REGION, "space": SPACE}),
    Kind(ObjectType.PORT, PORT_STATE, {"portset": PORTSET}),
    Kind(ObjectType.PORTSET, PORTSET_STATE, {}),
    Kind(ObjectType.MUTEX, MUTEX_STATE, {"owner": THREAD}),
    Kind(ObjectType.COND, COND_STATE, {"inheritor": THREAD}),
    Kind(ObjectType.REF, None, {"target": REFERABLE}),
)
KINDS = {kind.name: kind for kind in _KINDS}
BY_NUMBER = {int(kind.number): kind for kind in _KINDS}

INSIDE_ONLY = frozenset({"client", "server"})
"""A thread's links that never lead outside: connections cannot be parted. One that waits outside does so at a port."""
