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

from typing import TYPE_CHECKING

from fluke_async.abi.codes import Status
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.asking import accept_question, let_receive, write_question
from fluke_async.kernel.connection import REQUEST_RECEIVE, capture, leave_capture, waiting_server
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.exceptions import PageFault, ProgramException
from fluke_async.kernel.objects.thread_state import Fault
from fluke_async.kernel.probe import Point, Recreated
from fluke_async.kernel.space_keepers import deliver
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core


def blame(core: Core, exception: ProgramException, *, in_call: bool) -> bool:
    """The guilty thread gets its exception, or asks a keeper; True if a probe has created everything again then."""
    thread = exception.thread
    if isinstance(exception, PageFault):
        try:
            ask_keeper(core, exception, in_call=in_call)
        except Recreated:
            return True
    else:
        if in_call:
            leave_capture(core, thread)
        deliver(core, thread, exception.code, exception.subcode)
    if core.probe is None or core.current is None or thread.question is None:
        return False
    show = core.probe if thread is core.current else core.show_inside  # a peer's, and the call goes on
    return show(Point.WAIT, thread)


def ask_keeper(core: Core, fault: PageFault, *, in_call: bool) -> None:
    """Make the thread wait for the keeper's answer, wherever it was."""
    thread, port = fault.thread, fault.keeper
    core.unpark(thread)
    thread.drop_stack()
    thread.question = Fault(fault.subcode, fault.access, in_call)
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
        let_receive(core, server, thread, port)
        return
    capture(core, server, thread, port)
    server.registers[ENTRY_POINT] = REQUEST_RECEIVE
    core.park(thread, server)
    accept_question(core, server, fault, *written)
    core.complete(server, Status.SUCCESS)
