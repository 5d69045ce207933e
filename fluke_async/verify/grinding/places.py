"""
Where everything is in the spaces that grind: code, slots by what they are meant for, buffers; the same in each.

Slots are meant for one type each, so that a random call finds what it wants more often than not. Programs put whatever
they like into whichever they like.
"""

from __future__ import annotations

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_END, ObjectType
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.recreation import KINDS

CODE = 0x10_0000
HANDLER = CODE + 0x800  # where exceptions are taken
SHARED_SLOTS, OWN_SLOTS, FOREIGN_SLOTS = 0x10_1000, 0x10_2000, 0x10_3000  # of all, of the space, of the next space
OWN_MEMORY, OWN_PAGES = 0x11_0000, 8
COMMON_MEMORY, COMMON_PAGES = 0x12_0000, 8
PAGED_MEMORY, PAGED_PAGES, PRESENT_PAGES = 0x13_0000, 8, 3  # behind those that are present, a keeper is asked
FREE = 0x20_0000  # where programs map things
FREE_PAGES = 16
UNMAPPED = 0x4000_0000
STATES = OWN_MEMORY  # a structure of each type of object, read out and loaded there
STATE_STRIDE = 0x400
TABLES = OWN_MEMORY + (OWN_PAGES - 1) * PAGE_SIZE  # of references, and behind them of buffers
BUFFER_TABLES = TABLES + PAGE_SIZE // 2
SPARES = 3  # of each type, in each page

_COUNTS = {
    ObjectType.THREAD: 6,
    ObjectType.MUTEX: 3,
    ObjectType.COND: 2,
    ObjectType.PORT: 3,
    ObjectType.PORTSET: 2,
    ObjectType.SPACE: 2,
    ObjectType.REGION: 3,
    ObjectType.MAPPING: 3,
}
_REFERENCES = {
    ObjectType.THREAD: 3,
    ObjectType.MUTEX: 1,
    ObjectType.COND: 1,
    ObjectType.PORT: 3,
    ObjectType.PORTSET: 2,
    ObjectType.SPACE: 3,
    ObjectType.REGION: 3,
    ObjectType.NULL: 1,
}
KIND_OF_SLOT: list[type[KernelObject]] = [KINDS[type_] for type_, count in _COUNTS.items() for _ in range(count)]
TYPE_OF_REFERENCE: dict[int, ObjectType] = {}  # by the number of the slot, what the reference there is for
for _type, _count in _REFERENCES.items():
    for _ in range(_count):
        TYPE_OF_REFERENCE[len(KIND_OF_SLOT)] = _type
        KIND_OF_SLOT.append(KINDS[ObjectType.REF])

SLOTS: dict[ObjectType, list[int]] = {type_: [] for type_ in ObjectType}
"""The addresses of the slots meant for each type; those of references besides by what they refer to."""
REFERENCES: dict[ObjectType, list[int]] = {type_: [] for type_ in ObjectType}
for _start in (SHARED_SLOTS, OWN_SLOTS, FOREIGN_SLOTS):
    for _number, _kind in enumerate(KIND_OF_SLOT):
        SLOTS[_kind.type].append(_start + _number * SLOT_SIZE)
        if _kind.type is ObjectType.REF:
            REFERENCES[TYPE_OF_REFERENCE[_number]].append(_start + _number * SLOT_SIZE)
SPARE: dict[ObjectType, list[int]] = {type_: [] for type_ in ObjectType}
"""The addresses of slots in which nobody makes anything but the programs; they are among `SLOTS` too."""
for _start in (SHARED_SLOTS, OWN_SLOTS):
    for _type in ObjectType:
        SPARE[_type] += [_start + PAGE_SIZE // 2 + (_type * SPARES + number) * SLOT_SIZE for number in range(SPARES)]
for _type, _addresses in SPARE.items():
    if _type is not ObjectType.NULL:
        SLOTS[_type] += _addresses
ALL_SLOTS = [address for addresses in SLOTS.values() for address in addresses]
ALL_REFERENCES = SLOTS[ObjectType.REF]

WILD = (
    *(0, 1, 4, 8, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**63 + 8, 2**64 - 4096, 2**64 - 16, 2**64 - 8, 2**64 - 1),
    *(CODE, CODE + 2, HANDLER, SHARED_SLOTS + 4080, SHARED_SLOTS + 8, OWN_SLOTS - 16, UNMAPPED, UNMAPPED - 8),
    *(USER_END - 4096, USER_END - 8, USER_END, COMMON_MEMORY + 4092, PAGED_MEMORY + PRESENT_PAGES * PAGE_SIZE - 8),
)
"""What is worth trying anywhere."""


def state_at(type_: ObjectType) -> int:
    """Where states of a type are read out to and loaded from."""
    return STATES + type_ * STATE_STRIDE
