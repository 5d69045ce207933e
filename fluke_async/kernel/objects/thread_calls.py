"""What threads do to themselves and to each other, beside the calls that every object has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.layouts import THREAD_SAVED_STATE
from fluke_async.abi.registers import A0, A1, A2, A3, A4, A7
from fluke_async.kernel import user_memory
from fluke_async.kernel.checks import number
from fluke_async.kernel.exceptions import ProgramException, post
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_state import Handlers
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

PENDING_INTERRUPT = int(ThreadFlags.PENDING_INTERRUPT)


def thread_self(core: Core, thread: Thread) -> int:
    """The address of the calling thread's object."""
    return thread.thread_va


def thread_get_handlers(core: Core, thread: Thread) -> int:
    """The calling thread's handlers, in a1 to a4."""
    check_self(thread)
    thread.registers[A1], thread.registers[A2], thread.registers[A3], thread.registers[A4] = thread.handlers
    return 0


def thread_set_handlers(core: Core, thread: Thread) -> int:
    """Set the calling thread's handlers, from a1 to a4."""
    check_self(thread)
    registers = thread.registers
    thread.handlers = Handlers(registers[A1], registers[A2], registers[A3], registers[A4])
    return 0


def thread_enable_exceptions(core: Core, thread: Thread) -> int:
    """Let exceptions come; an interrupt that was put off is taken before the next instruction."""
    check_self(thread)
    thread.exceptions_enabled = True
    return 0


def thread_disable_exceptions(core: Core, thread: Thread) -> int:
    """Put interrupts off."""
    check_self(thread)
    thread.exceptions_enabled = False
    return 0


def thread_get_saved_state(core: Core, thread: Thread) -> int:
    """Write what was saved when the handler was entered."""
    check_self(thread)
    address = thread.registers[A1]
    if address:
        a0, a1, a2, a7, pc = thread.saved
        saved = THREAD_SAVED_STATE.pack({"a0": a0, "a1": a1, "a2": a2, "a7": a7, "pc": pc})
        user_memory.write(core, thread, address, saved)
    return 0


def thread_set_saved_state(core: Core, thread: Thread) -> int:
    """Read what the return from the handler is to reload."""
    check_self(thread)
    address = thread.registers[A1]
    if address:
        bits = THREAD_SAVED_STATE.unpack(user_memory.read(core, thread, address, THREAD_SAVED_STATE.size))
        a0, a1, a2, a7, pc = (number(bits, name) for name in ("a0", "a1", "a2", "a7", "pc"))
        thread.saved = (a0, a1, a2, a7, pc)
    return 0


def check_self(thread: Thread) -> None:
    """These calls are for the calling thread alone, and name it for the reader's sake."""
    if thread.registers[A0] != thread.thread_va:
        raise ProgramException(thread, ExceptionCode.NOT_CURRENT_THREAD, thread.registers[A0])


def thread_interrupt(core: Core, thread: Thread) -> int:
    """Post an interrupt; a target that can take it stops waiting, and its call is restartable."""
    target = object_at(core, thread, thread.registers[A0], Thread)
    if target is thread:
        raise ProgramException(thread, ExceptionCode.CURRENT_THREAD, thread.registers[A0])
    post(core, target, PENDING_INTERRUPT)
    return 0


def thread_return_from_exception(core: Core, thread: Thread) -> None:
    """
    Reload what was saved when the handler was entered; the thread continues there, not after this call.

    It may continue at this very call, so a budget counts it as an instruction: else it could go round for nothing.
    """
    registers = thread.registers
    account = None if thread.space is None else thread.space.account
    if account is not None and account.instructions_left:
        account.instructions_left -= 1
        if account.is_spent:
            core.settle(account)
    core.charge(BY_NAME["thread_return_from_exception"].cost)
    registers[A0], registers[A1], registers[A2], registers[A7], thread.pc = thread.saved
    thread.exceptions_enabled = True
    thread.in_kernel = False
    if core.trace is not None:
        core.trace((core.time, Event.FINISH, thread.hash, "thread_return_from_exception", 0))
