"""
The canonical state of a kernel: all that a program can ever see, in an order that does not depend on how it came about.

What differs between a kernel that was left alone and one that was created again, but can never be seen, is left out:
kept stacks, translations, where in a call a thread would be dispatched.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.execution.hart import Hart
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.recreation import closed_set


class State(NamedTuple):
    """Digests of the parts of a state, so that a difference says where it is."""

    time: int
    objects: bytes
    threads: bytes
    queues: bytes
    memory: bytes
    output: bytes

    def difference(self, other: State) -> str:
        """The names of the parts that differ."""
        return ", ".join(name for name, one, two in zip(self._fields, self, other, strict=True) if one != two)


class Observer:
    """Takes the canonical state of one kernel, again and again; frames that have not changed are not hashed again."""

    def __init__(self, hart: Hart, output: bytearray) -> None:
        self._hart = hart
        self._output = output
        self._frames: dict[int, tuple[bytes, bytes]] = {}

    def state(self) -> State:
        """The state now."""
        core = self._hart.core
        objects = sorted(closed_set(core), key=lambda each: each.address)
        threads = [each for each in objects if isinstance(each, Thread)]
        others = [each for each in objects if not isinstance(each, Thread)]
        queues = [
            (each.hash, [thread.hash for thread in each.waiters.in_order()])
            for each in core.objects.values()
            if each.waiters is not None and len(each.waiters)
        ]
        callers = [
            (each.hash, [t.hash for t in each.callers.in_order()]) for each in others if isinstance(each, Portset)
        ]
        ready = [thread.hash for thread in core.ready.in_order()]
        return State(
            core.time,
            _digest([(_bits(each), _links(each)) for each in others]),
            _digest([(self._thread_bits(each), _links(each), each.exception) for each in threads]),
            _digest([sorted(queues), sorted(callers), ready]),
            self._memory(),
            blake2b(self._output, digest_size=16).digest(),
        )

    def _thread_bits(self, thread: Thread) -> tuple[bytes, int]:
        """A thread's bits, also where they are in the engine."""
        hart = self._hart
        if thread is not hart.resident or thread.registers is not hart.cpu.registers:
            return _bits(thread), thread.effective_priority
        kept = thread.floating
        thread.floating = hart.cpu.save_floating()
        bits = _bits(thread)
        thread.floating = kept
        return bits, thread.effective_priority

    def _memory(self) -> bytes:
        """All frames of all programs."""
        core = self._hart.core
        ram, known = core.hardware.ram, self._frames
        whole = blake2b(digest_size=16)
        for address, frame in core.root.frames():
            content = bytes(ram[frame : frame + PAGE_SIZE])
            before = known.get(frame)
            if before is None or before[0] != content:
                before = known[frame] = (content, blake2b(content, digest_size=16).digest())
            whole.update(address.to_bytes(8, "little"))
            whole.update(before[1])
        return whole.digest()


def _bits(each: KernelObject) -> bytes:
    if each.layout is None:
        return each.hash.to_bytes(8, "little")
    return each.layout.pack(each.export_bits())


def _links(each: KernelObject) -> list[int]:
    targets = [each.target] if isinstance(each, Reference) else [each.export_link(link.name) for link in each.links]
    return [each.type, each.address, *(0 if target is None else target.hash for target in targets)]


def _digest(parts: object) -> bytes:
    return blake2b(repr(parts).encode(), digest_size=16).digest()
