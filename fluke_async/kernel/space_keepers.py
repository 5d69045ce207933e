"""
What becomes of a mistake: the guilty thread's handler takes it, or its space's keeper is asked, or the thread stops.

A thread asks as one with a hard fault does: it stands on the instruction, or the call, that was a mistake, and waits
for the keeper's port, or for the server that has taken its question. Whatever ends that wait without an answer lets it
execute the instruction again, and ask again if it is a mistake still.

To ask touches no memory, so it cannot fail, and can be done in the middle of anything; the server that is taken writes
the question for itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.asking import let_receive
from fluke_async.kernel.connection import WAIT_RECEIVE
from fluke_async.kernel.device_request import device_request
from fluke_async.kernel.exceptions import WORD_MASK, enter_handler
from fluke_async.kernel.objects.thread_state import Mistake
from fluke_async.kernel.questions import space_keeper
from fluke_async.kernel.trace import Event

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.thread import Thread


def deliver(core: Core, thread: Thread, code: ExceptionCode, subcode: int) -> None:
    """Vector `thread` to its trap handler, or make it ask its space's keeper, or stop it."""
    subcode &= WORD_MASK  # an address may have run over the end
    core.unpark(thread)
    thread.drop_stack()
    thread.drop_call(core)
    handled = thread.exceptions_enabled and thread.handlers.trap != 0
    if core.trace is not None:
        core.trace((core.time, Event.EXCEPTION, thread.hash, code, subcode, thread.pc, handled))
    if handled:
        enter_handler(core, thread, thread.handlers.trap, code, subcode)
        if thread.place is None:
            core.make_ready(thread)
    elif thread.host is not None:
        core.stop(thread)
        thread.wait_order = 0  # its call is over; a program's thread keeps its place for when it is started again
        thread.host.on_exception(code, subcode)
        core.attention = True
    elif (keeper := space_keeper(thread)) is not None:
        ask(core, thread, Mistake(code, subcode), keeper)
    else:
        stop_by_exception(core, thread, Mistake(code, subcode))


def stop_by_exception(core: Core, thread: Thread, mistake: Mistake) -> None:
    """Stop a thread that does not wait where it is, with the exception as its reason."""
    thread.exception = mistake
    thread.in_kernel = False
    core.leave_place(thread)
    core.on_exception(thread)


def ask(core: Core, thread: Thread, mistake: Mistake, keeper: Port) -> None:
    """Make a thread that does not wait ask its space's keeper about its mistake."""
    thread.question = mistake
    thread.wait_order = 0  # a call that was a mistake has no place in a line
    core.statistics.exceptions_asked += 1
    if core.trace is not None:
        core.trace((core.time, Event.ASK_EXCEPTION, thread.hash, *mistake, keeper.hash))
    server = None if keeper.receiver is not None else first_server(core, keeper)
    if server is not None:
        let_receive(core, server, thread, keeper)
        return
    core.park(thread, keeper)
    if keeper.receiver is not None and not thread.stopped:  # else it asks when it starts
        thread.request = device_request(core, thread, keeper)
        core.request(thread.request)


def first_server(core: Core, port: Port) -> Thread | None:
    """The first who waits to receive on the port's set; whether it serves that, it will see for itself."""
    portset = port.portset
    while portset is not None and (server := portset.first_waiter()) is not None:
        if server.registers[ENTRY_POINT] == WAIT_RECEIVE:
            return server
        core.wake(server)  # its registers say something else by now: it looks for itself
    return None
