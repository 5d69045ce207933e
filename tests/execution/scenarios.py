"""Scripted scenarios in which much happens: the material of the comparisons of whole traces."""

from __future__ import annotations

from collections.abc import Callable

from fluke_async.abi.codes import COPY_CHUNK_WORDS
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from tests.kernel.machine import Machine
from tests.kernel.messages import Service

Scenario = Callable[[Machine], None]


def play(scenario: Scenario, model: str, preemption: str, effort: int = 1) -> Machine:
    """A machine in which a scenario has been run to its end."""
    machine = Machine(model, preemption, effort=effort)
    scenario(machine)
    machine.run()
    return machine


def quanta(machine: Machine) -> None:
    """Threads of one priority compute, through several time slices."""
    for number in range(3):
        machine.spawn(("burn", QUANTUM_INSTRUCTIONS * (3 + number) // 2))


def locks(machine: Machine) -> None:
    """Threads of several priorities contend for two mutexes."""
    first, second = machine.new(Mutex), machine.new(Mutex)
    for number in range(4):
        machine.spawn(
            ("burn", 100 * number + 1),
            machine.call("mutex_lock", mutex=first),
            ("burn", 400),
            machine.call("mutex_lock", mutex=second),
            machine.call("mutex_unlock", mutex=first),
            ("burn", 300),
            machine.call("mutex_unlock", mutex=second),
            priority=10 + number % 2,
            start=False,
        )
    threads = [each for each in machine.addresses if isinstance(each, Thread)]
    for number, thread in enumerate(threads):
        machine.start_at(150 * number, thread)


def short_calls(machine: Machine) -> None:
    """Two servers and five clients, one after another and at once."""
    service = Service(machine)
    for number in range(5):
        service.client([number], work=(("burn", 100 * number + 1),), priority=10 + number % 3)
    for number in range(2):
        service.server(work=(("burn", 1000),), priority=11, combined=bool(number))


def long_calls(machine: Machine) -> None:
    """Requests and replies of several chunks, both ends in turn the first; others get ready meanwhile."""
    service = Service(machine)
    words = 5 * COPY_CHUNK_WORDS + 17
    service.server(room=words, reply_words=words, priority=9, work=(("burn", 500),))
    for number in range(3):
        service.client([number] * words, room=words, priority=8 + number)
    for number in range(6):
        late = machine.spawn(("burn", 200), priority=20, start=False)
        machine.start_at(1500 + 2700 * number, late)


def long_calls_among_equals(machine: Machine) -> None:
    """The same at one priority, with so little of a time slice left that it ends in the copying."""
    service = Service(machine)
    words = 5 * COPY_CHUNK_WORDS
    servers = [service.server(room=words, reply_words=words)]
    clients = [service.client([number] * words, room=words)[0] for number in range(2)]
    for number, thread in enumerate((*servers, *clients)):
        thread.quantum_left = 2000 + 500 * number
    machine.spawn(("burn", QUANTUM_INSTRUCTIONS + 5))


def one_way(machine: Machine) -> None:
    """Senders that wait for a server, and a server that waits for senders."""
    service = Service(machine)
    buffer = machine.buffer(4)
    receive = {"receive_buffer": buffer, "receive_words": 4}
    for number in range(4):
        machine.spawn(
            ("burn", 1 + 500 * (number // 2)),
            machine.call(
                "ipc_send",
                destination_ref=service.reference,
                send_buffer=machine.buffer([number]),
                send_words=1,
            ),
            priority=12,
        )
    machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset, **receive),
        "again",
        machine.call("ipc_wait_receive", **receive),
        ("jump", "again"),
        priority=10,
    )


def moved_port(machine: Machine) -> None:
    """Callers of a port that gets a set only later, and of one that is destroyed."""
    service = Service(machine)
    machine.load(service.port, None, portset=None)
    doomed = machine.new(Port)
    for number in range(3):
        service.client([number])
    machine.spawn(machine.call("ipc_call", destination_ref=machine.reference(doomed)))
    service.server()
    service.server()
    machine.spawn(
        ("burn", 100),
        machine.call(
            "port_set_state",
            port=service.port,
            portset_ref=machine.reference(service.portset),
        ),
        machine.call("port_destroy", port=doomed),
        priority=5,
    )


def conditions(machine: Machine) -> None:
    """Threads that wait twice, signalled one by one and all together, with the mutex free or not."""
    mutex, cond = machine.new(Mutex), machine.new(Cond)
    lock, unlock = machine.call("mutex_lock", mutex=mutex), machine.call("mutex_unlock", mutex=mutex)
    wait = machine.call("cond_wait", cond=cond, mutex=mutex)
    signal, broadcast = (machine.call(name, cond=cond) for name in ("cond_signal", "cond_broadcast"))
    for number in range(4):
        machine.spawn(("burn", 30 * number + 1), lock, *[wait, ("burn", 70)] * 2, unlock, priority=10 + number % 2)
    machine.spawn(("burn", 600), signal, lock, signal, broadcast, ("burn", 200), unlock, broadcast, priority=12)
    machine.spawn(*[("burn", 500), broadcast] * 4, priority=9)


def inheritance(machine: Machine) -> None:
    """A chain of two mutexes that lend, a ceiling, and an inheritor; others of middle priority are in between."""
    mutexes = [machine.new(Mutex) for _ in range(3)]
    for mutex, flags in zip(mutexes, (1, 1, 2), strict=True):
        machine.load(mutex, {"flags": flags, "ceiling": 13})
    cond = machine.new(Cond)
    locks, unlocks = ([machine.call(f"mutex_{way}", mutex=each) for each in mutexes] for way in ("lock", "unlock"))
    low = machine.spawn(
        locks[0], ("burn", 900), unlocks[0], ("burn", 300), machine.call("cond_broadcast", cond=cond), priority=5
    )
    machine.load(cond, None, inheritor=low)
    for number, parts in enumerate(
        (
            (locks[1], locks[0], ("burn", 100), unlocks[0], unlocks[1]),
            (locks[2], ("burn", 1000), unlocks[2], ("burn", 100)),
            (locks[1], ("burn", 100), machine.call("cond_wait", cond=cond, mutex=mutexes[1]), unlocks[1]),
        )
    ):
        thread = machine.spawn(*parts, priority=7 + 4 * number, start=False)
        machine.start_at(200 + 150 * number, thread)
    machine.start_at(400, machine.spawn(("burn", 2000), priority=12, start=False))


def faults(machine: Machine) -> None:
    """Mistakes with and without a handler, among them inside system calls."""
    machine.spawn(("load", "s2", "zero", 0x4000_0000))
    machine.spawn(machine.call("mutex_lock", mutex=machine.reference()))
    handler = (
        ("jump", "end"),
        "handler",
        ("burn", 20),
        ("li", "s9", 1),
        ("jump", "end"),
        "end",
    )
    machine.spawn(("illegal",), *handler, handler="handler")
    machine.spawn(machine.call("ipc_wait_receive"), *handler, handler="handler")


SCENARIOS: tuple[Scenario, ...] = (
    quanta,
    locks,
    short_calls,
    long_calls,
    long_calls_among_equals,
    one_way,
    moved_port,
    conditions,
    inheritance,
    faults,
)
