"""
The calls that every type of object has: create, create_hash, destroy, move, reference, get_state, set_state.

They are written once; an object's class says what its state and its links are.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from fluke_async.abi.codes import ExceptionCode, Status
from fluke_async.abi.registers import A0, A1, A2
from fluke_async.kernel import user_memory
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at, physical
from fluke_async.kernel.objects.base import KernelObject, Link
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.translation import WRITE

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

Handler = Callable[["Core", Thread], int | Coroutine[Any, None, int] | None]


def object_calls(prefix: str, kind: type[KernelObject], referenced: bool) -> dict[str, Handler]:
    """The common calls of one type of object, by their names in the table."""

    def create(core: Core, thread: Thread) -> int:
        return Status.NO_MEMORY if _create(core, thread, 0) is None else Status.SUCCESS

    def create_hash(core: Core, thread: Thread) -> int:
        created = _create(core, thread, thread.registers[A1])
        if created is None:
            return Status.NO_MEMORY
        thread.registers[A1] = created.hash
        return Status.SUCCESS

    def _create(core: Core, thread: Thread, hash_: int) -> KernelObject | None:
        address = thread.registers[A0]
        created = core.create(kind, _free_slot(core, thread, address), hash_)
        if isinstance(created, Thread):
            created.thread_va = address
        return created

    def destroy(core: Core, thread: Thread) -> int:
        target = object_at(core, thread, thread.registers[A0], kind, WRITE)
        _refuse_self(thread, target)
        core.destroy(target)
        return Status.SUCCESS

    def move(core: Core, thread: Thread) -> int:
        target = object_at(core, thread, thread.registers[A0], kind, WRITE)
        _refuse_self(thread, target)
        address = thread.registers[A1]
        core.move(target, _free_slot(core, thread, address))
        if isinstance(target, Thread):
            target.thread_va = address
        return Status.SUCCESS

    def reference(core: Core, thread: Thread) -> int:
        target = object_at(core, thread, thread.registers[A0], kind)
        object_at(core, thread, thread.registers[A1], Reference).target = target
        return Status.SUCCESS

    def get_state(core: Core, thread: Thread) -> int:
        assert kind.layout is not None
        registers = thread.registers
        target = object_at(core, thread, registers[A0], kind)
        address = registers[A1]
        references = [
            (link, object_at(core, thread, registers[A2 + index], Reference))
            for index, link in enumerate(kind.links)
            if registers[A2 + index]
        ]
        if address:
            user_memory.touch(core, thread, address, WRITE, kind.layout.size)
        bits = target.export_bits() if address else None
        target.on_export(core, thread)
        if bits is not None:
            user_memory.write(core, thread, address, kind.layout.pack(bits))
        for link, link_reference in references:
            link_reference.target = target.export_link(link.name)
        return Status.SUCCESS

    def set_state(core: Core, thread: Thread) -> int:
        assert kind.layout is not None
        registers = thread.registers
        target = object_at(core, thread, registers[A0], kind, WRITE)
        _refuse_self(thread, target)
        address = registers[A1]
        links = {
            link.name: _linked(core, thread, registers[A2 + index], link)
            for index, link in enumerate(kind.links)
            if registers[A2 + index]
        }
        bits = None
        if address:
            data = user_memory.read(core, thread, address, kind.layout.size)
            bits = kind.layout.unpack(data)
        target.import_state(core, thread, bits, links)
        return Status.SUCCESS

    calls: dict[str, Handler] = {"create": create, "destroy": destroy, "move": move}
    if referenced:
        calls["reference"] = reference
    if kind.layout is not None:
        calls |= {"create_hash": create_hash, "get_state": get_state, "set_state": set_state}
    return {f"{prefix}_{name}": call for name, call in calls.items()}


def _free_slot(core: Core, thread: Thread, address: int) -> int:
    slot = physical(core, thread, address, WRITE)
    if slot in core.objects:
        raise ProgramException(thread, ExceptionCode.OBJECT_EXISTS, address)
    return slot


def _refuse_self(thread: Thread, target: KernelObject) -> None:
    if target is thread:
        raise ProgramException(thread, ExceptionCode.CURRENT_THREAD, thread.thread_va)


def _linked(core: Core, thread: Thread, address: int, link: Link) -> KernelObject | None:
    target = object_at(core, thread, address, Reference).target
    if target is not None and target.type not in link.types:
        raise ProgramException(thread, link.error, address)
    return target
