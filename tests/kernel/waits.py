"""Every kind of wait: the call that waits, what has to happen before it does, and what ends the wait in good order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS
from fluke_async.kernel import message
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

LONG = 3 * COPY_CHUNK_WORDS


def nothing() -> None:
    """What most waits need to begin."""


@dataclass(frozen=True)
class Wait:
    """`parts` are the steps of the thread that waits, the last a call; `begin` is done when they have run."""

    parts: list[Part]
    end: Callable[[], None]
    begin: Callable[[], None] = nothing

    def reach(self, thread: Thread, machine: Machine) -> KernelObject:
        """Run until the thread waits; what it waits for."""
        machine.run()
        self.begin()
        assert thread.waiting_for is not None
        return thread.waiting_for


def mutex_lock(machine: Machine) -> Wait:
    mutex = machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=mutex), machine.call("ipc_send", destination_ref=nowhere(machine)))
    machine.run()
    return Wait([machine.call("mutex_lock", mutex=mutex)], lambda: unlock(machine, mutex))


def cond_wait(machine: Machine) -> Wait:
    """Whoever leaves this wait, waits for the mutex, which another thread has locked by then."""
    room = WaitingRoom(machine)

    def lock() -> None:
        machine.spawn(room.lock)
        machine.run()

    def signal() -> None:
        room.signal()
        unlock(machine, room.mutex)

    return Wait([room.lock, room.wait], signal, lock)


def ipc_send(machine: Machine) -> Wait:
    service = Service(machine)
    return Wait([machine.call("ipc_send", destination_ref=service.reference)], lambda: serve(machine, service))


def ipc_call_for_a_server(machine: Machine) -> Wait:
    service = Service(machine)
    return Wait([machine.call("ipc_call", destination_ref=service.reference)], lambda: serve(machine, service))


def ipc_call_for_a_reply(machine: Machine) -> Wait:
    service, gate = Service(machine), machine.new(Mutex)
    machine.spawn(machine.call("mutex_lock", mutex=gate))
    machine.run()
    service.server(work=(machine.call("mutex_lock", mutex=gate), machine.call("mutex_unlock", mutex=gate)))
    return Wait([machine.call("ipc_call", destination_ref=service.reference)], lambda: unlock(machine, gate))


def ipc_call_for_a_device(machine: Machine) -> Wait:
    port = machine.new(Port)
    port.receiver = machine.requests.append

    def answer() -> None:
        while machine.requests:
            message.answer(machine.core, machine.requests.pop(), ())
        machine.run()

    return Wait([machine.call("ipc_call", destination_ref=machine.reference(port))], answer)


def receive(machine: Machine) -> Wait:
    portset, port = machine.new(Portset), machine.new(Port)
    machine.load(port, None, portset=portset)
    reference = machine.reference(port)

    def send() -> None:
        machine.invoke("ipc_send", destination_ref=reference)

    return Wait([machine.call("ipc_setup_wait_receive", portset=portset)], send)


def receive_the_rest(machine: Machine) -> Wait:
    """A server whose client has been stopped in the middle of the request."""
    service, buffer = Service(machine), machine.buffer(LONG)
    clients: list[Thread] = []

    def call() -> None:
        client, _ = service.client([1] * LONG)
        clients.append(client)
        while client.first_waiter() is None:
            machine.step()
        machine.core.stop(client)

    def go_on() -> None:
        machine.core.start(clients[0])
        machine.run()

    parts = machine.call("ipc_setup_wait_receive", portset=service.portset, receive_buffer=buffer, receive_words=LONG)
    return Wait([parts], go_on, call)


def nowhere(machine: Machine) -> int:
    """A reference to a port that nobody serves."""
    return machine.addresses[machine.reference(machine.new(Port))]


def unlock(machine: Machine, mutex: Mutex) -> None:
    machine.invoke("mutex_set_state", mutex=mutex, owner_ref=machine.reference())


def serve(machine: Machine, service: Service) -> None:
    service.server()
    machine.run()


Kind = Callable[[Machine], Wait]
WAITS: tuple[Kind, ...] = (
    *(mutex_lock, cond_wait, ipc_send, ipc_call_for_a_server, ipc_call_for_a_reply, ipc_call_for_a_device),
    *(receive, receive_the_rest),
)
each_wait = pytest.mark.parametrize("kind", WAITS, ids=lambda kind: kind.__name__)
