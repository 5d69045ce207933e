"""
A parent of a program: a thread of ours that sees all of the program's memory, and makes system calls at any moment.

It stands in a space of its own and never runs; its calls go to the dispatcher as if it had. So what it hands in passes
through registers, memory and references like any program's, and a mistake enters its handler.
"""

from __future__ import annotations

from collections.abc import Mapping

from fluke_async.abi.codes import PAGE_SIZE, SLOT_SIZE, USER_START, ExceptionCode, Prot
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, A1, A7, ENTRY_POINT
from fluke_async.embedding.loader import STACK_START
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_state import Handlers
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from fluke_async.kernel.translation import FRAME_MASK, OFFSET_MASK
from fluke_async.verify.closed_run import ClosedRun

ROOM = STACK_START - 64 * PAGE_SIZE  # where no program has memory: its objects, and a page for states
STATE = ROOM + PAGE_SIZE
REFERENCES = 5  # as many as a state has links
FREE_SLOT = ROOM + 128 * SLOT_SIZE
CALL, HANDLER = 0x1000, 0x2000  # addresses that nothing is ever fetched from


class Parent:
    """The parent of the program of a run."""

    def __init__(self, run: ClosedRun) -> None:
        self._run = run
        self._slab = slab = run.loaded.slab
        self._state_frame = slab.frame(STATE)
        self.references = [slab.object_at(ROOM + index * SLOT_SIZE, Reference) for index in range(REFERENCES)]
        self.thread = slab.object_at(ROOM + REFERENCES * SLOT_SIZE, Thread)
        self.thread.thread_va = ROOM + REFERENCES * SLOT_SIZE
        space, region = slab.new_space()
        slab.map(space, region, USER_START, slab.end, Prot.ALL)
        run.core.enter_space(self.thread, space)

    @property
    def own(self) -> set[KernelObject]:
        """What is the parent's, and who serves it: its mistakes end its calls, so they lose their client."""
        return {self.thread, *self.references, *self.thread.servers()}

    def children(self) -> dict[KernelObject, int]:
        """The objects in the program's memory, and their addresses there."""
        core = self._run.core
        pages = {
            frame: address - self._slab.start
            for address, frame in core.root.frames()
            if core.objects.are_in(frame) and address - self._slab.start < self._slab.end
        }
        own = {self.thread, *self.references}
        return {
            each: pages[each.address & FRAME_MASK] | each.address & OFFSET_MASK
            for each in core.objects.values()
            if each.address & FRAME_MASK in pages and each not in own
        }

    def call(self, name: str, *arguments: int) -> ExceptionCode | None:
        """Make a system call that cannot sleep; the exception that it was, if it was a mistake."""
        core, thread = self._run.core, self.thread
        assert core.unfinished is None, "another call goes on first"
        hart = self._run.hart
        if hart.resident is not None and hart.cpu.save_floating() is not None:
            hart.park_resident()  # as where it is another's turn; who uses no floating point may stay
        for register, value in enumerate(arguments, A0):
            thread.registers[register] = value
        thread.registers[ENTRY_POINT] = BY_NAME[name].number
        thread.pc, thread.handlers, thread.exceptions_enabled = CALL, Handlers(trap=HANDLER), True
        thread.quantum_left = QUANTUM_INSTRUCTIONS
        core.current = thread
        hart.dispatcher.dispatch(thread)
        core.current = None
        if thread.pc != HANDLER:
            assert thread.pc == CALL + 4, f"{name} has neither returned nor failed"
            return None
        assert thread.saved[3:] == (thread.registers[A7], CALL), "a call that failed can be made again"
        return ExceptionCode(thread.registers[A1])

    def get_state(self, target: KernelObject, address: int) -> tuple[bytes, dict[str, KernelObject | None]]:
        """Have a state read out: its bits and its links."""
        assert target.layout is not None
        names = [link.name for link in target.links]
        failure = self.call(f"{target.type.name.lower()}_get_state", address, STATE, *self._addresses(names))
        assert failure is None, f"a state cannot be read out: {failure!r}"
        data = bytes(self._run.core.hardware.ram[self._state_frame : self._state_frame + target.layout.size])
        return data, {name: each.target for name, each in zip(names, self.references, strict=False)}

    def set_state(
        self, target: KernelObject, address: int, data: bytes | None, links: Mapping[str, KernelObject | int | None]
    ) -> ExceptionCode | None:
        """
        Hand a state in; the exception that it was, if it was refused.

        A link that is a number is an address given in the place of a reference's.
        """
        if data is not None:
            self._run.core.hardware.ram[self._state_frame : self._state_frame + len(data)] = data
        arguments = []
        for reference, own, link in zip(self._addresses(target.links), self.references, target.links, strict=False):
            named = links.get(link.name)
            if isinstance(named, int):
                arguments.append(named)
                continue
            own.target = named
            arguments.append(reference if link.name in links else 0)
        name = f"{target.type.name.lower()}_set_state"
        return self.call(name, address, STATE if data is not None else 0, *arguments)

    def _addresses(self, links: object) -> list[int]:
        """The addresses of as many references as there are links."""
        assert isinstance(links, list | tuple)
        return [ROOM + index * SLOT_SIZE for index in range(len(links))]
