"""
What a process has outside its memory: its space, what is mapped there, and the ports that it was given.

It is made by the process's parent, for a program that starts and again for one that is restored. What the process can
refer to in it has names: by these its references are found again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Self

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, ThreadFlags
from fluke_async.device import DevicePort
from fluke_async.embedding.slab import OutOfMemory, Slab
from fluke_async.errors import KernelBug
from fluke_async.image.manifest import SERVICE_PREFIX
from fluke_async.kernel.account import Account
from fluke_async.kernel.checks import number
from fluke_async.kernel.core import Core
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread

Service = KernelObject | DevicePort | Callable[[DeviceRequest], None]
"""What a program is given by name: an object to refer to, a device, or what takes note of requests."""

OBJECTS_BYTES = 64 << 10  # of the parent's part of the slab
REFERENCES_BYTES = PAGE_SIZE  # after them, to what is named


def _nobody_yet(request: DeviceRequest) -> None:
    raise KernelBug(f"{request.thread} has asked {request.port} before anybody is there to answer")


class Outside:
    """Around the memory in `slab`; on an exception the caller frees that, and nothing is left."""

    def __init__(self, core: Core, hashes: Mapping[str, int] | None = None) -> None:
        self.slab = Slab(core)
        self._hashes = hashes or {}  # of what is made by its name, where it has to be known by the same one as before
        self.mappings: list[tuple[int, int, int]] = []
        self.services: Mapping[str, Service] = {}
        self.named: dict[str, KernelObject] = {}
        self._window: Region | None = None
        self._references: list[Reference] = []  # to what is named, for the window

    @classmethod
    def around(
        cls,
        core: Core,
        mappings: Iterable[tuple[int, int, int]],
        hashes: Mapping[str, int],
        services: Mapping[str, Service],
    ) -> Self:
        """What a process had outside, with the hashes that it had, around memory in which nothing is yet."""
        outside = cls(core, hashes)
        try:
            outside.make()
            for start, end, prot in mappings:
                outside.map(start, end, prot)
            outside.open(services)
        except BaseException:
            outside.slab.free()
            raise
        return outside

    def copy(self) -> Outside:
        """
        The same once more, around memory as this is now, but without the objects in it.

        Raises:
            OutOfMemory: the kernel's memory does not suffice; nothing is left.
        """
        core = self.slab.core
        hashes = {name: target.hash for name, target in self.named.items()}
        copy = self.around(core, self.mappings, hashes, self.services)
        if not core.root.share(core, self.slab.start, self.slab.end, copy.slab.start):
            copy.slab.free()
            raise OutOfMemory(core.quota.limit_bytes)
        return copy

    @property
    def account(self) -> Account:
        """What the program may still execute, and all of its threads."""
        return self.space.account

    def make(self) -> None:
        """Make the space, with nothing mapped."""
        self.space, self.region = self.slab.new_space(self._hash("space"))

    def map(self, start: int, end: int, prot: int) -> None:
        """Let the process see part of its memory."""
        if start < end:
            self.slab.map(self.space, self.region, start, end, prot)
            self.mappings.append((start, end, int(prot)))

    def open(self, services: Mapping[str, Service]) -> None:
        """Make the ports that every process has, and what this one is given beside them."""
        self.services = services
        self.console, self.timer, self.parent = (self._port(name) for name in ("console", "timer", "parent"))
        self.named = {"space": self.space, "parent": self.parent, "console": self.console, "timer": self.timer}
        for port in (self.console, self.timer, self.parent):
            port.receiver = _nobody_yet
        for name, target in services.items():
            self._give(SERVICE_PREFIX + name, target)

    def _give(self, name: str, target: Service) -> None:
        if isinstance(target, DevicePort):
            target = target.hand_in
        if not isinstance(target, KernelObject):
            port = self._port(name)
            port.receiver = target
            target = port
        self.named[name] = target

    def _port(self, name: str) -> Port:
        return self.slab.parent_object(Port, self._hash(name))

    def _hash(self, name: str) -> int:
        """0: a new one."""
        return self._hashes.get(name, 0)

    def take_in(self) -> None:
        """What somebody else has made in the memory is the process's: the spaces have its account."""
        core, account = self.slab.core, self.account
        place, end = self.slab.start, self.slab.start + self.slab.end
        while (found := core.root.next_objects(place, end)) is not None:
            place, frame = found[0] + PAGE_SIZE, found[1]
            for space in core.objects.in_frame(frame):
                if isinstance(space, Space) and space.account is not account:
                    threads = [thread for thread in space.account.threads if thread.space is space]
                    for thread in threads:
                        del space.account.threads[thread]
                    space.account = account
                    account.threads |= dict.fromkeys(threads)

    def put_back(self, running: Iterable[Thread]) -> None:
        """Let the process see its memory, and those of its threads go on that somebody has stopped who has failed."""
        core = self.slab.core
        self.slab.give_access(self.region, {"keeper": None})
        states = [(thread, thread.export_bits()) for thread in running if thread.active and thread.stopped]
        states.sort(key=lambda each: (number(each[1], "wait_order"), number(each[1], "thread_va")))
        for thread, state in states:
            thread.import_state(core, None, {**state, "flags": number(state, "flags") & ~ThreadFlags.STOPPED}, {})

    # -- for a manager ------------------------------------------------------------------------------------------------

    def open_window(self) -> Region:
        """
        The region through which a manager sees all of the slab, with references to what is named behind the objects.

        Raises:
            OutOfMemory: there is no memory for it; what has been made is used the next time.
        """
        if self._window is None:
            for number, target in enumerate(self.named.values()):
                if number == len(self._references):
                    place = self.references_offset + number * SLOT_SIZE
                    self._references.append(self.slab.parent_object_at(place, Reference))
                self._references[number].target = target
            window = self.slab.parent_object(Region)
            bits = {"hash": 0, "start_va": self.slab.start, "size": self.window_size, "prot": 3}
            window.import_state(self.slab.core, None, bits, {"space": self.slab.core.root})
            self._window = window
        return self._window

    @property
    def window_size(self) -> int:
        """Bytes of the window."""
        return self.references_offset + REFERENCES_BYTES

    @property
    def references_offset(self) -> int:
        """Where in the window the references are, one behind the other, in the order of the names."""
        return self.slab.end + OBJECTS_BYTES

    @property
    def region_offset(self) -> int:
        """Where in the window the region over the process's memory is."""
        return self.slab.offset_of(self.region)
