"""
A program's mistakes, and how the guilty thread is told.

An operation raises `ProgramException`; the thread named in it is to blame, which need not be the one that runs: the
memory of a peer may be bad. A thread with its exceptions enabled and a handler continues there, with the registers
that change kept as saved state; what becomes of any other is in `kernel/space_keepers.py`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, MessageKind, ThreadFlags
from fluke_async.abi.registers import A0, A1, A2, A7
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.thread import Thread

WORD_MASK = (1 << 64) - 1
POSTED = (  # in the order of their handlers
    int(ThreadFlags.PENDING_INTERRUPT),
    int(ThreadFlags.PENDING_CLIENT_ALERT),
    int(ThreadFlags.PENDING_SERVER_ALERT),
)


class ProgramException(Exception):
    """`thread` made a mistake: `code` says which, `subcode` the address or number concerned."""

    def __init__(self, thread: Thread, code: ExceptionCode, subcode: int = 0) -> None:
        super().__init__(thread, code, subcode)
        self.thread = thread
        self.code = code
        self.subcode = subcode


class PageFault(ProgramException):
    """
    No mistake yet: `thread` wants an access that a region does not give, and `keeper` is the port to ask.

    What is raised names the region and the offset of the byte in it; the rest is what the thread gets if that fails.
    """

    kind = MessageKind.FAULT

    def __init__(
        self,
        thread: Thread,
        code: ExceptionCode,
        address: int,
        access: int,
        region_hash: int,
        offset: int,
        keeper: Port,
    ) -> None:
        super().__init__(thread, code, address)
        self.access = access
        self.region_hash = region_hash
        self.offset = offset
        self.keeper = keeper

    @property
    def words(self) -> tuple[int, ...]:
        """The message to the keeper: the fields of `struct fluke_fault_message`."""
        return self.code, self.access, self.region_hash, self.offset, self.thread.hash


def post(core: Core, target: Thread, pending: int) -> None:
    """Post an interrupt or an alert; a target that can take it stops waiting, and its call is restartable."""
    target.pending |= pending
    if target.interruptible and not target.stopped:
        target.drop_stack()
        if target.waiting_for is not None:
            target.drop_call(core)  # at once: when it no longer waits, its state does not tell who serves it
            core.wake(target)


def take_interrupt(core: Core, thread: Thread) -> None:
    """Enter the handler of what was posted to `thread`, which runs next: first an interrupt, then alerts."""
    assert thread.interruptible
    bit, handler = next(pair for pair in zip(POSTED, thread.handlers[1:], strict=True) if thread.deliverable & pair[0])
    thread.pending &= ~bit
    if core.trace is not None:
        core.trace((core.time, Event.INTERRUPT, thread.hash, thread.pc))
    thread.drop_stack()
    thread.drop_call(core)
    enter_handler(core, thread, handler, 0, 0)


def enter_handler(core: Core, thread: Thread, handler: int, code: int, subcode: int) -> None:
    """
    Save a0-a2, a7 and pc, and go to `handler` with (thread, code, subcode), exceptions disabled.

    A call that was under way is left restartable: the saved pc is on its `ecall`. (Returning takes a7, so it is saved.)
    """
    registers = thread.registers
    thread.saved = (registers[A0], registers[A1], registers[A2], registers[A7], thread.pc)
    registers[A0], registers[A1], registers[A2] = thread.thread_va, code, subcode
    thread.pc = handler
    thread.exceptions_enabled = False
    thread.in_kernel = False
    thread.wait_order = 0  # the handler's own calls stand in line by themselves
