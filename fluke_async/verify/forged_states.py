"""
States that were forged, from states that were read out: wild numbers in their fields, links to anything, flipped bits.

A forged state starts as the object's own, as that of another object of its type, or as one that was read out earlier.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

from fluke_async.abi.codes import (
    FAULT_IN_CALL,
    PAGE_SIZE,
    PRIORITY_MAX,
    SLOT_SIZE,
    USER_END,
    USER_START,
    ExceptionCode,
    ObjectType,
    Prot,
    ThreadFlags,
)
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.registers import A0, A7
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS, STAMP_LEAD_MAX, STAMP_MAX

WORD = 1 << 64
Links = dict[str, KernelObject | int | None]
State = tuple[bytes, dict[str, KernelObject | None]]

WAITING = [entry.number for entry in ENTRY_POINTS if entry.waits_on or entry.has_points]
NUMBERS = [entry.number for entry in ENTRY_POINTS]
WILD = (0, 1, 2, 8, 64, PAGE_SIZE, 1 << 31, 1 << 32, USER_END - 1, USER_END, 1 << 62, 1 << 63, WORD - 8, WORD - 1)
EARLIER_MAX = 40


class Forger:
    """Forges states for the objects of one kernel; `addresses` are the objects that can be named now, with theirs."""

    def __init__(self, random: Random, core: Core) -> None:
        self.random = random
        self.core = core
        self.addresses: dict[KernelObject, int] = {}
        self.gone: list[KernelObject] = []
        self._earlier: list[tuple[ObjectType, State]] = []
        numbers, stamps, places = self._number, self._stamp, self._pages
        self._fields: dict[str, Callable[[int], int]] = {
            "flags": self._flags,
            "priority": lambda _: random.choice((0, 1, 15, 16, 17, PRIORITY_MAX, PRIORITY_MAX + 1, WORD - 1)),
            "wait_order": stamps,
            "run_order": stamps,
            "quantum_left": lambda _: random.choice(
                (0, 1, QUANTUM_INSTRUCTIONS, QUANTUM_INSTRUCTIONS + 1, 1 << 63, WORD - 1, (1 << 63) - 1)
            ),
            "pc": self._pc,
            **dict.fromkeys(("trap_handler", "interrupt_handler", "client_alert_handler", "saved_pc"), self._pc),
            **dict.fromkeys(("server_alert_handler", "server_oneway_pc", "server_idempotent_pc"), self._pc),
            "server_reliable_pc": self._pc,
            "saved_a7": lambda _: random.choice((random.choice(NUMBERS), self._word())),
            "server_portset": lambda _: self._address(ObjectType.PORTSET),
            "exception": lambda _: random.choice((0, 0, *ExceptionCode, 10_000, WORD - 1)),
            "fault_access": lambda _: random.choice((0, *Prot)) | random.choice((0, 0, FAULT_IN_CALL, 16)),
            "fault_address": places,
            "start_va": places,
            "region_off": places,
            "size": places,
            "prot": lambda _: random.choice((*Prot, 0, 7, 8, WORD - 1)),
            "locked": lambda _: random.choice((0, 1, 1, 2, WORD - 1)),
            "ceiling": lambda _: random.choice((0, 16, PRIORITY_MAX, PRIORITY_MAX + 1, WORD - 1)),
            "fcsr": numbers,
        }

    def remember(self, target: KernelObject, state: State) -> None:
        """Keep a state that was read out, to begin with later."""
        self._earlier.append((target.type, state))
        if len(self._earlier) > EARLIER_MAX:
            del self._earlier[self.random.randrange(EARLIER_MAX)]

    def state(self, target: KernelObject, own: State) -> tuple[bytes | None, Links]:
        """A state for an object whose own is given; without bits, now and then."""
        random = self.random
        earlier = [state for type_, state in self._earlier if type_ is target.type]
        data, own_links = random.choice(earlier) if earlier and random.random() < 0.4 else own
        links: Links = {
            name: link for name, link in own_links.items() if (link is None or link.active) and random.random() < 0.7
        }
        for link in target.links:
            if random.random() < 0.3:
                links[link.name] = self._link(target, link.types)
        draw = random.random()
        if draw < 0.08:
            return None, links
        if draw < 0.75:
            data = self._with_wild_fields(target, data)
        elif draw < 0.95:
            flipped = bytearray(data)
            for _ in range(random.choice((1, 1, 2, 4, 16))):
                flipped[random.randrange(len(flipped))] ^= 1 << random.randrange(8)
            data = bytes(flipped)
        return data, links

    # -- bits ------------------------------------------------------------------------------------------------------

    def _with_wild_fields(self, target: KernelObject, data: bytes) -> bytes:
        assert target.layout is not None
        words = target.layout.unpack(data)
        for _ in range(self.random.choice((1, 1, 2, 3, 6))):
            name = self.random.choice(list(words))
            old = words[name]
            if isinstance(old, tuple):
                words[name] = self._registers(name, old)
            else:
                words[name] = self._fields.get(name, self._number)(old) % WORD
        if isinstance(target, Thread) and self.random.random() < 0.4:
            words["x"] = self._another_call(words["x"])
        return target.layout.pack(words)

    def _registers(self, name: str, old: Sequence[int]) -> tuple[int, ...]:
        new = list(old)
        for _ in range(self.random.choice((1, 1, 2, 32))):
            new[self.random.randrange(len(new))] = self._word()
        return self._another_call(tuple(new)) if name == "x" and self.random.random() < 0.5 else tuple(new)

    def _another_call(self, old: object) -> tuple[int, ...]:
        """Registers that ask for another call, on objects that there are."""
        assert isinstance(old, tuple)
        new = list(old)
        new[A7] = self.random.choice((self.random.choice(WAITING), self.random.choice(NUMBERS)))
        for register in range(A0, A0 + self.random.randrange(1, 7)):
            new[register] = self._word()
        return tuple(new)

    def _number(self, old: int) -> int:
        return self.random.choice((old ^ 1 << self.random.randrange(64), old + 1, old - 1, self._word()))

    def _word(self) -> int:
        draw = self.random.random()
        if draw < 0.5:
            return self._address(*ObjectType)
        if draw < 0.7:
            return self.random.choice(WILD)
        return self.random.randrange(64) if draw < 0.9 else self.random.getrandbits(64)

    def _address(self, *types: ObjectType) -> int:
        """Where an object of one of these types is, or a place beside it, or anything."""
        found = [address for each, address in self.addresses.items() if each.type in types]
        address = self.random.choice(found) if found else self.random.choice(WILD)
        return address + self.random.choice((0, 0, 0, 0, SLOT_SIZE, 8, 1))

    def _flags(self, old: int) -> int:
        flags = old
        for _ in range(self.random.choice((1, 1, 2, 5))):
            flags ^= self.random.choice((*ThreadFlags, 1 << self.random.randrange(64)) if self.random.random() < 0.1
                                        else tuple(ThreadFlags))  # fmt: skip
        return flags

    def _stamp(self, old: int) -> int:
        stamp = self.core.stamp
        near = self.random.choice((0, 1, old, stamp, stamp + 1, self.random.randrange(stamp + 2)))
        lead = self.random.choice((0, 0, 0, STAMP_LEAD_MAX, STAMP_LEAD_MAX + 1, STAMP_MAX))
        return near if self.random.random() < 0.8 else stamp + lead

    def _pc(self, old: int) -> int:
        others = [each.pc for each in self.addresses if isinstance(each, Thread)] or [0]
        return self.random.choice((0, old + 4, old - 4, old + 2, old + 1, self.random.choice(others), self._word()))

    def _pages(self, old: int) -> int:
        """An address or a size of whole pages, or nearly."""
        choose = self.random.choice
        near = old + choose((-1, 1, 2, 16)) * PAGE_SIZE
        far = choose((0, PAGE_SIZE, USER_START, 1 << 20, USER_END - PAGE_SIZE, USER_END, 1 << 63, WORD - PAGE_SIZE))
        return choose((near, near, far, self._address(*ObjectType) // PAGE_SIZE * PAGE_SIZE)) + choose(
            (0,) * 8 + (1, 8)
        )

    # -- links -----------------------------------------------------------------------------------------------------

    def _link(self, target: KernelObject, types: frozenset[ObjectType]) -> KernelObject | int | None:
        """Where a link may lead: where it should, to the object itself, to what is gone, to anything, nowhere."""
        draw = self.random.random()
        right = [each for each in self.core.objects.values() if each.type in types]
        if draw < 0.6 and right:
            return self.random.choice(right)
        if draw < 0.68:
            return target
        if draw < 0.76 and self.gone:
            return self.random.choice(self.gone)
        if draw < 0.86:
            return self.random.choice(list(self.core.objects.values()))
        return None if draw < 0.95 else self._word()
