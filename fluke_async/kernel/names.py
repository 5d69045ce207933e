"""From the address that a program gives to the object that it means."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, ExceptionCode
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.translation import FRAME_MASK, OFFSET_MASK, READ, page_in

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.base import KernelObject
    from fluke_async.kernel.objects.thread import Thread

T = TypeVar("T", bound="KernelObject")


def physical(core: Core, thread: Thread, address: int, access: int) -> int:
    """The physical address behind an aligned slot of the thread's memory that grants `access`."""
    if address % SLOT_SIZE:
        raise ProgramException(thread, ExceptionCode.NOT_ALIGNED, address)
    space = thread.space
    entry = 0 if space is None else space.pages.get(address // PAGE_SIZE, 0)
    if not entry & access:
        entry = page_in(core, thread, address, access)
    return (entry & FRAME_MASK) | (address & OFFSET_MASK)


def object_at(core: Core, thread: Thread, address: int, wanted: type[T], access: int = READ) -> T:
    """
    The object of type `wanted` at an address of the thread's memory, mapped with at least `access`.

    Raises:
        ProgramException: NOT_ALIGNED, a fault, NO_OBJECT, or the exception for another type.
    """
    found = core.objects.get(physical(core, thread, address, access))
    if found is None:
        raise ProgramException(thread, ExceptionCode.NO_OBJECT, address)
    if not isinstance(found, wanted):
        raise ProgramException(thread, wanted.wrong_type, address)
    return found
