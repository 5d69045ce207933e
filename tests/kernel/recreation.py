"""The one procedure of the first law on a machine: everything but its devices is created again."""

from __future__ import annotations

from collections.abc import Collection

from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.recreation import Record, capture, closed_set, destroy, restore, without_waits
from tests.kernel.machine import Machine


def recreate(machine: Machine, *, parked: bool = True) -> list[Record]:
    """
    Replace every object of a machine by one with the same state; what was captured is returned.

    `parked` restores what a thread waits for; else it is dispatched from its registers.
    """
    core = machine.core
    machine.hart.park_resident()
    core.current = None
    objects = closed_set(core)
    records = capture(core, objects)
    destroy(core, objects)
    made = restore(core, records if parked else without_waits(records))
    machine.addresses = {made.get(each.address, each): address for each, address in machine.addresses.items()}
    machine.space = made[machine.space.address]  # type: ignore[assignment]
    return records


def recreate_some(machine: Machine, some: Collection[Thread]) -> None:
    """
    Replace some threads of a machine by others with the same state, while all stand still.

    Whoever was linked to one of them is loaded again, with a link to the new one.
    """
    core = machine.core
    machine.hart.park_resident()
    core.current = None
    objects = [each for each in closed_set(core) if isinstance(each, Thread | Reference)]
    records = capture(core, objects)
    standing: dict[int, KernelObject] = {each.address: each for each in objects if each not in some}
    destroy(core, some)
    made = restore(core, records, standing)
    machine.addresses = {made.get(each.address, each): address for each, address in machine.addresses.items()}
