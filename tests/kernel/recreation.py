"""The one procedure of the first law on a machine: everything but its devices is created again."""

from __future__ import annotations

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
