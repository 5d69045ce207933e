"""One end of a reliable connection that makes a call, and another whose program does what that call needs."""

from __future__ import annotations

from fluke_async.abi.conversation import Conversation, Role, Step
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.kernel.links import name_peer
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

RESULTS = ("a0", "t6", "a4", "a2")  # status, words received, room and words left
ROOM = 4
TURNS = {Step.ACK: "over_receive", Step.OVER: "ack_send"}


class Ends:
    """
    `thread` makes the call of a row, and notes what comes of it; it is linked to `peer`, which is not started.

    The peer executes `before`, and then the other halves of the call's steps. Where the call connects, the peer is the
    server that it will find, and there is no link yet.
    """

    def __init__(self, machine: Machine, call: Conversation, *, before: tuple[Part, ...] = ()) -> None:
        self.machine, self.call, self.service = machine, call, Service(machine)
        self.log, self.room = machine.buffer([77] * len(RESULTS)), machine.buffer([0] * ROOM)
        noted = [machine.keep(name, self.log + 8 * number) for number, name in enumerate(RESULTS)]
        back = machine.bare_call("thread_return_from_exception")
        self.thread = machine.spawn(
            self._named(call.name, self.room, [5, 6]),
            *noted,
            machine.call(f"ipc_{call.role.value}_disconnect"),
            ("jump", "end"),
            "handler",
            ("add", "s5", "s5", 1),
            back,
            "end",
            machine.call("thread_enable_exceptions", thread=machine.next_slot),
            interrupt_handler="handler",
            priority=14,
            start=False,
        )
        self.thread.server_registration = (machine.addresses[self.service.portset], 0, 0, 0, 0)
        self.peer: Thread = machine.spawn(*before, *self._other_halves(), priority=12, start=False)
        if call.steps[0] is not Step.CONNECT:
            link(self.thread, call.role, self.peer, is_sender=call.steps[0] in (Step.SEND, Step.OVER))

    def _named(self, name: str, room: int, words: list[int]) -> list[Part]:
        machine = self.machine
        operands = {
            "destination_ref": machine.value(self.service.reference),
            "portset": machine.value(self.service.portset),
            "send_buffer": machine.buffer(words),
            "send_words": len(words),
            "receive_buffer": room,
            "receive_words": ROOM,
        }
        mine = {operand.name for operand in BY_NAME[name].arguments}
        return list(machine.call(name, **{key: word for key, word in operands.items() if key in mine}))

    def _other_halves(self) -> list[Part]:
        """The calls of the peer, from the steps of the call."""
        steps, other = self.call.steps, self.call.role.peer
        names = [f"ipc_{other.value}_{TURNS[step]}" for step in steps if step in TURNS]
        if steps[0] is Step.SEND:
            names.insert(0, f"ipc_{other.value}_receive")
        if steps[0] is Step.RECEIVE:
            names.append(f"ipc_{other.value}_send")
        if Step.RECEIVE in steps:
            names.append(f"ipc_{other.value}_over_receive")
        if steps[0] is Step.CONNECT:
            names.insert(0, "ipc_setup_wait_receive")
        names.append(f"ipc_{other.value}_disconnect")
        return [part for name in names for part in self._named(name, self.machine.buffer(ROOM), [8, 9])]

    def begin(self) -> None:
        """Let the call begin: it waits, for its peer or for a server."""
        self.machine.core.start(self.thread)
        self.machine.run()
        assert self.thread.waiting_for is (self.service.port if self.call.steps[0] is Step.CONNECT else self.peer)

    def end(self) -> None:
        """Let the peer do its part; a call that ends with a wait for the next message gets one."""
        if self.peer.stopped:
            self.machine.core.start(self.peer)
        self.machine.run()
        if self.call.waits:
            assert self.thread.waiting_for is self.service.portset
            self.machine.invoke("ipc_send", destination_ref=self.service.reference)

    @property
    def outcome(self) -> list[int]:
        """What the call has come to."""
        assert self.machine.done(self.thread, self.peer)
        return self.machine.read(self.log, len(RESULTS)) + self.machine.read(self.room, ROOM)


def link(thread: Thread, role: Role, peer: Thread, *, is_sender: bool) -> None:
    """Connect two threads, as if they had talked before."""
    name_peer(thread, role, peer, sender=is_sender)
    name_peer(peer, role.peer, thread, sender=not is_sender)
