"""
Calls with everything that they need: for tests that give every call of the table one thing that is not in order.

    call = ReadyCall(machine, "ipc_call")
    thread = call.spawn(send_buffer=UNMAPPED)
"""

from __future__ import annotations

from typing import Any

from fluke_async.abi.codes import PAGE_SIZE, Prot
from fluke_async.abi.conversation import CONVERSATIONS, Step
from fluke_async.abi.entry_point import Kind
from fluke_async.abi.entry_points import BY_NAME, ENTRY_POINTS
from fluke_async.kernel.handlers import OBJECTS
from fluke_async.kernel.links import name_peer
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

POINTERS = (Kind.STATE_IN, Kind.STATE_OUT, Kind.WORDS_OUT, Kind.ADDRESS)
PLACES = (Kind.OBJECT, Kind.NEW_OBJECT, Kind.REFERENCE)
NO_MEMORY_OF_ITS_OWN = ("thread_set_handlers", "thread_set_server_entries")  # their addresses are code's


def operands_of(*kinds: Kind) -> list[tuple[str, str]]:
    """Every operand of these kinds in the table, with its call; tables of further buffers are refused as yet."""
    return [
        (entry.name, operand.name)
        for entry in ENTRY_POINTS
        for operand in entry.arguments
        if operand.kind in kinds and "buffer_table" not in operand.name and entry.name not in NO_MEMORY_OF_ITS_OWN
    ]


CONVERSATION_OF = {call.name: call for call in CONVERSATIONS}


class ReadyCall:
    """A call whose operands are good, in memory that has frames; somebody is there at the other end of a message."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine, self.name, self.entry = machine, name, BY_NAME[name]
        self.conversation = CONVERSATION_OF.get(name)
        self.before: list[Part] = []
        self.operands: dict[str, Any] = {}
        for operand in self.entry.arguments:
            if operand.kind is Kind.OBJECT and operand.type:
                (kind,) = [each for each in OBJECTS.values() if each.type == operand.type]
                self.operands[operand.name] = machine.new(kind)
            elif operand.kind is Kind.NEW_OBJECT:
                self.operands[operand.name] = machine.slot()
            elif operand.kind is Kind.REFERENCE:
                self.operands[operand.name] = machine.reference()
            elif operand.kind in (Kind.STATE_IN, Kind.STATE_OUT):
                self.operands[operand.name] = self._state(operand.kind)
        if self.entry.is_message:
            self._prepare_message()
        elif "capacity" in {operand.name for operand in self.entry.arguments}:
            self._prepare_scan()

    def spawn(self, **changes: Any) -> Thread:
        """A thread that makes the call, with some operands changed; it is not started yet."""
        machine = self.machine
        operands = self.operands | changes
        for operand in self.entry.arguments:
            if operand.kind is Kind.SELF:
                operands[operand.name] = machine.next_slot
        operands = {key: machine.value(value) for key, value in operands.items()}
        thread = machine.spawn(*self.before, machine.call(self.name, **operands), start=False)
        machine._physical(machine.addresses[thread])
        if self.conversation is not None:
            self._connect(thread)
        if self.name in ("mutex_unlock", "cond_wait"):
            self.operands["mutex"].own(machine.core, thread)
        return thread

    def _state(self, kind: Kind) -> int:
        """A state: that of the object, if it is to be read."""
        layout = self.entry.state
        assert layout is not None
        target = next(iter(self.operands.values()), None)
        bits = dict(target.export_bits()) if isinstance(target, KernelObject) and kind is Kind.STATE_IN else {}
        return self.machine.buffer(memoryview(layout.pack(bits)).cast("Q").tolist())

    def _prepare_scan(self) -> None:
        """The region that is looked through has one object, and has one page that is there."""
        machine = self.machine
        region = self.operands["region"]
        bits = {"start_va": machine.addresses[region] & -PAGE_SIZE, "size": PAGE_SIZE, "prot": int(Prot.ALL)}
        machine.load(region, bits, space=machine.space)
        array = "objects" if self.name == "region_search" else "offsets"
        self.operands |= {"size": PAGE_SIZE, "capacity": 3, array: machine.buffer([0] * 6)}

    def _prepare_message(self) -> None:
        """One word and one reference in each direction. A server has a client, and another one waits."""
        machine, service = self.machine, Service(self.machine)
        mine = {operand.name for operand in self.entry.arguments}
        self.operands |= {key: value for key, value in self._message().items() if key in mine}
        if "destination_ref" in mine:
            self.operands["destination_ref"] = service.reference
            serve = machine.call("ipc_setup_wait_receive", portset=service.portset, **self._message("receive"))
            answer, *both = (
                ("ipc_reply", "send")
                if self.conversation is None
                else ("ipc_server_ack_send_over_receive", "send", "receive")
            )
            machine.spawn(serve, machine.call(answer, **self._message(*both)))
            machine.run()
            return
        for _ in range(2):
            machine.spawn(machine.call("ipc_call", destination_ref=service.reference, **self._message()))
        machine.run()
        if "portset" in mine:
            self.operands["portset"] = service.portset
        elif self.conversation is not None:
            self.service = service
        else:
            self.before = [machine.call("ipc_setup_wait_receive", portset=service.portset, **self._message("receive"))]

    def _connect(self, thread: Thread) -> None:
        """A peer that does what the other end of a conversation does, and waits for the thread to begin."""
        assert self.conversation is not None
        role, steps = self.conversation.role, self.conversation.steps
        if Step.CONNECT in steps:
            return
        machine, other = self.machine, role.peer
        turns = {Step.ACK: "over_receive", Step.OVER: "ack_send"}
        doing = [turns[step] for step in steps if step in turns]
        if steps[0] is Step.SEND:
            doing.insert(0, "receive")
        if steps[0] is Step.RECEIVE:
            doing.append("send")
        if Step.RECEIVE in steps:
            doing.append("over_receive")
        parts = []
        for each in doing:
            name = f"ipc_{other.value}_{each}"
            mine = {operand.name for operand in BY_NAME[name].arguments}
            parts.append(machine.call(name, **{key: word for key, word in self._message().items() if key in mine}))
        peer = machine.spawn(*parts)
        is_sender = steps[0] in (Step.SEND, Step.OVER)
        name_peer(thread, role, peer, sender=is_sender)
        name_peer(peer, other, thread, sender=not is_sender)
        if self.conversation.waits:
            thread.server_registration = (machine.addresses[self.service.portset], 0, 0, 0, 0)
        machine.run()

    def _message(self, *directions: str) -> dict[str, int]:
        machine = self.machine
        operands: dict[str, int] = {}
        for direction in directions or ("send", "receive"):
            table = machine.buffer([machine.addresses[machine.reference()]])
            buffer = {f"{direction}_buffer": machine.buffer([1]), f"{direction}_words": 1}
            operands |= buffer | {f"{direction}_ref_table": table, f"{direction}_ref_count": 1}
        return operands


def state_of_all(machine: Machine) -> list[Any]:
    """What programs can see of all objects but threads, how many objects and frames there are, and what is used."""
    core = machine.core
    objects = [each for each in core.objects.values() if not isinstance(each, Thread)]
    states = [(each.hash, dict(each.export_bits())) for each in objects]
    return [states, len(core.objects), core.frames.in_use, core.quota.used_bytes]
