"""
Small worlds in which threads can lose the processor at every instruction; see `small_worlds`.

What one thread does to another that runs elsewhere has happened when the call returns, and whoever loses the processor
finds all its registers again.
"""

from __future__ import annotations

from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.abi.registers import ENTRY_POINT, NUMBER_OF
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Part, Value
from tests.kernel.states import WORDS
from tests.verify.small_worlds import HANDLER, Judge, Stage, World, wrong

COUNTED = 3


def caller(machine: Stage, name: str, *parts: Part, **operands: Value) -> Thread:
    """A thread whose first instruction is a call, with its registers set."""
    thread = machine.spawn(("ecall",), *parts)
    registers = {operand.name: operand.register for operand in BY_NAME[name].arguments}
    for operand, value in operands.items():
        thread.registers[registers[operand]] = machine.value(value)
    thread.registers[ENTRY_POINT] = BY_NAME[name].number
    return thread


def counter(machine: Stage, word: int, *parts: Part, **options: str) -> Thread:
    """A thread that counts in s0, and stores each count."""
    return machine.spawn([("add", "s0", "s0", 1), machine.keep("s0", word)] * COUNTED, *parts, **options)  # type: ignore[arg-type]


def looking_twice(word: int) -> list[Part]:
    """Whether anybody still stores: what was seen is in s2 and s3."""
    return [("load", "s2", "zero", word), ("load", "s3", "zero", word)]


def who_is_stopped_stands_still_and_goes_on(machine: Stage) -> Judge:
    """Its state is read out, which stops it; what was read is what it was; and with that it goes on."""
    word, state = machine.buffer(1), machine.buffer(WORDS)
    victim = counter(machine, word)
    other = caller(
        machine,
        "thread_get_state",
        *looking_twice(word),
        ("li", "a0", machine.addresses[victim]),
        *machine.bare_call("thread_set_state"),
        thread=victim,
        state=state,
    )

    def judge() -> str:
        data = b"".join(read.to_bytes(8, "little") for read in machine.read(state, WORDS))
        x = THREAD_STATE.unpack(data)["x"]
        assert not isinstance(x, int)
        first, second = machine.register(other, "s2"), machine.register(other, "s3")
        return wrong(
            done=machine.done(victim, other),
            still=first == second,
            true=x[NUMBER_OF["s0"]] - first in (0, 1),
            whole=machine.word(word) == machine.register(victim, "s0") == COUNTED,
        )

    return judge


def who_is_destroyed_does_nothing_more(machine: Stage) -> Judge:
    word = machine.buffer(1)
    victim = counter(machine, word)
    other = caller(machine, "thread_destroy", *looking_twice(word), thread=victim)

    def judge() -> str:
        seen = [machine.register(other, name) for name in ("s2", "s3")]
        return wrong(
            done=machine.done(other), still=seen == [machine.word(word)] * 2, gone=not machine.now(victim).active
        )

    return judge


def who_is_interrupted_goes_on(machine: Stage) -> Judge:
    word, hits = machine.buffer(1), machine.buffer(1)
    victim = counter(
        machine,
        word,
        ("jump", "end"),
        HANDLER,
        ("load", "s6", "zero", hits),
        ("add", "s6", "s6", 1),
        machine.keep("s6", hits),
        *machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler=HANDLER,
    )
    other = caller(machine, "thread_interrupt", thread=victim)

    def judge() -> str:
        taken = machine.word(hits) == (0 if machine.now(victim).pending else 1)
        whole = machine.word(word) == machine.register(victim, "s0") == COUNTED
        return wrong(done=machine.done(victim, other), taken=taken, whole=whole)

    return judge


def nothing_is_reserved_for_two(machine: Stage) -> Judge:
    """Whoever is told that its store was done has counted: one tries once, one twice."""
    word = machine.buffer(1)
    attempts = [[("lr", "t0", "a0"), ("add", "t0", "t0", 1), ("sc", name, "t0", "a0")] for name in ("s2", "s3")]
    threads = [machine.spawn(attempts[:count]) for count in (1, 2)]
    for thread in threads:
        thread.registers[NUMBER_OF["a0"]] = word
        for name in ("s2", "s3"):
            thread.registers[NUMBER_OF[name]] = 1

    def judge() -> str:
        stored = sum(machine.register(thread, name) == 0 for thread in threads for name in ("s2", "s3"))
        return wrong(done=machine.done(*threads), counted=machine.word(word) == stored)

    return judge


def each_has_its_floating_registers(machine: Stage) -> Judge:
    threads = [machine.spawn(("fli", "f0", bits), ("fmv", "s0", "f0"), ("fmv", "s1", "f0")) for bits in (7, 8)]

    def judge() -> str:
        seen = [[machine.register(thread, name) for name in ("s0", "s1")] for thread in threads]
        return wrong(done=machine.done(*threads), own=seen == [[7, 7], [8, 8]])

    return judge


WORLDS = tuple(
    World(make, length=1)
    for make in (
        who_is_stopped_stands_still_and_goes_on,
        who_is_destroyed_does_nothing_more,
        who_is_interrupted_goes_on,
        nothing_is_reserved_for_two,
        each_has_its_floating_registers,
    )
)
