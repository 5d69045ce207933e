"""
Schedulers in user mode: the call that donates time, the requests that come to them, and how what was noted is settled.

A request is a message of the kernel's, received once: who has received it knows that the thread is ready, until it
waits or is stopped. The thread stands at the port until then and touches nobody's memory; a server writes the message
for itself. A donor looks for itself too: when there may be a reason for its call to end, it is woken, and its call
finds the reason in the registers and in the thread that it names.
"""

from __future__ import annotations

from heapq import heappop
from struct import Struct
from typing import TYPE_CHECKING

from fluke_async.abi import registers as reg
from fluke_async.abi.codes import COPY_CHUNK_WORDS, ExceptionCode, MessageKind, Sensitivity, Status
from fluke_async.abi.entry_points import CHUNK_COST
from fluke_async.kernel.buffers import RECEIVING, position, scatter
from fluke_async.kernel.connection import enter_server, note_arrival, note_received, served_portset, waiting_client
from fluke_async.kernel.donation import SENSITIVITY, is_donor, quantum_left, renew_time
from fluke_async.kernel.exceptions import PageFault, ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.suspension import WAIT

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core

WORDS = Struct("<2Q")


async def thread_schedule(core: Core, thread: Thread) -> int:
    """Wait while another thread uses the caller's time; what is left of it is in the caller's register."""
    while True:
        sensitivity = thread.registers[SENSITIVITY]
        if sensitivity > Sensitivity.ON_REQUEST:
            raise ProgramException(thread, ExceptionCode.INVALID_STATE, sensitivity)
        donee = _donee(core, thread)
        called = sensitivity == Sensitivity.ON_REQUEST and _is_called(core, thread)
        if donee is None:
            return Status.THREAD_GONE
        if not _takes_time(donee) or _leads_to(donee, thread):
            donee.asked = False  # it will ask anew
            return Status.THREAD_BLOCKED
        if quantum_left(thread) <= 0:
            return Status.SUCCESS
        if called:
            return Status.THREAD_REQUESTED
        asked = thread.asked
        core.park(thread, donee)
        thread.asked = asked  # it goes on using its own time, as far as its own scheduler can tell
        renew_time(core, thread)
        await WAIT


def _donee(core: Core, thread: Thread) -> Thread | None:
    """The thread that a donor names; None if it is gone, which a scheduler cannot foresee."""
    address = thread.registers[reg.A0]
    try:
        donee = object_at(core, thread, address, Thread)
    except ProgramException as exception:
        if exception.code is ExceptionCode.NO_OBJECT:
            return None
        raise
    if donee is thread:
        raise ProgramException(thread, ExceptionCode.CURRENT_THREAD, address)
    return donee


def _takes_time(donee: Thread) -> bool:
    """Whether a thread can use what it is given, or passes it on."""
    return donee.is_awake and (donee.waiting_for is None or is_donor(donee))


def _leads_to(donee: Thread, donor: Thread) -> bool:
    """Whether what a thread is given would come back to the giver."""
    seen = set()
    link: Thread | None = donee
    while link is not None and link not in seen:
        if link is donor:
            return True
        seen.add(link)
        link = link.donee
    return False


def _is_called(core: Core, server: Thread) -> bool:
    """Whether somebody calls at the port set that a thread serves."""
    return waiting_client(core, served_portset(core, server)) is not None


def take_request(core: Core, client: Thread, server: Thread) -> None:
    """Receive the request of a thread for time, and set the results of the receive."""
    port = client.scheduler
    assert port is not None
    words = scatter(core, server, WORDS.pack(client.sched_val, client.hash))
    after = position(core, server, RECEIVING, words)
    client.asked = True
    core.leave_place(client)
    note_arrival(server, port, MessageKind.SCHEDULE)
    note_received(server, after, words)
    enter_server(server)
    core.charge(CHUNK_COST * words // COPY_CHUNK_WORDS)


def settle(core: Core) -> None:
    """Bring those to look of whom it was noted that they may have a reason to; then nothing is noted any more."""
    while core.unsettled:
        core.current = None
        _, _, target = heappop(core.unsettled)
        if isinstance(target, Thread):
            if _has_reason_to_look(core, target):
                core.wake(target)
        elif target.portset is not None and target.portset.first_caller() is not None:
            _wake_servers(core, target)


def _wake_servers(core: Core, port: Port) -> None:
    """The first that comes to look receives what there is; all look, for that one may yet be stopped before."""
    assert port.portset is not None
    waiters = port.portset.waiters
    for server in tuple(waiters.in_order()) if waiters is not None else ():
        core.wake(server)


def _has_reason_to_look(core: Core, donor: Thread) -> bool:
    """Whether a donor's call has to end, or it has no time itself; a stopped or halted one looks when it goes on."""
    donee = donor.waiting_for
    if not donor.active or not donor.is_awake or not is_donor(donor):
        return False
    assert isinstance(donee, Thread)
    if donor.donee is None or quantum_left(donor) <= 0 or not _takes_time(donee) or _leads_to(donee, donor):
        return True
    if not donor.registers[SENSITIVITY]:
        return False
    try:
        return _is_called(core, donor)
    except PageFault:
        return False  # its own page is away, and comes when it looks for itself
    except ProgramException:
        return True
