"""References: what a program holds to name an object that is somewhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, ObjectType
from fluke_async.abi.registers import A0, A1
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.base import KernelObject

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread


class Reference(KernelObject):
    """Refers to one object, or to nothing; the object does not know."""

    __slots__ = ("_target",)

    type = ObjectType.REF
    wrong_type = ExceptionCode.NOT_REF

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self._target: KernelObject | None = None

    @property
    def target(self) -> KernelObject | None:
        """What the reference refers to; None too once that has been destroyed."""
        target = self._target
        return target if target is not None and target.active else None

    @target.setter
    def target(self, target: KernelObject | None) -> None:
        self._target = target


def ref_copy(core: Core, thread: Thread) -> int:
    """Make one reference refer to what another does."""
    source = object_at(core, thread, thread.registers[A0], Reference)
    destination = object_at(core, thread, thread.registers[A1], Reference)
    destination.target = source.target
    return 0


def ref_type(core: Core, thread: Thread) -> int:
    """The type of what the reference refers to."""
    target = object_at(core, thread, thread.registers[A0], Reference).target
    return ObjectType.NULL if target is None else target.type


def ref_check(core: Core, thread: Thread) -> int:
    """Whether what the reference refers to is there."""
    return int(object_at(core, thread, thread.registers[A0], Reference).target is not None)


def ref_compare(core: Core, thread: Thread) -> int:
    """Whether two references refer to the same."""
    one = object_at(core, thread, thread.registers[A0], Reference)
    other = object_at(core, thread, thread.registers[A1], Reference)
    return int(one.target is other.target)


def ref_hash(core: Core, thread: Thread) -> int:
    """The hash of what the reference refers to."""
    target = object_at(core, thread, thread.registers[A0], Reference).target
    return 0 if target is None else target.hash
