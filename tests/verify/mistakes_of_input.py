"""
Mistakes to be planted in how files and states are taken in: checks left out, effects that come too early, leftovers.

Each replaces a function for the rest of its process; sound files and states are taken in as before.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace

from fluke_async.cpu import elf
from fluke_async.cpu.elf import ElfImage, Segment
from fluke_async.embedding import loader
from fluke_async.embedding.slab import Slab
from fluke_async.errors import FlukeError, ProgramError
from fluke_async.kernel import object_calls
from fluke_async.kernel.core import Core
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects import thread_state
from fluke_async.kernel.objects.base import KernelObject, Link, Links, StateBits
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.verify import hostile_files

# -- files ---------------------------------------------------------------------------------------------------------


def memory_of_a_refused_file_kept() -> None:
    """What was built before it turned out that the memory does not suffice stays."""
    original = Slab.free

    def free(self: Slab) -> None:
        if not isinstance(sys.exc_info()[1], FlukeError):
            original(self)

    Slab.free = free  # type: ignore[method-assign]


def pages_shared_by_segments() -> None:
    """Segments may lie on top of each other."""
    original = elf._check_segments

    def check(segments: tuple[Segment, ...], memory_limit: int) -> None:
        for segment in segments:
            original((segment,), memory_limit)

    elf._check_segments = check


def memory_counted_in_bytes_of_the_file() -> None:
    """The limit is compared with what the file has, not with what it claims."""
    original = elf._check_segments

    def check(segments: tuple[Segment, ...], memory_limit: int) -> None:
        original(tuple(replace(each, memory_size=max(1, len(each.data))) for each in segments), memory_limit)

    elf._check_segments = check


def relocations_beyond_the_data() -> None:
    """A word to be relocated may lie in a segment's zeros, which the file does not have."""

    def find(segments: tuple[Segment, ...], address: int, size: int, what: str) -> tuple[int, int]:
        for index, segment in enumerate(segments):
            offset = address - segment.address
            if offset >= 0 and offset + size <= segment.memory_size:
                return index, offset
        raise ProgramError(f"{what}, {address:#x}, lies outside of it")

    elf._find = find


def errors_of_the_parser_passed_on() -> None:
    """What the parser raises reaches the embedder."""
    for module in (loader, hostile_files):
        module.load_elf = elf._load  # type: ignore[attr-defined]


def names_of_any_length() -> None:
    """Symbols may share their names' bytes, however long they are."""

    def symbols(self: ElfImage) -> dict[str, int]:
        table, names = elf._symbol_table(self._file)
        entries = elf._SYMBOL.iter_unpack(table)
        return {names[name : names.find(b"\0", name)].decode("latin-1"): value for name, _, _, _, value, _ in entries}

    ElfImage.symbols = symbols  # type: ignore[method-assign]


# -- states --------------------------------------------------------------------------------------------------------


def mappings_on_top_of_each_other() -> None:
    """Whether a mapping overlaps another is not asked when its state is loaded."""
    Space.overlapping = lambda *_, **__: None  # type: ignore[method-assign]


def mutex_freed_before_the_checks() -> None:
    """A mutex that gets a state loses its owner first."""
    original = Mutex.import_state

    def import_state(self: Mutex, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        owner = self.owner
        self.own(core, None)
        original(self, core, by, bits, {"owner": owner, **links})

    Mutex.import_state = import_state  # type: ignore[method-assign]


def links_to_any_type() -> None:
    """A reference may name whatever there is."""

    def linked(core: Core, thread: Thread, address: int, link: Link) -> KernelObject | None:
        return object_at(core, thread, address, Reference).target

    object_calls._linked = linked


def links_to_what_was_destroyed() -> None:
    """A reference goes on naming what is not there any more."""
    Reference.target = property(lambda self: self._target, lambda self, target: setattr(self, "_target", target))  # type: ignore[method-assign,assignment]


def place_among_the_ready_kept_by_waiters() -> None:
    """A thread that waits keeps the order among the ready threads that was loaded."""
    original = thread_state._load_links

    def load_links(core: Core, thread: Thread, bits: StateBits | None, links: Links) -> None:
        order = thread.run_order
        original(core, thread, bits, links)
        thread.run_order = order

    thread_state._load_links = load_links


def priority_not_lent_to_a_loaded_inheritor() -> None:
    """A condition is loaded with another inheritor, and lends it nothing."""
    original = Cond.import_state

    def import_state(self: Cond, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        inheritor = links.get("inheritor", self.inheritor)
        original(self, core, by, bits, {})
        self.inheritor = inheritor  # type: ignore[assignment]

    Cond.import_state = import_state  # type: ignore[method-assign]


def calls_that_cannot_wait_parked() -> None:
    """The links of a thread are not checked."""
    thread_state._check_links = lambda *_: None


def handlers_not_loaded() -> None:
    """A thread keeps the handlers that it had."""
    original = thread_state._load_bits

    def load_bits(core: Core, thread: Thread, bits: StateBits) -> None:
        handlers = thread.handlers
        original(core, thread, bits)
        thread.handlers = handlers

    thread_state._load_bits = load_bits


OF_FILES: tuple[Callable[[], None], ...] = (
    memory_of_a_refused_file_kept,
    pages_shared_by_segments,
    memory_counted_in_bytes_of_the_file,
    relocations_beyond_the_data,
    errors_of_the_parser_passed_on,
    names_of_any_length,
)
OF_STATES: tuple[Callable[[], None], ...] = (
    mappings_on_top_of_each_other,
    mutex_freed_before_the_checks,
    links_to_any_type,
    links_to_what_was_destroyed,
    place_among_the_ready_kept_by_waiters,
    priority_not_lent_to_a_loaded_inheritor,
    calls_that_cannot_wait_parked,
    handlers_not_loaded,
)
