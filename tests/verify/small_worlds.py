"""
Worlds of two or three threads and a few calls each, on the scripted engine: all of their interleavings are run.

A world makes its threads on a machine and returns a judge, who says at the end what is not as it must be under any
interleaving. What is there when the threads begin, such as others that wait, has been run before and is no part of it.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, WORD_SIZE, ExceptionCode, Prot, Status
from fluke_async.execution.configuration import Configuration
from fluke_async.execution.hart import Outcome
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.turns import Turns
from fluke_async.verify.explorer import UNLIMITED, Explored, Explorer, explore
from fluke_async.verify.invariants import check
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service

Judge = Callable[[], str]
MEMORY_BYTES = 1 << 20
SLICE, SLICES_MAX = 200_000, 40  # more than any of them needs
WINDOW = 0x5000_0000  # where a region of its own is mapped
LONG = COPY_CHUNK_WORDS + 6  # words: more than one chunk, in every configuration
HANDLER = "handler"
DRAWN_LENGTH = 3  # instructions


@dataclass(frozen=True)
class World:
    """How a world is made; and how many instructions run between two choices, if no trap comes first."""

    make: Callable[[Machine], Judge]
    length: int = UNLIMITED

    @property
    def name(self) -> str:
        return self.make.__name__

    def attempt(self, configuration: Configuration, turns: Turns | None) -> str:
        """What is wrong under some turns; empty if nothing is."""
        machine = Machine(*configuration, effort=SLICE, memory_bytes=MEMORY_BYTES)
        core = machine.core
        judge = self.make(machine)

        def look() -> None:
            if core.current is not None and core.current.waiting_for is not None:
                core.current = None  # it has just come to wait
            check(core)

        core.turns = turns
        if isinstance(turns, Explorer):
            turns.on_departure = look
        try:
            for _ in range(SLICES_MAX):
                if machine.step() is Outcome.IDLE:
                    check(core)
                    return judge()
        except Exception:  # noqa: BLE001  (whatever the kernel raises is wrong)
            return traceback.format_exc()
        return "it never ends"

    def turns(self, harts: int, seed: int) -> Turns:
        """Turns that are drawn, and are short for so small a world."""
        turns = Turns(harts, seed)
        turns.length = DRAWN_LENGTH
        return turns

    def explore(self, configuration: Configuration, harts: int, departures: int = UNLIMITED) -> Explored:
        """All interleavings, or those with so many departures."""
        return explore(lambda turns: self.attempt(configuration, turns), harts, departures, length=self.length)


def wrong(**facts: bool) -> str:
    """The names of what is not true."""
    return ", ".join(f"not {name}" for name, is_true in facts.items() if not is_true)


def breath(machine: Machine) -> list[Part]:
    """A call that does nothing but give others an occasion to run."""
    return [*machine.call("thread_self")]


# -- mutexes and conditions -------------------------------------------------------------------------------------------


def counting(machine: Machine, mutex: Mutex, count: int) -> list[Part]:
    """Count under a mutex, with a breath between reading the count and writing it."""
    return [
        machine.call("mutex_lock", mutex=mutex),
        ("load", "s0", "zero", count),
        breath(machine),
        ("add", "s0", "s0", 1),
        machine.keep("s0", count),
        machine.call("mutex_unlock", mutex=mutex),
    ]


def two_count_under_a_mutex(machine: Machine) -> Judge:
    mutex, count = machine.new(Mutex), machine.buffer(1)
    threads = [machine.spawn(counting(machine, mutex, count)) for _ in range(2)]
    return lambda: wrong(done=machine.done(*threads), counted=machine.word(count) == 2, free=not mutex.locked)


def a_mutex_is_handed_over(machine: Machine) -> Judge:
    """One owns it, one waits for it, one comes for it."""
    mutex, count = machine.new(Mutex), machine.buffer(1)
    owner = machine.spawn(machine.call("mutex_unlock", mutex=mutex), start=False)
    machine.load(mutex, {"locked": 1}, owner=owner)
    waiter = machine.spawn(counting(machine, mutex, count))
    machine.run()
    assert waiter.waiting_for is mutex
    comer = machine.spawn(counting(machine, mutex, count))
    machine.core.start(owner)
    threads = owner, waiter, comer
    return lambda: wrong(done=machine.done(*threads), counted=machine.word(count) == 2, free=not mutex.locked)


def who_unlocks_cannot_get_in_before_who_waits(machine: Machine) -> Judge:
    """The owner unlocks and tries again; it gets the mutex only if the one that waited is through with it."""
    mutex, through, seen = machine.new(Mutex), machine.buffer(1), machine.buffer([7, 7])
    owner = machine.spawn(
        machine.call("mutex_unlock", mutex=mutex),
        machine.call("mutex_trylock", mutex=mutex),
        machine.keep("a0", seen),
        ("load", "s0", "zero", through),
        machine.keep("s0", seen + WORD_SIZE),
        start=False,
    )
    machine.load(mutex, {"locked": 1}, owner=owner)
    waiter = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("li", "s0", 1),
        machine.keep("s0", through),
        machine.call("mutex_unlock", mutex=mutex),
    )
    machine.run()
    machine.core.start(owner)

    def judge() -> str:
        status, before = machine.read(seen, 2)
        in_order = (status, before) in ((Status.SUCCESS, 1), (Status.MUTEX_HELD, 0), (Status.MUTEX_HELD, 1))
        return wrong(done=machine.done(owner, waiter), in_order=in_order)

    return judge


def sleeping(machine: Machine, cond: Cond, count: int, times: int = 1) -> list[Part]:
    """Wait for a signal so many times, under a mutex that nobody else wants, and count."""
    mutex = machine.new(Mutex)
    return [
        machine.keep("zero", count),  # the page is there: one step less later
        machine.call("mutex_lock", mutex=mutex),
        [
            [*machine.call("cond_wait", cond=cond, mutex=mutex), ("li", "s0", number), machine.keep("s0", count)]
            for number in range(1, times + 1)
        ],
    ]


def a_sleeper_meets_its_signal(machine: Machine) -> Judge:
    """Who waits for a flag cannot sleep through it."""
    mutex, cond, flag = machine.new(Mutex), machine.new(Cond), machine.buffer(1)
    waiter = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        "look",
        ("load", "s0", "zero", flag),
        ("bnez", "s0", "raised"),
        machine.call("cond_wait", cond=cond, mutex=mutex),
        ("jump", "look"),
        "raised",
        machine.call("mutex_unlock", mutex=mutex),
    )
    raiser = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("li", "s0", 1),
        machine.keep("s0", flag),
        machine.call("mutex_unlock", mutex=mutex),
        machine.call("cond_signal", cond=cond),
    )
    return lambda: wrong(done=machine.done(waiter, raiser), free=not mutex.locked)


def wake_two(machine: Machine, *calls: str) -> Judge:
    """Two sleepers, and as many threads as there are calls that wake them."""
    cond, counts = machine.new(Cond), [machine.buffer(1) for _ in range(2)]
    sleepers = [machine.spawn(sleeping(machine, cond, count)) for count in counts]
    machine.run()
    assert all(sleeper.waiting_for is cond for sleeper in sleepers)
    wakers = [machine.spawn(machine.call(call, cond=cond)) for call in calls]
    return lambda: wrong(done=machine.done(*sleepers, *wakers), woken=[*map(machine.word, counts)] == [1, 1])


def two_signals_for_two_sleepers(machine: Machine) -> Judge:
    return wake_two(machine, "cond_signal", "cond_signal")


def a_broadcast_and_a_signal(machine: Machine) -> Judge:
    return wake_two(machine, "cond_broadcast", "cond_signal")


def a_broadcast_leaves_alone_who_waits_again(machine: Machine) -> Judge:
    """Each of the sleepers returns once, and waits for the next."""
    cond, counts = machine.new(Cond), [machine.buffer(1) for _ in range(2)]
    sleepers = [machine.spawn(sleeping(machine, cond, count, times=2)) for count in counts]
    machine.run()
    waker = machine.spawn(machine.call("cond_broadcast", cond=cond))

    def judge() -> str:
        asleep = all(sleeper.waiting_for is cond for sleeper in sleepers)
        return wrong(done=machine.done(waker), asleep=asleep, once=[*map(machine.word, counts)] == [1, 1])

    return judge


# -- messages ---------------------------------------------------------------------------------------------------------


def two_clients_come_to_a_server(machine: Machine) -> Judge:
    """None of the three is there before."""
    service = Service(machine)
    service.server()
    clients = [service.client([number]) for number in (10, 20)]

    def judge() -> str:
        answered = [machine.word(received) for _, received in clients] == [11, 21]
        return wrong(done=machine.done(*(client for client, _ in clients)), answered=answered)

    return judge


def interrupted(machine: Machine, words: int, reply_words: int) -> Judge:
    """A call under way is interrupted by another thread, and made again."""
    service, hits = Service(machine), machine.buffer(1)
    service.server(room=words, reply_words=reply_words)
    machine.run()
    client, received = service.client(
        list(range(5, 5 + words)),
        room=reply_words,
        parts=[
            ("jump", "end"),
            HANDLER,
            ("load", "s6", "zero", hits),
            ("add", "s6", "s6", 1),
            machine.keep("s6", hits),
            machine.bare_call("thread_return_from_exception"),
            "end",
        ],
        interrupt_handler=HANDLER,
    )
    other = machine.spawn(machine.call("thread_interrupt", thread=client))

    def judge() -> str:
        taken = machine.word(hits) == (0 if client.pending else 1)  # it may have come when all was over
        rest = list(range(6, 5 + min(words, reply_words)))
        arrived = machine.read(received, 1 + len(rest)) == [6, *rest]
        whole = machine.register(client, "t6") == reply_words
        return wrong(done=machine.done(client, other), taken=taken, arrived=arrived, whole=whole)

    return judge


def a_long_request_is_interrupted(machine: Machine) -> Judge:
    return interrupted(machine, LONG, 1)


def a_long_reply_is_interrupted(machine: Machine) -> Judge:
    return interrupted(machine, 1, LONG)


def a_connection_beside_a_bystander(machine: Machine) -> Judge:
    """A long message and a short answer on a reliable connection."""
    service = Service(machine)
    sent, arrived, answer, answered = machine.buffer(range(LONG)), machine.buffer(LONG), machine.buffer([9]), 0
    answered = machine.buffer(1)
    server = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset, receive_buffer=arrived, receive_words=LONG),
        machine.call("ipc_server_ack_send", send_buffer=answer, send_words=1),
        machine.call("ipc_server_disconnect"),
    )
    machine.run()
    client = machine.spawn(
        machine.call(
            "ipc_client_connect_send_over_receive",
            destination_ref=service.reference,
            send_buffer=sent,
            send_words=LONG,
            receive_buffer=answered,
            receive_words=2,
        ),
    )
    bystander = machine.spawn(breath(machine))

    def judge() -> str:
        return wrong(
            done=machine.done(client, server, bystander),
            arrived=machine.read(arrived, LONG) == list(range(LONG)),
            answered=machine.read(answered) == [9] and machine.register(client, "t6") == 1,
            status=machine.register(client, "a0") == Status.IPC_RECV_DISCONNECTED,
        )

    return judge


# -- memory -----------------------------------------------------------------------------------------------------------


def window(machine: Machine, buffer: int, words: int, space: Space) -> Region:
    """A region around a buffer, mapped at WINDOW in a space."""
    region = machine.new(Region)
    size = -(-words * WORD_SIZE // PAGE_SIZE) * PAGE_SIZE
    assert buffer % PAGE_SIZE == 0
    machine.load(region, {"start_va": buffer, "size": size, "prot": int(Prot.ALL)}, space=machine.space)
    machine.map(space, region, WINDOW, size)
    return region


def storing(machine: Machine, space: Space) -> Thread:
    """Store 1, 2 and 3 through the window."""
    return machine.spawn(
        [[("li", "s0", number), ("store", "s0", "zero", WINDOW), *breath(machine)] for number in (1, 2, 3)], space=space
    )


def forbidding(machine: Machine, call: list[Part], word: int) -> Thread:
    """Take away the right to write, and look twice whether anybody still does: what was seen is in s0 and s1."""
    return machine.spawn(call, ("load", "s0", "zero", word), breath(machine), ("load", "s1", "zero", word))


def stores_end(machine: Machine, word: int, writer: Thread, call: list[Part]) -> Judge:
    """When `call` has returned, no store of the writer's arrives any more: it has its exception, or was through."""
    other = forbidding(machine, call, word)

    def judge() -> str:
        seen = [machine.register(other, name) for name in ("s0", "s1")]
        refused = machine.failure(writer) is ExceptionCode.STORE_FAULT
        return wrong(
            done=machine.done(other),
            steady=seen == [machine.word(word)] * 2,
            refused=refused or (machine.done(writer) and machine.word(word) == 3),
        )

    return judge


def protection(machine: Machine, space: Space) -> Judge:
    word = machine.buffer(1)
    region = window(machine, word, 1, space)
    call = machine.call("region_protect", region=region, prot=int(Prot.READ))
    return stores_end(machine, word, storing(machine, space), call)


def a_region_is_protected_under_stores(machine: Machine) -> Judge:
    return protection(machine, machine.space)


def a_region_is_protected_under_stores_elsewhere(machine: Machine) -> Judge:
    return protection(machine, machine.new_space())


def a_mapping_is_taken_away_under_stores(machine: Machine) -> Judge:
    """Who stores through it is in another space, and finds nothing there when the call has returned."""
    word, space, mapping = machine.buffer(1), machine.new_space(), machine.new(Mapping)
    bits = {"start_va": WINDOW, "size": PAGE_SIZE, "region_off": word, "prot": int(Prot.ALL)}
    machine.load(mapping, bits, region=machine.region, space=space)
    return stores_end(machine, word, storing(machine, space), machine.call("mapping_destroy", mapping=mapping))


def a_region_is_protected_under_a_message(machine: Machine) -> Judge:
    """Nothing arrives where the call that takes the right away has returned."""
    service, arrived = Service(machine), machine.buffer(LONG)
    region = window(machine, arrived, LONG, machine.space)
    receive = {"receive_buffer": WINDOW, "receive_words": LONG}
    machine.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset, **receive))
    machine.run()
    service.client([8] * LONG)
    last = arrived + (LONG - 1) * WORD_SIZE
    other = forbidding(machine, machine.call("region_protect", region=region, prot=int(Prot.READ)), last)

    def judge() -> str:
        seen = [machine.register(other, name) for name in ("s0", "s1")]
        return wrong(done=machine.done(other), steady=seen == [machine.word(last)] * 2)

    return judge


WORLDS = tuple(
    World(make)
    for make in (
        two_count_under_a_mutex,
        a_mutex_is_handed_over,
        who_unlocks_cannot_get_in_before_who_waits,
        a_sleeper_meets_its_signal,
        two_signals_for_two_sleepers,
        a_broadcast_and_a_signal,
        a_broadcast_leaves_alone_who_waits_again,
        two_clients_come_to_a_server,
        a_long_request_is_interrupted,
        a_long_reply_is_interrupted,
        a_connection_beside_a_bystander,
        a_region_is_protected_under_stores,
        a_region_is_protected_under_stores_elsewhere,
        a_mapping_is_taken_away_under_stores,
        a_region_is_protected_under_a_message,
    )
)
