"""
The one procedure of the first law, by hand: stop everybody, read out all state, destroy, create again, go on.

State goes through bytes, links through a list of addresses; devices are outside and stay.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fluke_async.abi.codes import ThreadFlags
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine

ORDER = (Space, Region, Mapping, Portset, Port, Mutex, Reference, Thread)  # links lead backwards, mostly


@dataclass
class Image:
    """One object's state: where and what it is, its bits as bytes, its links as addresses."""

    kind: type[KernelObject]
    address: int
    hash: int
    bits: bytes | None
    links: dict[str, int | None]


def recreate(machine: Machine, *, parked: bool = True) -> None:
    """
    Replace every object of a machine but devices by one with the same state.

    `parked` restores what a thread waits for; else it is dispatched from its registers.
    """
    core = machine.core
    assert core.unfinished is None
    machine.hart.park_resident()
    core.current = None
    targets = [each for each in core.objects.values() if not outside(each)]
    images = [read_out(core, each, parked=parked) for each in targets]
    for each in targets:
        core.destroy(each)
    made = {image.address: core.create(image.kind, image.address, image.hash) for image in images}
    machine.addresses = {made.get(each.address) or each: address for each, address in machine.addresses.items()}
    machine.space = made[machine.space.address]  # type: ignore[assignment]
    for image in sorted(images, key=lambda image: ORDER.index(image.kind)):
        load(core, made, image, stopped=True)
    for image in images:
        if image.kind is Thread and not flags(image) & ThreadFlags.STOPPED:
            load(core, made, image, stopped=False)


def outside(each: KernelObject) -> bool:
    return isinstance(each, Port) and each.receiver is not None


def read_out(core: Core, each: KernelObject, *, parked: bool) -> Image:
    if isinstance(each, Thread) and each.exception is not None:
        core.stop(each)  # its program has ended, and need not end again
    bits = None if each.layout is None else each.layout.pack(each.export_bits(core))
    if isinstance(each, Thread):
        core.stop(each)
    names = [link.name for link in each.links] if not isinstance(each, Reference) else ["target"]
    links: dict[str, int | None] = {}
    for name in names:
        target = each.target if isinstance(each, Reference) else each.export_link(name)
        links[name] = None if target is None else target.address
    if not parked and "waiting_for" in links:
        links["waiting_for"] = None
    return Image(type(each), each.address, each.hash, bits, links)


def flags(image: Image) -> int:
    assert image.bits is not None
    offset = Thread.layout.offset_of("flags")
    return int.from_bytes(image.bits[offset : offset + 8], "little")


def load(core: Core, made: dict[int, KernelObject | None], image: Image, *, stopped: bool) -> None:
    def at(address: int | None) -> Any:
        if address is None:
            return None
        return core.root if address == core.root.address else made.get(address) or core.objects[address]

    target = made[image.address]
    assert target is not None
    if isinstance(target, Reference):
        target.target = at(image.links["target"])
        return
    assert target.layout is not None
    assert image.bits is not None
    bits = target.layout.unpack(image.bits)
    links = {name: at(address) for name, address in image.links.items()}
    if isinstance(target, Thread):
        flags_word = bits["flags"]
        assert isinstance(flags_word, int)
        if stopped:
            bits["flags"] = flags_word | ThreadFlags.STOPPED
        else:
            links = {}
    target.import_state(core, None, bits, links)
