"""Clients and servers that the tests of messages, and of what can happen to them, have in common."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import PRIORITY_DEFAULT
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part

preempted_between_chunks = pytest.mark.parametrize(
    ("model", "preemption"), [each for each in CONFIGURATIONS if each.preemption != "none"]
)


class Service:
    """
    A port set with a port, and threads that serve it.

    A server answers every request with its words each one greater, as many as `reply_words`, but of long messages only
    the first word is changed; before it answers it executes `work`.
    """

    def __init__(self, machine: Machine, alias: int = 7) -> None:
        self.machine = machine
        self.portset = machine.new(Portset)
        self.port = machine.new(Port)
        machine.load(self.port, {"alias": alias}, portset=self.portset)
        self.reference = machine.reference(self.port)

    def server(
        self,
        *,
        room: int = 16,
        reply_words: int = 1,
        work: tuple[Part, ...] = (),
        priority: int = PRIORITY_DEFAULT,
        space: Space | None = None,
        combined: bool = True,
        **options: Any,
    ) -> Thread:
        """A thread that serves for ever, by `ipc_reply_wait_receive` or by the two calls that it combines."""
        machine = self.machine
        buffer = machine.buffer(max(room, reply_words))
        receive = {"receive_buffer": buffer, "receive_words": room}
        send = {"send_buffer": buffer, "send_words": reply_words}
        answer = (
            machine.call("ipc_reply_wait_receive", **send, **receive)
            if combined
            else [*machine.call("ipc_reply", **send), *machine.call("ipc_wait_receive", **receive)]
        )
        return machine.spawn(
            machine.call("ipc_setup_wait_receive", portset=self.portset, **receive),
            "serve",
            ("load", "s2", "zero", buffer),
            ("add", "s2", "s2", 1),
            ("store", "s2", "zero", buffer),
            *work,
            answer,
            ("jump", "serve"),
            *options.pop("parts", ()),
            priority=priority,
            space=space,
            **options,
        )

    def client(
        self,
        words: list[int],
        *,
        room: int = 16,
        work: tuple[Part, ...] = (),
        priority: int = PRIORITY_DEFAULT,
        **options: Any,
    ) -> tuple[Thread, int]:
        """A thread that makes one call after `work`, and the address at which it receives the reply."""
        machine = self.machine
        sent, received = machine.buffer(words), machine.buffer(room)
        thread = machine.spawn(
            *work,
            machine.call(
                "ipc_call",
                destination_ref=self.reference,
                send_buffer=sent,
                send_words=len(words),
                receive_buffer=received,
                receive_words=room,
            ),
            *options.pop("parts", ()),
            priority=priority,
            **options,
        )
        return thread, received
