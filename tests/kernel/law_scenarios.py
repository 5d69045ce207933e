"""Scenarios for the first law: what machines are set up to do while everything is created again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fluke_async.abi.codes import COPY_CHUNK_WORDS, WORD_SIZE, MutexFlags
from fluke_async.kernel import message
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from tests.kernel.conditions import LOG_WORDS, WaitingRoom
from tests.kernel.conversation_scenarios import CONVERSATIONS
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.paged_scenarios import PAGED_SCENARIOS
from tests.kernel.scheduled import SCHEDULED_SCENARIOS

Scenario = Callable[[Machine], tuple[int, int]]  # sets a machine up; where its results will be, and how many words


def contended_mutex(machine: Machine) -> tuple[int, int]:
    """Threads of two priorities append their numbers to a log under a mutex."""
    mutex, log = machine.new(Mutex), machine.buffer(16)
    for number, priority in enumerate((10, 10, 12, 11), 1):
        machine.spawn(
            ("burn", 50 * number),
            machine.call("mutex_lock", mutex=mutex),
            ("load", "s2", "zero", log),
            ("add", "s2", "s2", WORD_SIZE),
            ("store", "s2", "zero", log),
            ("burn", 300),
            machine.call("mutex_trylock", mutex=machine.new(Mutex)),
            ("li", "s4", number),
            ("add", "s3", "s2", log),
            ("store", "s4", "s3", 0),
            machine.call("mutex_unlock", mutex=mutex),
            machine.call("mutex_lock", mutex=mutex),
            machine.call("mutex_unlock", mutex=mutex),
            ("fli", "f1", number),
            ("burn", 10),
            ("fmv", "s7", "f1"),
            ("store", "s7", "s3", 8 * WORD_SIZE),
            priority=priority,
        )
    return log, 16


def calls(machine: Machine) -> tuple[int, int]:
    """Three clients, one server; requests and replies of more than a chunk."""
    service = Service(machine)
    words = 2 * COPY_CHUNK_WORDS + 5
    clients = [
        service.client([100 * n] * words, room=words, work=(("burn", 70 * n + 1),), priority=9 + n) for n in range(3)
    ]
    service.server(room=words, reply_words=words, work=(("burn", 200),), priority=10)
    return clients[0][1], (clients[2][1] - clients[0][1]) // WORD_SIZE + words


def preempted_copies(machine: Machine) -> tuple[int, int]:
    """The server waits first, so that clients do the copying; somebody urgent gets in between."""
    service, mutex = Service(machine), machine.new(Mutex)
    words = 3 * COPY_CHUNK_WORDS
    service.server(room=words, reply_words=2, priority=15)
    clients = [service.client([n] * words, room=4, work=(("burn", 100 + 70 * n),), priority=9) for n in range(2)]
    urgent = machine.new(Port)
    answer_after(machine, urgent, 1700)
    reference = machine.reference(urgent)
    machine.spawn(
        *[machine.call("ipc_call", destination_ref=reference), ("burn", 40)] * 4,
        machine.call("mutex_lock", mutex=mutex),
        priority=20,
    )
    return clients[0][1], (clients[1][1] - clients[0][1]) // WORD_SIZE + 4


def one_way_messages(machine: Machine) -> tuple[int, int]:
    service = Service(machine)
    received, log = machine.buffer(4), machine.buffer(16)
    for number in range(3):
        machine.spawn(
            ("burn", 1 + 100 * number),
            machine.call(
                "ipc_send",
                destination_ref=service.reference,
                send_buffer=machine.buffer([number + 5]),
                send_words=1,
            ),
            priority=12 if number == 0 else 10,  # the first comes before the server
        )
    machine.spawn(
        ("li", "s2", log),
        machine.call(
            "ipc_setup_wait_receive",
            portset=service.portset,
            receive_buffer=received,
            receive_words=4,
        ),
        "again",
        ("load", "s3", "zero", received),
        ("store", "s3", "s2", 0),
        ("add", "s2", "s2", WORD_SIZE),
        machine.call("ipc_wait_receive", receive_buffer=received, receive_words=4),
        ("jump", "again"),
        priority=11,
    )
    return log, 16


def device(machine: Machine) -> tuple[int, int]:
    """A device answers some time after it was asked, by the request alone."""
    port = machine.new(Port)
    answer_after(machine, port, 900)
    log = machine.buffer(16)
    reference = machine.reference(port)
    for number in range(2):
        machine.spawn(
            ("burn", 30 * number + 1),
            *(
                machine.call(
                    "ipc_call",
                    destination_ref=reference,
                    send_buffer=machine.buffer([10 * number + n]),
                    send_words=1,
                    receive_buffer=log + (2 * number + n) * WORD_SIZE,
                    receive_words=1,
                )
                for n in range(2)
            ),
        )
    return log, 16


def interrupted(machine: Machine) -> tuple[int, int]:
    """A thread is interrupted while it waits for a mutex, while it is in the handler, and as it gets the mutex."""
    mutex, log, timer = machine.new(Mutex), machine.buffer(4), machine.new(Port)
    answer_after(machine, timer, 300)
    reference = machine.reference(timer)
    sleeps = [
        machine.call(
            "ipc_call",
            destination_ref=reference,
            send_buffer=machine.buffer([number]),
            send_words=1,
        )
        for number in range(4)
    ]
    victim = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        machine.keep("a0", log + 2 * WORD_SIZE),
        ("jump", "end"),
        "handler",
        ("load", "s6", "zero", log),
        ("add", "s6", "s6", 1),
        ("store", "s6", "zero", log),
        ("burn", 500),
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
        priority=10,
    )
    interrupt = machine.call("thread_interrupt", thread=victim)
    machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        *[sleeps[0], interrupt, sleeps[1], interrupt, sleeps[2], sleeps[3]],
        machine.call("mutex_unlock", mutex=mutex),
        interrupt,
        priority=11,
    )
    return log, 4


def conditions(machine: Machine) -> tuple[int, int]:
    """Waiters of two priorities, signalled one by one and all together; a mutex that lends, a low owner, a busy one."""
    mutex, cond, log = machine.new(Mutex), machine.new(Cond), machine.buffer(16)
    machine.load(mutex, {"flags": MutexFlags.INHERIT_PRI})
    lock, unlock = machine.call("mutex_lock", mutex=mutex), machine.call("mutex_unlock", mutex=mutex)
    for number, priority in enumerate((10, 12, 10, 11), 1):
        machine.spawn(
            ("burn", 10 * number),
            lock,
            *[
                machine.call("cond_wait", cond=cond, mutex=mutex),
                ("load", "s2", "zero", log),
                ("add", "s2", "s2", WORD_SIZE),
                ("store", "s2", "zero", log),
                ("li", "s4", number),
                ("add", "s3", "s2", log),
                ("store", "s4", "s3", 0),
                ("burn", 60),
            ]
            * 2,
            unlock,
            priority=priority,
        )
    signal = machine.call("cond_signal", cond=cond)
    machine.spawn(
        ("burn", 200),
        *[signal, ("burn", 90), lock, signal, ("burn", 300), unlock],
        machine.call("cond_broadcast", cond=cond),
        *[("burn", 900), machine.call("cond_broadcast", cond=cond)] * 2,
        priority=9,
    )
    machine.spawn(("burn", 2500), priority=10)
    return log, 16


def stopped_ends(machine: Machine) -> tuple[int, int]:
    """Threads that a program has stopped in their waits stay stopped, and are served where they wait."""
    service, mutex = Service(machine), machine.new(Mutex)
    waiting = machine.spawn(machine.call("mutex_lock", mutex=mutex), priority=12, start=True)
    holder_state, log = machine.buffer(200), machine.buffer(4)
    client, received = service.client([1], priority=14)
    machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("burn", 10),
        machine.call("thread_get_state", thread=waiting, state=holder_state),
        machine.call("thread_get_state", thread=client, state=holder_state + 2048),
        ("burn", 10),
        machine.call("mutex_unlock", mutex=mutex),
        ("burn", 100),
        machine.call("mutex_trylock", mutex=mutex),
        machine.keep("a0", log),
        machine.call("thread_set_state", thread=client, state=holder_state + 2048),
        priority=13,
    )
    service.server(priority=11)
    return received, 1


def preempted_broadcasts(machine: Machine) -> tuple[int, int]:
    """Somebody urgent comes in the middle of a broadcast to many, and waits for the next."""
    room, urgent = WaitingRoom(machine), machine.new(Port)
    for number, priority in enumerate((10, 12, 10, 16, 12), 1):
        room.waiter(number, waits=2, priority=priority)
    answer_after(machine, urgent, 55)
    ask = machine.call("ipc_call", destination_ref=machine.reference(urgent))
    machine.spawn(("burn", 900), ask, room.lock, room.wait, *room.note(9), room.unlock, priority=20)
    broadcast = machine.call("cond_broadcast", cond=room.cond)
    machine.spawn(("burn", 900), broadcast, priority=15)
    machine.spawn(*[("burn", 900), broadcast] * 3, priority=5)
    return room.log_address, LOG_WORDS


def answer_after(machine: Machine, port: Port, delay: int) -> None:
    """Make a port a device's: it answers a request with its first word, greater by 1000; equal requests are one."""
    due: dict[Any, int] = {}

    def receive(request: Any) -> None:
        key = (request.thread.hash, request.words)
        instant = due.setdefault(key, machine.core.time + delay)
        words = (request.words[0] + 1000 if request.words else 0,)
        machine.core.at(instant, lambda: message.answer(machine.core, request, words))

    port.receiver = receive


SCENARIOS: tuple[Scenario, ...] = (
    contended_mutex,
    calls,
    preempted_copies,
    one_way_messages,
    device,
    interrupted,
    conditions,
    preempted_broadcasts,
    stopped_ends,
    *CONVERSATIONS,
    *PAGED_SCENARIOS,
    *SCHEDULED_SCENARIOS,
)
