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

from fluke_async.abi.codes import FaultReply
from fluke_async.abi.entry_points import COMPLETION_COST
from fluke_async.kernel.connection import SERVER_RECEIVE, capture, waiting_server
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.exceptions import PageFault, ProgramException, deliver
from fluke_async.kernel.probe import Point
from fluke_async.kernel.trace import Event
from fluke_async.kernel.translation import FAULT_OF_ACCESS

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread


def blame(core: Core, exception: ProgramException) -> bool:
    """The guilty thread gets its exception, or asks a keeper; True if a probe has created everything again then."""
    if not isinstance(exception, PageFault):
        deliver(core, exception.thread, exception.code, exception.subcode)
        return False
    ask_keeper(core, exception)
    return core.probe is not None and core.probe(Point.WAIT, exception.thread)


def ask_keeper(core: Core, fault: PageFault) -> None:
    """Make the thread wait for the keeper's answer, wherever it was."""
    thread, port = fault.thread, fault.keeper
    core.unpark(thread)
    thread.drop_stack()
    thread.fault = (fault.subcode, fault.access)
    core.statistics.hard_faults += 1
    if core.trace is not None:
        core.trace((core.time, Event.ASK, thread.hash, fault.subcode, fault.access, fault.region_hash, port.hash))
    if port.receiver is not None:
        thread.request = DeviceRequest(port, thread, fault.words)
        core.park(thread, port)
        core.request(thread.request)
        return
    server = waiting_server(core, port)
    if server is None:
        core.park(thread, port)
        return
    capture(core, server, thread, port)
    core.advance(server, SERVER_RECEIVE, thread)
    core.park(thread, server)
    core.wake(server)  # it receives for itself, so what is wrong with its memory is its own affair


def answer_fault(core: Core, thread: Thread, reply: int) -> None:
    """The keeper has answered: the thread tries again, or gets the exception."""
    assert thread.fault is not None
    address, access = thread.fault
    if core.trace is not None:
        core.trace((core.time, Event.RESOLVED, thread.hash, address, reply))
    core.charge(COMPLETION_COST)
    if reply != FaultReply.RESOLVED:
        thread.wait_order = 0
        deliver(core, thread, FAULT_OF_ACCESS[access], address)
        return
    core.wake(thread)
    thread.wait_order = 0
