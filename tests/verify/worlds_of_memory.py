"""Small worlds of memory that is taken away while somebody stores to it. See `small_worlds`."""

from __future__ import annotations

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE, ExceptionCode, Prot
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Part
from tests.kernel.messages import Service
from tests.verify.small_worlds import LONG, WINDOW, Judge, Stage, World, breath, wrong


def window(machine: Stage, buffer: int, words: int, space: Space) -> Region:
    """A region around a buffer, mapped at WINDOW in a space."""
    region = machine.new(Region)
    size = -(-words * WORD_SIZE // PAGE_SIZE) * PAGE_SIZE
    assert buffer % PAGE_SIZE == 0
    machine.load(region, {"start_va": buffer, "size": size, "prot": int(Prot.ALL)}, space=machine.space)
    machine.map(space, region, WINDOW, size)
    return region


def storing(machine: Stage, space: Space) -> Thread:
    """Store 1, 2 and 3 through the window."""
    return machine.spawn(
        [[("li", "s0", number), ("store", "s0", "zero", WINDOW), *breath(machine)] for number in (1, 2, 3)], space=space
    )


def forbidding(machine: Stage, call: Part, word: int) -> Thread:
    """Take away the right to write, and look twice whether anybody still does: what was seen is in s0 and s1."""
    return machine.spawn(call, ("load", "s0", "zero", word), breath(machine), ("load", "s1", "zero", word))


def stores_end(machine: Stage, word: int, writer: Thread, call: Part) -> Judge:
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


def protection(machine: Stage, space: Space) -> Judge:
    word = machine.buffer(1)
    region = window(machine, word, 1, space)
    call = machine.call("region_protect", region=region, prot=int(Prot.READ))
    return stores_end(machine, word, storing(machine, space), call)


def a_region_is_protected_under_stores(machine: Stage) -> Judge:
    return protection(machine, machine.space)


def a_region_is_protected_under_stores_elsewhere(machine: Stage) -> Judge:
    return protection(machine, machine.new_space())


def a_mapping_is_taken_away_under_stores(machine: Stage) -> Judge:
    """Who stores through it is in another space, and finds nothing there when the call has returned."""
    word, space, mapping = machine.buffer(1), machine.new_space(), machine.new(Mapping)
    bits = {"start_va": WINDOW, "size": PAGE_SIZE, "region_off": word, "prot": int(Prot.ALL)}
    machine.load(mapping, bits, region=machine.region, space=space)
    return stores_end(machine, word, storing(machine, space), machine.call("mapping_destroy", mapping=mapping))


def a_region_is_protected_under_a_message(machine: Stage) -> Judge:
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
        a_region_is_protected_under_stores,
        a_region_is_protected_under_stores_elsewhere,
        a_mapping_is_taken_away_under_stores,
        a_region_is_protected_under_a_message,
    )
)
