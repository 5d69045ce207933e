"""
What every kernel object has: a place in user memory, a hash, a state that can be read out and loaded.

An object lives at a 16-byte slot of somebody's memory. Its name is the slot's physical address, `(frame, offset)` in
one number, so whoever shares the page shares the object; the slot's bytes are not used. The object's state has two
parts: bits, laid out in a structure of the ABI, and links to other objects, delivered through references.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fluke_async.abi.codes import ExceptionCode, ObjectType
from fluke_async.abi.layout import Layout
from fluke_async.kernel.ordered_queue import OrderedQueue

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

StateBits = Mapping[str, int | tuple[int, ...]]
Links = Mapping[str, "KernelObject | None"]


@dataclass(frozen=True, slots=True)
class Link:
    """A link in an object's state: its name, what it may refer to, and the exception for anything else."""

    name: str
    types: frozenset[ObjectType]
    error: ExceptionCode


class KernelObject:
    """The base of all objects."""

    __slots__ = ("active", "address", "hash", "waiters")

    type: ClassVar[ObjectType]
    ends_stage: ClassVar[bool] = False  # whether leaving its queue is the end of a stage, and of the order given there
    named_by_waiters: ClassVar[bool] = False  # whether the registers of who waits for it hold its address
    wrong_type: ClassVar[ExceptionCode]  # what a call gets that finds another type
    layout: ClassVar[Layout | None] = None
    links: ClassVar[tuple[Link, ...]] = ()

    def __init__(self, address: int, hash_: int) -> None:
        self.address = address
        self.hash = hash_
        self.active = True
        self.waiters: OrderedQueue | None = None

    def queue(self) -> OrderedQueue:
        """Where the threads stand that wait for this object."""
        if self.waiters is None:
            self.waiters = OrderedQueue()
        return self.waiters

    def expects(self, core: Core, thread: Thread) -> bool:
        """Whether a parked thread that starts will be found by who ends its wait; else it has to look again."""
        return self.active

    def first_waiter(self) -> Thread | None:
        """The first in that queue."""
        return None if self.waiters is None else self.waiters.head()

    def export_bits(self) -> StateBits:
        """The bits of this object's state."""
        return {"hash": self.hash}

    def export_link(self, name: str) -> KernelObject | None:
        """The object that the link `name` leads to, if it is still there."""
        target: KernelObject | None = getattr(self, name)
        return target if target is not None and target.active else None

    def on_export(self, core: Core, by: Thread) -> None:
        """What reading the state out does to the object; may raise a program exception of `by`."""

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        """
        Load the parts given: `bits` or None, and links by name (None clears one).

        Everything is checked before anything changes; a mistake is a program exception of `by`, which is None when
        the host calls.
        """

    def on_destroy(self, core: Core) -> None:
        """Undo what ties this object to others; the core has taken its name away already."""

    def __lt__(self, other: KernelObject) -> bool:
        """
        An order for what a program made equal: stamps and priorities can be set at will.

        A queue relies on it while its members move, so the address decides only between hashes made equal too.
        """
        return (self.hash, self.address) < (other.hash, other.address)

    def __repr__(self) -> str:
        return f"{self.type.name.lower()} {self.hash}"


class Lender(KernelObject):
    """An object that may lend a thread priority; see `kernel/priority.py`."""

    __slots__ = ()

    @property
    def heir(self) -> Thread | None:
        """Who is lent the priority of the threads that wait for this object."""
        raise NotImplementedError

    @property
    def lent_priority(self) -> int:
        """What it lends now."""
        raise NotImplementedError

    def on_borrower_gone(self) -> None:
        """The thread that it lends to has been destroyed."""
        raise NotImplementedError
