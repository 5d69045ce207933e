"""
A thread's state as bits and links: reading it out, and loading it.

Everything that a thread is can be found here: what is not exported is derived from what is. Loading checks all parts
before it changes any.
"""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple

from fluke_async.abi.codes import (
    FAULT_IN_CALL,
    PRIORITY_MAX,
    ExceptionCode,
    ObjectType,
    Prot,
    ThreadFlags,
)
from fluke_async.abi.entry_point import Class
from fluke_async.abi.entry_points import BY_NAME, BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.checks import mistake, number
from fluke_async.kernel.donation import stays_known
from fluke_async.kernel.objects.thread_connections import connection_flags, is_both, load_connections, tie_call
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS, STAMP_LEAD_MAX, STAMP_MAX

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.base import Links, StateBits
    from fluke_async.kernel.objects.thread import Thread

CALL = BY_NAME["ipc_call"].number
WORD = 1 << 64
STOPPED, EXCEPTION_ENABLE = int(ThreadFlags.STOPPED), int(ThreadFlags.EXCEPTION_ENABLE)
IN_CALL = int(ThreadFlags.IN_CALL)
ASKED = int(ThreadFlags.ASKED)
PENDING = int(ThreadFlags.PENDING_INTERRUPT | ThreadFlags.PENDING_CLIENT_ALERT | ThreadFlags.PENDING_SERVER_ALERT)
CONNECTED = int(ThreadFlags.IDEMPOTENT | ThreadFlags.CLIENT_SENDER | ThreadFlags.SERVER_SENDER)
SETTABLE = STOPPED | EXCEPTION_ENABLE | IN_CALL | CONNECTED | PENDING | ASKED
SERVER_FIELDS = ("server_portset", "server_sp", "server_oneway_pc", "server_idempotent_pc", "server_reliable_pc")
HANDLER_FIELDS = ("trap_handler", "interrupt_handler", "client_alert_handler", "server_alert_handler")
SAVED_FIELDS = ("saved_a0", "saved_a1", "saved_a2", "saved_a7", "saved_pc")
FiveWords = tuple[int, int, int, int, int]
EXCEPTIONS = frozenset({0, *ExceptionCode})
FAULT_ACCESSES = frozenset({0, *Prot, *(int(access) | FAULT_IN_CALL for access in Prot)})
NO_WORDS: FiveWords = (0, 0, 0, 0, 0)


class Handlers(NamedTuple):
    """Where a thread takes its exceptions; 0: nowhere."""

    trap: int = 0
    interrupt: int = 0
    client_alert: int = 0
    server_alert: int = 0


class Fault(NamedTuple):
    """What a thread waits for a keeper to give it, and whether a system call of its wanted that."""

    address: int
    access: int
    in_call: bool


class Mistake(NamedTuple):
    """An exception that stops a thread, or that it asks its space's keeper about: what failed has not been executed."""

    code: ExceptionCode
    subcode: int

    @property
    def in_call(self) -> bool:
        """A call that was a mistake has no place in a line to keep."""
        return False


Question = Fault | Mistake
"""What a thread asks a keeper."""


NO_HANDLERS = Handlers()  # one for all who have none, as `NO_WORDS` is
NO_FLOATING = (0,) * 32


def export_bits(thread: Thread) -> StateBits:
    """The bits of a thread's state."""
    flags = int(thread.pending) | connection_flags(thread)
    if thread.stopped:
        flags |= STOPPED
    if thread.exceptions_enabled:
        flags |= EXCEPTION_ENABLE
    if thread.in_call:
        flags |= IN_CALL
    if thread.asked and thread.scheduler is not None:
        flags |= ASKED
    floating = thread.floating
    a0, a1, a2, a7, pc = thread.saved
    portset, sp, oneway_pc, idempotent_pc, reliable_pc = thread.server_registration
    handlers = thread.handlers
    fault, mistake = None, thread.exception
    if _goes_on_asking(thread):
        fault = thread.fault
        mistake = thread.question if isinstance(thread.question, Mistake) else None
    code, subcode = (0, 0) if mistake is None else mistake
    return {
        "hash": thread.hash,
        "thread_va": thread.thread_va,
        "flags": flags,
        "priority": thread.priority,
        "sched_val": thread.sched_val,
        "wait_order": _wait_order(thread),
        "run_order": thread.run_order,
        "quantum_left": thread.quantum_left % WORD,
        "pc": thread.pc,
        "x": tuple(thread.registers),
        "f": NO_FLOATING if floating is None else tuple(floating[:32]),
        "fcsr": 0 if floating is None else floating[32],
        "trap_handler": handlers.trap,
        "interrupt_handler": handlers.interrupt,
        "client_alert_handler": handlers.client_alert,
        "server_alert_handler": handlers.server_alert,
        "saved_a0": a0,
        "saved_a1": a1,
        "saved_a2": a2,
        "saved_a7": a7,
        "saved_pc": pc,
        "server_portset": portset,
        "server_sp": sp,
        "server_oneway_pc": oneway_pc,
        "server_idempotent_pc": idempotent_pc,
        "server_reliable_pc": reliable_pc,
        "exception": code,
        "exception_subcode": subcode,
        "fault_access": 0 if fault is None else fault.access | FAULT_IN_CALL * fault.in_call,
        "fault_address": 0 if fault is None else fault.address,
    }


def _goes_on_asking(thread: Thread) -> bool:
    """Whether a thread asks a keeper that is still there; else it will find out anew what it has to ask."""
    return thread.question is not None and thread.export_link("waiting_for") is not None


def _wait_order(thread: Thread) -> int:
    """The order that the thread goes on with: that of a stage is worth nothing where what ends the stage has gone."""
    target = thread.waiting_for
    if thread.question is not None and not thread.question.in_call and not _goes_on_asking(thread):
        return 0  # it was that of the question
    return 0 if target is not None and target.ends_stage and not target.active else thread.wait_order


def load(core: Core, thread: Thread, by: Thread | None, bits: StateBits | None, links: Links) -> None:
    """Load the parts given into a stopped thread; clearing STOPPED starts it."""
    if thread.host is not None:
        raise mistake(by, ExceptionCode.HOST_THREAD, thread.thread_va)
    if not thread.stopped:
        raise mistake(by, ExceptionCode.THREAD_RUNNING, thread.thread_va)
    if bits is not None:
        _check_bits(core, by, bits)
    _check_links(thread, by, bits, links)

    is_known = by is None or stays_known(thread, links)
    thread.drop_stack()
    if thread.export_link("waiting_for") is None:
        core.unpark(thread)  # what it waited for has gone while it was stopped
    if bits is not None:
        _load_bits(core, thread, bits)
    _load_links(core, thread, bits, links)
    thread.asked &= is_known
    if bits is not None and not number(bits, "flags") & STOPPED:
        probe, core.probe = core.probe, None  # what a start looks up is no point: the call that loads is not done
        core.start(thread)
        core.probe = probe


def _check_bits(core: Core, by: Thread | None, bits: StateBits) -> None:
    """Whatever a program can put in a register is a state; orders, flags and priorities have bounds."""
    stamp_max = min(STAMP_MAX, core.stamp + STAMP_LEAD_MAX)
    for name, bad in (
        ("flags", number(bits, "flags") & ~SETTABLE),
        ("priority", number(bits, "priority") > PRIORITY_MAX),
        ("wait_order", number(bits, "wait_order") > stamp_max),
        ("run_order", number(bits, "run_order") > stamp_max),
        ("quantum_left", _signed(number(bits, "quantum_left")) > QUANTUM_INSTRUCTIONS),
        ("exception", number(bits, "exception") not in EXCEPTIONS),
        ("exception_subcode", number(bits, "exception_subcode") and not number(bits, "exception")),
        ("fault_access", number(bits, "fault_access") not in FAULT_ACCESSES),
        ("fault_address", number(bits, "fault_address") and not number(bits, "fault_access")),
        ("fcsr", number(bits, "fcsr") > 0xFF),
    ):
        if bad:
            raise mistake(by, ExceptionCode.INVALID_STATE, number(bits, name))


def _check_links(thread: Thread, by: Thread | None, bits: StateBits | None, links: Links) -> None:
    """A thread can only be parked if its question or its registers say that it may wait."""
    target = links.get("waiting_for", thread.export_link("waiting_for"))
    if target is not None:
        x = bits["x"] if bits is not None else thread.registers
        assert not isinstance(x, int)
        entry = BY_NUMBER.get(x[ENTRY_POINT])
        if bits is None:
            has_fault, has_mistake = thread.fault is not None, thread.fault is None and _mistake_of(thread) is not None
        else:
            has_fault, has_mistake = bool(number(bits, "fault_access")), bool(number(bits, "exception"))
        if has_fault and has_mistake:
            raise mistake(by, ExceptionCode.INVALID_STATE, thread.thread_va)
        if has_fault or has_mistake:
            may_wait = target.type in (ObjectType.PORT, ObjectType.THREAD)
        else:
            may_wait = entry is not None and entry.call_class not in (Class.TRIVIAL, Class.SHORT)
        if not may_wait:
            raise mistake(by, ExceptionCode.INVALID_STATE, x[ENTRY_POINT])
    if bits is not None and number(bits, "flags") & IN_CALL:
        x = bits["x"]
        assert not isinstance(x, int)
        entry = BY_NUMBER.get(x[ENTRY_POINT])
        if entry is None or not entry.can_be_cut:
            raise mistake(by, ExceptionCode.INVALID_STATE, x[ENTRY_POINT])
    for name in ("client", "server", "waiting_for"):
        if links.get(name) is thread:
            raise mistake(by, ExceptionCode.INVALID_STATE, thread.thread_va)
    if bits is not None and is_both(number(bits, "flags")):
        raise mistake(by, ExceptionCode.INVALID_STATE, number(bits, "flags"))


def _load_bits(core: Core, thread: Thread, bits: StateBits) -> None:
    flags = number(bits, "flags")
    x, f = bits["x"], bits["f"]
    assert not isinstance(x, int)
    assert not isinstance(f, int)
    registers = array("Q", x)
    registers[0] = 0
    if thread.pc != number(bits, "pc") or thread.registers != registers:
        thread.request = None  # it is another call by now, or none
        if thread.registers[ENTRY_POINT] == CALL:  # else whoever names it as a client was loaded before it
            thread.drop_call(core)
    thread.registers = registers
    fcsr = number(bits, "fcsr")
    thread.floating = array("Q", (*f, fcsr)) if fcsr or any(f) else None
    thread.pc = number(bits, "pc")
    thread.thread_va = number(bits, "thread_va")
    thread.sched_val = number(bits, "sched_val")
    thread.exceptions_enabled = bool(flags & EXCEPTION_ENABLE)
    thread.pending = flags & PENDING
    thread.quantum_left = _signed(number(bits, "quantum_left"))
    handlers = [number(bits, name) for name in HANDLER_FIELDS]
    thread.handlers = Handlers(*handlers) if any(handlers) else NO_HANDLERS
    thread.saved = _five(bits, SAVED_FIELDS)
    thread.server_registration = _five(bits, SERVER_FIELDS)
    code = number(bits, "exception")
    thread.exception = Mistake(ExceptionCode(code), number(bits, "exception_subcode")) if code else None
    access = number(bits, "fault_access")
    in_call = bool(access & FAULT_IN_CALL)
    thread.question = Fault(number(bits, "fault_address"), access & ~FAULT_IN_CALL, in_call) if access else None
    thread.in_kernel = False
    thread.in_call = bool(flags & IN_CALL)
    thread.asked = bool(flags & ASKED)
    thread.run_order = number(bits, "run_order")
    priority, wait_order = number(bits, "priority"), number(bits, "wait_order")
    core.stamp = max(core.stamp, thread.run_order, wait_order)
    if priority != thread.priority or wait_order != thread.wait_order:
        core.reorder(thread, priority, wait_order)


def _load_links(core: Core, thread: Thread, bits: StateBits | None, links: Links) -> None:
    if "space" in links:
        core.leave_space(thread)
        if links["space"] is not None:
            core.enter_space(thread, links["space"])  # type: ignore[arg-type]
    if "scheduler" in links:
        thread.asked &= bits is not None  # another scheduler does not know
        thread.set_scheduler(links["scheduler"])  # type: ignore[arg-type]
    load_connections(thread, bits, links)
    if "waiting_for" in links:
        target = links["waiting_for"]
        if thread.callee is not None and thread.callee is thread.waiting_for and target is not thread.callee:
            thread.drop_call(core)  # a client that does not wait for its server has none: its state could not tell
        wait_order, question, asked = thread.wait_order, thread.question, thread.asked
        core.unpark(thread)
        thread.question = question
        if target is not None:
            thread.wait_order = wait_order
            core.park(thread, target)
            thread.asked = asked
    if thread.waiting_for is not None:
        thread.run_order = 0  # it will be given one when it becomes ready
    _ask_or_not(thread)
    tie_call(thread.client, thread)
    if thread.waiting_for is not None and thread.waiting_for.type is ObjectType.THREAD:
        tie_call(thread, thread.waiting_for)  # type: ignore[arg-type]  # its type says so


def _ask_or_not(thread: Thread) -> None:
    """A thread that waits asks about its mistake; one that does not is stopped by it, and forgets a fault."""
    found = _mistake_of(thread)
    if thread.waiting_for is None:
        thread.exception, thread.question = found, None
    elif found is not None:
        thread.exception, thread.question = None, found


def _mistake_of(thread: Thread) -> Mistake | None:
    """The exception that a thread is stopped by, or asks its space's keeper about."""
    return thread.question if isinstance(thread.question, Mistake) else thread.exception


def _five(bits: StateBits, names: tuple[str, ...]) -> FiveWords:
    """Five fields; where all are zero, which is usual, the one tuple for all threads."""
    one, two, three, four, five = (number(bits, name) for name in names)
    return (one, two, three, four, five) if one | two | three | four | five else NO_WORDS


def _signed(word: int) -> int:
    return word - WORD if word >= WORD // 2 else word
