"""Ports: what clients name when they send."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from fluke_async.abi.codes import ExceptionCode, ObjectType
from fluke_async.abi.conversation import CONVERSATIONS, Step
from fluke_async.abi.layouts import PORT_STATE
from fluke_async.abi.registers import DESTINATION
from fluke_async.kernel.checks import number
from fluke_async.kernel.device_request import DeviceRequest, device_request
from fluke_async.kernel.donation import Request, announce, renew_time
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.names import object_at
from fluke_async.kernel.objects.base import KernelObject, Link, Links, StateBits
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.thread_condition import Continuation
from fluke_async.kernel.ordered_queue import OrderedQueue
from fluke_async.kernel.questions import pending_question, question_to

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.portset import Portset
    from fluke_async.kernel.objects.thread import Thread

CALLING = frozenset({"ipc_call", "ipc_send", *(call.name for call in CONVERSATIONS if call.steps[0] is Step.CONNECT)})


class Port(KernelObject):
    """
    A port of a port set, or of nothing yet, or of a device.

    Clients wait for the port, but stand in the queue of its set, so that a server finds the first of them at once.
    A device's port has a `receiver` instead, which takes note of a request and must not act on the kernel.
    """

    __slots__ = ("alias", "portset", "receiver", "scheduled")

    type = ObjectType.PORT
    wrong_type = ExceptionCode.NOT_PORT
    layout = PORT_STATE
    links = (Link("portset", frozenset({ObjectType.PORTSET}), ExceptionCode.NOT_PORTSET_REF),)

    def __init__(self, address: int, hash_: int) -> None:
        super().__init__(address, hash_)
        self.alias = 0
        self.portset: Portset | None = None
        self.receiver: Callable[[DeviceRequest], None] | None = None
        self.scheduled: dict[Thread, None] | None = None  # the threads whose scheduler this is

    def queue(self) -> OrderedQueue:
        return super().queue() if self.portset is None else self.portset.callers

    def expects(self, core: Core, thread: Thread) -> bool:
        if self.receiver is None:  # a server may have come while the thread was stopped
            return self.active and (self.portset is None or self.portset.first_waiter() is None)
        if thread.question is not None:
            waits_for_answer = question_to(thread, self) is not None
        else:
            waits_for_answer = core.entry_name(thread) == "ipc_call" and self.is_called_by(core, thread)
        if thread.request is None and self.active and waits_for_answer:
            try:  # a state says nothing of requests, so the device is asked again, and at once
                thread.request = device_request(core, thread, self)
            except ProgramException:
                return False
            core.request(thread.request)
        return self.active and thread.request is not None

    def is_called_by(self, core: Core, thread: Thread) -> bool:
        """Whether a thread's registers, or its question, call this port: to be parked here by a state is not enough."""
        if thread.question is not None:
            question = pending_question(thread)
            return question is not None and question.keeper is self
        if core.entry_name(thread) not in CALLING:
            return False
        try:
            return object_at(core, thread, thread.registers[DESTINATION], Reference).target is self
        except ProgramException:
            return False

    def turn_questions_away(self, core: Core) -> None:
        """This port keeps a region or a space no more: those who wait here to ask try their instructions again."""
        for thread in tuple(self.queue().in_order()):
            if thread.waiting_for is self and thread.question is not None:
                core.wake(thread)

    def export_bits(self) -> StateBits:
        return {"hash": self.hash, "alias": self.alias}

    def import_state(self, core: Core, by: Thread | None, bits: StateBits | None, links: Links) -> None:
        if bits is not None:
            self.alias = number(bits, "alias")
        if "portset" in links:
            self.enter(links["portset"])  # type: ignore[arg-type]  # the link's types say so
            for caller in tuple(self.queue().in_order()):  # there may be servers for them now
                if caller.waiting_for is self and not caller.stopped:
                    core.wake(caller)
            announce(core, self)

    def enter(self, portset: Portset | None) -> None:
        """Move to another set; those who wait for this port come along, in the same order."""
        before = self.queue()
        if self.portset is not None:
            self.portset.ports.discard(self)
        self.portset = portset
        if portset is not None:
            portset.ports.add(self)
        after = self.queue()
        for thread in tuple(before.in_order()) if after is not before else ():
            record = thread.place
            assert isinstance(record, Continuation | Request)
            if record[3] is self:
                before.remove(thread)
                after.push(record._replace())  # a copy: the old queue knows the old entry by its identity

    def on_destroy(self, core: Core) -> None:
        for thread in tuple(self.scheduled or ()):  # they have no scheduler any more
            thread.set_scheduler(None)
            renew_time(core, thread)
        self.enter(None)
