"""Scenarios for the first law in which pages are away: threads ask keepers, also in the middle of messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, WORD_SIZE, Prot
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

VIEW, WINDOW = 0x2000_0000, 0x3000_0000
PAGE_WORDS = PAGE_SIZE // WORD_SIZE


class PagedView:
    """
    A space that sees some pages at VIEW, by a region over a window of another space, with a mapping for each page.

    A page is away while its mapping grants nothing; the keeper, a thread of the machine, grants everything on all.
    """

    def __init__(self, machine: Machine, pages: int, *, keeper_priority: int = 16) -> None:
        self.machine = machine
        self.memory = machine.buffer(pages * PAGE_WORDS)
        self.space, window, region = machine.new_space(), machine.new(Space), machine.new(Region)
        self.mappings = [machine.new(Mapping) for _ in range(pages)]
        self.service = Service(machine)
        for page, mapping in enumerate(self.mappings):
            place = {"region_off": self.memory + page * PAGE_SIZE, "start_va": WINDOW + page * PAGE_SIZE}
            machine.load(mapping, {**place, "size": PAGE_SIZE}, region=machine.region, space=window)
        bits = {"start_va": WINDOW, "size": pages * PAGE_SIZE, "prot": int(Prot.ALL)}
        machine.load(region, bits, space=window, keeper=self.service.port)
        view = {"start_va": VIEW, "size": pages * PAGE_SIZE, "prot": int(Prot.ALL)}
        machine.load(machine.new(Mapping), view, region=region, space=self.space)
        self.asked = machine.buffer(8)
        receive = {"receive_buffer": self.asked, "receive_words": 8}
        self.keeper = machine.spawn(
            machine.call("ipc_setup_wait_receive", portset=self.service.portset, **receive),
            "serve",
            ("add", "s2", "s2", 1),
            machine.keep("s2", self.asked + 5 * WORD_SIZE),
            self.protect(range(pages), Prot.ALL),
            machine.call("ipc_reply_wait_receive", **receive),
            ("jump", "serve"),
            priority=keeper_priority,
        )

    def protect(self, pages: Iterable[int], prot: Prot) -> list[Part]:
        """The steps that set what the pages grant."""
        call = self.machine.call
        return [call("mapping_protect", mapping=self.mappings[page], prot=int(prot)) for page in pages]

    def take_away(self, *pages: int) -> list[Part]:
        """The steps that let pages be away."""
        return self.protect(pages, Prot.NONE)


def paged_accesses(machine: Machine) -> tuple[int, int]:
    """Loads, stores and calls on pages that are away, in two threads; the keeper is slow to come."""
    view = PagedView(machine, 3)
    for number in (1, 2):
        machine.spawn(
            ("burn", 30 * number),
            ("li", "s4", number),
            ("store", "s4", "zero", VIEW + 8 * number),
            machine.call("mutex_create", mutex=VIEW + PAGE_SIZE + 16 * number),
            view.take_away(0, 1),
            machine.call("mutex_lock", mutex=VIEW + PAGE_SIZE + 16 * number),
            ("load", "s5", "zero", VIEW + 8 * number),
            ("store", "s5", "zero", VIEW + 2 * PAGE_SIZE + 8 * number),
            machine.call("mutex_unlock", mutex=VIEW + PAGE_SIZE + 16 * number),
            priority=12,
            space=view.space,
        )
    return view.memory + 2 * PAGE_SIZE, 4


def client_copies_into_missing_pages(machine: Machine) -> tuple[int, int]:
    """The server waits first, in memory that goes away: it asks, and receives for itself. So does its client."""
    return _message(machine, "ipc_reply", server_priority=14)


def server_copies_from_missing_pages(machine: Machine) -> tuple[int, int]:
    """The client waits first; its memory goes away before it is read, and again before the reply."""
    return _message(machine, "ipc_reply_wait_receive", server_priority=9)


def _message(machine: Machine, reply: str, *, server_priority: int) -> tuple[int, int]:
    words = COPY_CHUNK_WORDS + 5  # three pages on either side, the client's first
    view, service = PagedView(machine, 6, keeper_priority=11), Service(machine)
    inbox, outbox = VIEW + 3 * PAGE_SIZE, VIEW
    machine.write(view.memory, range(1, words + 1))
    receive = {"receive_buffer": inbox, "receive_words": words}
    answer: dict[str, Any] = {"send_buffer": inbox, "send_words": words}
    machine.spawn(
        ("burn", 10),
        machine.call("ipc_setup_wait_receive", portset=service.portset, **receive),
        view.take_away(0, 2),
        machine.call(reply, **answer, **(receive if reply == "ipc_reply_wait_receive" else {})),
        priority=server_priority,
        space=view.space,
    )
    machine.spawn(
        ("burn", 40),
        view.take_away(1, 2, 3, 5),
        machine.call(
            "ipc_call",
            destination_ref=service.reference,
            send_buffer=outbox,
            send_words=words,
            receive_buffer=outbox,
            receive_words=words,
        ),
        machine.keep("a0", view.asked + 6 * WORD_SIZE),
        machine.keep("t6", view.asked + 7 * WORD_SIZE),
        priority=10,
        space=view.space,
    )
    return view.memory, 6 * PAGE_WORDS + 8


PAGED_SCENARIOS = (paged_accesses, client_copies_into_missing_pages, server_copies_from_missing_pages)
