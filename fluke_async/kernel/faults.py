"""
Hard faults: how a thread asks a region's keeper, and what comes of it.

The operation, if there was one, has gone back to its last commit; the thread's registers say what remains, and its
program counter is on the instruction that faulted. So the question has no state of its own but what was wanted, and
where: `fault`. The thread waits for the keeper's port, or for the server that has taken its question, exactly as in an
idempotent call; when the answer comes it executes the instruction again. What is asked follows from the tree of
mappings at the moment when a server takes the question; if there is nothing to ask by then, it is not asked.

Who copies, and whose fault it is:

    the thread's own memory, in user mode or in a call     it asks; whoever is tied to it stays so
    a client copies into its server, whose page is missing    the server asks; the client waits for the server, which
                                                              receives for itself when it is back
    a server copies from its client, or to it, whose page is missing    the client asks; the server waits for the
                                                              client, which goes on with its call when it is back
"""

from __future__ import annotations

from contextlib import suppress
from struct import Struct
from typing import TYPE_CHECKING

from fluke_async.abi.codes import COPY_CHUNK_WORDS, WORD_SIZE, FaultReply, MessageKind, Status
from fluke_async.abi.entry_points import CHUNK_COST, COMPLETION_COST
from fluke_async.abi.layouts import FAULT_MESSAGE
from fluke_async.abi.registers import ENTRY_POINT, MESSAGE_KIND
from fluke_async.kernel.buffers import RECEIVING, Position, position, scatter
from fluke_async.kernel.connection import (
    REQUEST_RECEIVE,
    capture,
    enter_server,
    leave_capture,
    note_received,
    waiting_server,
)
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.exceptions import PageFault, ProgramException, deliver
from fluke_async.kernel.objects.thread_state import Fault
from fluke_async.kernel.probe import Point, Recreated
from fluke_async.kernel.trace import Event
from fluke_async.kernel.translation import FAULT_OF_ACCESS, resolve

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

QUESTION_WORDS = FAULT_MESSAGE.size // WORD_SIZE
QUESTION = Struct(f"<{QUESTION_WORDS}Q")


def blame(core: Core, exception: ProgramException, *, in_call: bool) -> bool:
    """The guilty thread gets its exception, or asks a keeper; True if a probe has created everything again then."""
    if not isinstance(exception, PageFault):
        if in_call:
            leave_capture(core, exception.thread)
        deliver(core, exception.thread, exception.code, exception.subcode)
        return False
    try:
        ask_keeper(core, exception, in_call=in_call)
    except Recreated:
        return True
    if core.probe is None:
        return False
    show = core.probe if exception.thread is core.current else core.show_inside  # a peer's, and the call goes on
    return show(Point.WAIT, exception.thread)


def ask_keeper(core: Core, fault: PageFault, *, in_call: bool) -> None:
    """Make the thread wait for the keeper's answer, wherever it was."""
    thread, port = fault.thread, fault.keeper
    core.unpark(thread)
    thread.drop_stack()
    thread.fault = Fault(fault.subcode, fault.access, in_call)
    core.statistics.hard_faults += 1
    if core.trace is not None:
        core.trace((core.time, Event.ASK, thread.hash, fault.subcode, fault.access, fault.region_hash, port.hash))
    if port.receiver is not None:
        core.park(thread, port)
        if not thread.stopped:  # else it asks when it starts
            thread.request = DeviceRequest(port, thread, fault.words)
            core.request(thread.request)
        return
    server = waiting_server(core, port)
    if server is None:
        core.park(thread, port)
        return
    try:
        written = write_question(core, fault, server)
    except ProgramException:  # what is wrong with its memory is the server's own affair: it receives for itself
        capture(core, server, thread, port)
        core.advance(server, REQUEST_RECEIVE, thread)
        core.park(thread, server)
        core.wake(server)
        return
    capture(core, server, thread, port)
    server.registers[ENTRY_POINT] = REQUEST_RECEIVE
    core.park(thread, server)
    accept_question(core, server, *written)
    core.complete(server, Status.SUCCESS)


def write_question(core: Core, fault: PageFault, server: Thread) -> tuple[Position, int]:
    """Write a question where the server receives; where receiving goes on, and how many words went in."""
    words = scatter(core, server, QUESTION.pack(*fault.words))
    return position(core, server, RECEIVING, words), words


def accept_question(core: Core, server: Thread, after: Position, words: int) -> None:
    """Set the results of the receive that a question completes."""
    note_received(server, after, words)
    server.registers[MESSAGE_KIND] = MessageKind.FAULT
    enter_server(server)
    core.charge(CHUNK_COST * words // COPY_CHUNK_WORDS)


def answer_fault(core: Core, thread: Thread, reply: int) -> None:
    """The keeper has answered: the thread tries again, or gets the exception."""
    assert thread.fault is not None
    address, access, in_call = thread.fault
    if core.trace is not None:
        core.trace((core.time, Event.RESOLVED, thread.hash, address, reply))
    core.charge(COMPLETION_COST)
    if reply != FaultReply.RESOLVED:
        if in_call:
            leave_capture(core, thread)
        deliver(core, thread, FAULT_OF_ACCESS[access], address)
        return
    core.wake(thread)
    with suppress(ProgramException):  # where the keeper's word is not true, the thread will find out
        resolve(core, thread, address, access)
