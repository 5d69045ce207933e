"""Small worlds in which somebody is destroyed, stopped or loaded in the middle of what it does. See `small_worlds`."""

from __future__ import annotations

from collections.abc import Sequence

from fluke_async.abi.codes import ExceptionCode, Prot, Status
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Part, Value
from tests.kernel.messages import Service
from tests.kernel.states import WORDS
from tests.verify.small_worlds import HANDLER, LONG, WINDOW, Judge, Stage, World, wrong
from tests.verify.worlds_of_locks import counting
from tests.verify.worlds_of_memory import window


def destroying(machine: Stage, kind: str, target: int) -> Thread:
    return machine.spawn(("li", "a0", target), *machine.bare_call(f"{kind}_destroy"))


def a_server_is_destroyed_in_a_call(machine: Stage) -> Judge:
    """Another takes the call."""
    service = Service(machine)
    first, second = (service.server(room=LONG) for _ in range(2))
    machine.run()
    client, received = service.client(list(range(LONG)))
    other = destroying(machine, "thread", machine.addresses[first])

    def judge() -> str:
        served = machine.word(received) == 1 and machine.register(client, "t6") == 1
        ready = machine.now(second).waiting_for is machine.now(service.portset)
        return wrong(done=machine.done(client, other), served=served, ready=ready)

    return judge


def a_client_is_destroyed_in_its_call(machine: Stage) -> Judge:
    """The server goes on to the next, and is free in the end."""
    service = Service(machine)
    server = service.server(room=LONG)
    machine.run()
    victim, _ = service.client(list(range(LONG)))
    client, received = service.client([30])
    other = destroying(machine, "thread", machine.addresses[victim])

    def judge() -> str:
        served = machine.word(received) == 31
        kept = machine.now(server)
        free = kept.client is None and kept.waiting_for is machine.now(service.portset)
        return wrong(done=machine.done(client, other), served=served, free=free)

    return judge


def a_mutex_is_destroyed_under_its_waiters(machine: Stage) -> Judge:
    """Nobody waits for what is not there any more."""
    mutex, count = machine.new(Mutex), machine.buffer(1)
    holder = machine.spawn(counting(machine, mutex, count)[-1], start=False)
    machine.load(mutex, {"locked": 1}, owner=holder)
    waiter = machine.spawn(counting(machine, mutex, count))
    machine.run()
    machine.core.start(holder)
    other = destroying(machine, "mutex", machine.addresses[mutex])

    def judge() -> str:
        each = [
            machine.done(thread) or machine.failure(thread) is ExceptionCode.NO_OBJECT for thread in (holder, waiter)
        ]
        return wrong(done=machine.done(other), ended=all(each))

    return judge


def a_port_is_destroyed_under_its_caller(machine: Stage) -> Judge:
    """The call is answered, or is told that there is no such port."""
    service = Service(machine)
    service.server()
    client, received = service.client([10])
    other = destroying(machine, "port", machine.addresses[service.port])

    def judge() -> str:
        status = machine.register(client, "a0")
        answered = status == Status.SUCCESS and machine.word(received) == 11
        told = status == Status.IPC_CONNECT_INVALID_DEST
        return wrong(done=machine.done(client, other), answered_or_told=answered or told)

    return judge


LINKS = ("waiting_for", "client", "server")


def reading_out_and_loading(machine: Stage, target: Thread, links: Sequence[str] = LINKS) -> Thread:
    """Read a thread's state out, which stops it, and load it again; what came in between has not been, then."""
    references = {f"{name}_ref": machine.reference() for name in links}
    operands: dict[str, Value] = {"thread": target, "state": machine.buffer(WORDS), **references}
    return machine.spawn(machine.call("thread_get_state", **operands), machine.call("thread_set_state", **operands))


def a_waiter_is_read_out_and_loaded(machine: Stage) -> Judge:
    """It keeps its place in the line; if it got the mutex meanwhile, it is put back to where it waits, for itself."""
    mutex, count = machine.new(Mutex), machine.buffer(1)
    holder = machine.spawn(machine.call("mutex_unlock", mutex=mutex), start=False)
    machine.load(mutex, {"locked": 1}, owner=holder)
    waiter = machine.spawn(counting(machine, mutex, count))
    machine.run()
    machine.core.start(holder)
    other = reading_out_and_loading(machine, waiter)

    def judge() -> str:
        free = machine.done(waiter) and machine.word(count) == 1 and not machine.now(mutex).locked
        owned = machine.now(mutex).owner is machine.now(waiter)
        return wrong(done=machine.done(holder, other), free_or_its_own=free or owned)

    return judge


def a_client_is_read_out_and_loaded(machine: Stage) -> Judge:
    """Its registers alone: wherever its call has come to, it is answered, perhaps again."""
    service = Service(machine)
    service.server(room=LONG)
    machine.run()
    client, received = service.client(list(range(LONG)))
    other = reading_out_and_loading(machine, client, ())

    def judge() -> str:
        served = machine.word(received) == 1 and machine.register(client, "t6") == 1
        return wrong(done=machine.done(client, other), served=served)

    return judge


def a_server_is_read_out_and_loaded(machine: Stage) -> Judge:
    """If it was put back to before the call, it knows nothing of its client, which waits for it; else it answers."""
    service = Service(machine)
    server = service.server(room=LONG, reply_words=LONG)
    machine.run()
    client, received = service.client(list(range(LONG)), room=LONG)
    other = reading_out_and_loading(machine, server)

    def judge() -> str:
        served = machine.done(client) and machine.read(received, LONG) == [1, *range(1, LONG)]
        kept = machine.now(server)
        put_back = machine.now(client).waiting_for is kept and kept.client is None
        free = kept.waiting_for is machine.now(service.portset)
        return wrong(done=machine.done(other), served_or_put_back=served or put_back, free=free)

    return judge


def two_read_out_and_load_the_same(machine: Stage) -> Judge:
    """Who comes second finds it running again; it has lost nothing."""
    word = machine.buffer(1)
    victim = machine.spawn([("add", "s0", "s0", 1), machine.keep("s0", word), *machine.call("thread_self")])
    others = [reading_out_and_loading(machine, victim) for _ in range(2)]

    def judge() -> str:
        ended = [machine.done(each) for each in others]
        refused = [machine.failure(each) is ExceptionCode.THREAD_RUNNING for each in others]
        whole = machine.word(word) == machine.register(victim, "s0") == 1
        return wrong(
            done=machine.done(victim),
            whole=whole,
            ended=any(ended) and ended != refused and all(map(max, ended, refused)),
        )

    return judge


def a_sleeper_is_interrupted(machine: Stage) -> Judge:
    """It looks for the flag whenever it returns, and so finds it, whatever has woken it."""
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
        ("jump", "end"),
        HANDLER,
        ("li", "s6", 1),
        *machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler=HANDLER,
    )
    machine.run()
    assert waiter.waiting_for is cond
    raiser = machine.spawn(
        machine.call("mutex_lock", mutex=mutex),
        ("li", "s0", 1),
        machine.keep("s0", flag),
        machine.call("cond_signal", cond=cond),
        machine.call("mutex_unlock", mutex=mutex),
    )
    other = machine.spawn(machine.call("thread_interrupt", thread=waiter))

    def judge() -> str:
        taken = machine.register(waiter, "s6") == (0 if machine.now(waiter).pending else 1)
        return wrong(done=machine.done(waiter, raiser, other), taken=taken, free=not machine.now(mutex).locked)

    return judge


def two_want_a_page_that_is_away(machine: Stage) -> Judge:
    """Its keeper is asked by one or both, and both go on."""
    service, words = Service(machine), machine.buffer([0, 0])
    region = window(machine, words, 2, machine.space)
    machine.load(region, keeper=service.port)
    region.prot = 0
    receive = {"receive_buffer": machine.buffer(8), "receive_words": 8}
    answer: list[Part] = [
        machine.call("region_protect", region=region, prot=int(Prot.ALL)),
        machine.call("ipc_reply_wait_receive", send_buffer=machine.buffer([0]), send_words=1, **receive),
    ]
    machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset, **receive), "serve", *answer, ("jump", "serve")
    )
    machine.run()
    writers = [machine.spawn(("li", "s0", number), ("store", "s0", "zero", WINDOW + 8 * number)) for number in range(2)]
    return lambda: wrong(done=machine.done(*writers), stored=machine.read(words, 2) == [0, 1])


WORLDS = tuple(
    World(make)
    for make in (
        a_server_is_destroyed_in_a_call,
        a_client_is_destroyed_in_its_call,
        a_mutex_is_destroyed_under_its_waiters,
        a_port_is_destroyed_under_its_caller,
        a_waiter_is_read_out_and_loaded,
        a_client_is_read_out_and_loaded,
        a_server_is_read_out_and_loaded,
        two_read_out_and_load_the_same,
        a_sleeper_is_interrupted,
        two_want_a_page_that_is_away,
    )
)
