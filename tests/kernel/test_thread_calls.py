"""What a thread asks for itself: handlers, whether exceptions come, and the registers that a handler will give back."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import PAGE_SIZE, WORD_SIZE, ExceptionCode, Prot, Status, ThreadFlags
from fluke_async.abi.entry_point import EntryPoint
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.layouts import THREAD_SAVED_STATE
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_state import Handlers
from fluke_async.kernel.trace import Event
from tests.kernel.machine import UNMAPPED, Machine, Part

SAVED_WORDS = THREAD_SAVED_STATE.size // WORD_SIZE
OWN_CALLS = [
    BY_NAME[f"thread_{name}"]
    for name in (
        *("get_handlers", "set_handlers", "enable_exceptions", "disable_exceptions"),
        *("get_saved_state", "set_saved_state"),
    )
]
each_own_call = pytest.mark.parametrize("entry", OWN_CALLS, ids=lambda entry: entry.name)


def own_call(machine: Machine, name: str, **operands: Any) -> list[Any]:
    """The steps of a call of the thread that is spawned next."""
    return machine.call(f"thread_{name}", thread=machine.next_slot, **operands)


def exported(thread: Thread) -> dict[str, Any]:
    return dict(thread.export_bits())


# -- for the calling thread alone -------------------------------------------------------------------------------------


@each_own_call
def test_calls_for_oneself_are_refused_with_the_address_of_another(machine: Machine, entry: EntryPoint) -> None:
    other = machine.spawn(("burn", 1), start=False)
    state = {"state": machine.buffer([1, 2, 3, 4, 5])} if entry.state else {}
    for wrong in (other, machine.new(Mutex), machine.slot(), UNMAPPED, 0, 1, 2**64 - 1):
        thread = machine.spawn(machine.call(entry.name, thread=wrong, **state), interrupt_handler="", start=False)
        before = (thread.handlers, thread.exceptions_enabled, thread.saved, exported(other))
        machine.core.start(thread)
        machine.run()
        result = machine.result(thread)
        assert (result.exception, result.subcode) == (ExceptionCode.NOT_CURRENT_THREAD, machine.value(wrong))
        assert (thread.handlers, thread.exceptions_enabled, thread.saved, exported(other)) == before
        assert machine.word(state.get("state", machine.buffer([1]))) == 1


def test_oneself_is_where_one_has_been_moved_to(machine: Machine) -> None:
    slot = machine.slot()
    calls = [machine.bare_call(f"thread_{name}") for name in ("self", "disable_exceptions")]
    thread = machine.spawn(*calls, start=False)
    old = machine.addresses[thread]
    machine.invoke("thread_move", thread=thread, new_address=slot)
    machine.core.start(thread)
    machine.run()
    assert machine.done(thread)
    stale = machine.spawn(machine.call("thread_disable_exceptions", thread=old))
    machine.run()
    assert machine.failure(stale) is ExceptionCode.NOT_CURRENT_THREAD


# -- handlers ---------------------------------------------------------------------------------------------------------


def test_handlers_that_were_set_are_what_one_gets(machine: Machine) -> None:
    handlers = {"trap": 0x1001, "interrupt": 2**64 - 1, "client_alert": 3, "server_alert": 0}
    setting = own_call(machine, "set_handlers", **handlers)
    thread = machine.spawn(setting, [("li", f"a{n}", 99) for n in (1, 2, 3, 4)], own_call(machine, "get_handlers"))
    machine.run()
    assert machine.done(thread)
    assert [machine.register(thread, f"a{n}") for n in (1, 2, 3, 4)] == list(handlers.values())
    assert machine.register(thread, "a0") == Status.SUCCESS
    assert thread.handlers == Handlers(**handlers)
    state = exported(thread)
    assert {name: state[f"{name}_handler"] for name in handlers} == handlers


def test_new_handlers_are_those_that_are_entered(machine: Machine) -> None:
    """A trap handler that is set by the call itself, and taken away again: the next mistake stops the thread."""
    cell, own = machine.buffer(1), machine.next_slot
    thread = machine.spawn(
        *[("la", "a1", "trap"), ("li", "a2", 0), ("li", "a3", 0), ("li", "a4", 0), ("li", "a0", own)],
        machine.bare_call("thread_set_handlers"),
        *[("li", "a0", own), machine.bare_call("thread_enable_exceptions")],
        *[("load", "s4", "zero", UNMAPPED), "after", ("load", "s4", "zero", UNMAPPED), ("jump", "after")],
        "trap",
        *[machine.keep("a1", cell), ("add", "s5", "s5", 1), machine.call("thread_set_handlers", thread=own)],
        machine.bare_call("thread_return_from_exception"),
    )
    machine.run()
    assert machine.word(cell) == ExceptionCode.LOAD_FAULT
    assert machine.register(thread, "s5") == 1
    assert machine.failure(thread) is ExceptionCode.LOAD_FAULT
    assert thread.handlers == Handlers()


# -- whether exceptions come ------------------------------------------------------------------------------------------


def counting(machine: Machine, hits: int, *parts: Part, **options: Any) -> Thread:
    """A thread that counts the interrupts that it takes."""
    return machine.spawn(
        *parts,
        ("jump", "end"),
        "handler",
        *[("load", "s6", "zero", hits), ("add", "s6", "s6", 1), ("store", "s6", "zero", hits)],
        ("time", "s7"),
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
        **options,
    )


def test_interrupt_is_put_off_until_exceptions_are_enabled_and_comes_before_the_next_instruction(
    machine: Machine,
) -> None:
    hits = machine.buffer(1)
    thread = counting(
        machine,
        hits,
        own_call(machine, "disable_exceptions"),
        *[("burn", 1000), ("load", "s2", "zero", hits)],
        own_call(machine, "enable_exceptions"),
        ("load", "s3", "zero", hits),
    )
    machine.run_for(500)
    machine.spawn(machine.call("thread_interrupt", thread=thread), priority=20)
    machine.run_for(200)
    assert exported(thread)["flags"] == ThreadFlags.PENDING_INTERRUPT
    machine.run()
    assert machine.done(thread)
    assert [machine.register(thread, name) for name in ("s2", "s3")] == [0, 1]
    assert machine.word(hits) == 1
    assert exported(thread)["flags"] == ThreadFlags.EXCEPTION_ENABLE


def test_mistake_while_exceptions_are_disabled_stops_the_thread(machine: Machine) -> None:
    thread = machine.spawn(
        own_call(machine, "disable_exceptions"),
        *[("load", "s2", "zero", UNMAPPED), ("burn", 1), "trap", ("li", "s3", 1)],
        handler="trap",
    )
    machine.run()
    assert machine.failure(thread) is ExceptionCode.LOAD_FAULT
    assert machine.register(thread, "s3") == 0


def test_enabling_again_changes_nothing(machine: Machine) -> None:
    for name, enabled in (("enable_exceptions", True), ("disable_exceptions", False)):
        thread = machine.spawn(own_call(machine, name), own_call(machine, name), interrupt_handler="")
        machine.run()
        assert machine.done(thread)
        assert thread.exceptions_enabled is enabled
        assert machine.register(thread, "a0") == Status.SUCCESS


def test_handler_that_enables_exceptions_can_be_interrupted_itself(machine: Machine) -> None:
    """It has to look after what was saved: the second interrupt saves its own."""
    hits, saved, own = machine.buffer(2), machine.buffer(SAVED_WORDS), machine.next_slot
    thread = machine.spawn(
        *[("burn", 2000), ("li", "s5", 1), ("jump", "end")],
        "handler",
        *[("load", "s6", "zero", hits), ("add", "s6", "s6", 1), ("store", "s6", "zero", hits)],
        *[("add", "s8", "s6", -1), ("bnez", "s8", "back")],  # the second one returns at once
        machine.call("thread_get_saved_state", thread=own, state=saved),
        machine.call("thread_enable_exceptions", thread=own),
        ("burn", 1000),
        machine.call("thread_disable_exceptions", thread=own),
        machine.call("thread_set_saved_state", thread=own, state=saved),
        "back",
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
    )
    begin = thread.pc
    machine.run_for(500)
    machine.spawn(machine.call("thread_interrupt", thread=thread), priority=20)
    machine.run_for(500)
    machine.spawn(machine.call("thread_interrupt", thread=thread), priority=20)
    machine.run()
    assert machine.done(thread)
    assert (machine.word(hits), machine.register(thread, "s5")) == (2, 1)
    at = THREAD_SAVED_STATE.offset_of("pc") + saved
    assert begin < machine.word(at) < begin + 2000 * 4


# -- what was saved ---------------------------------------------------------------------------------------------------


def test_saved_state_is_that_of_the_call_that_was_cut_off(machine: Machine) -> None:
    mutex, saved, own = machine.new(Mutex), machine.buffer(SAVED_WORDS), machine.next_slot + 16
    machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    lock = machine.call("mutex_lock", mutex=mutex)
    thread = machine.spawn(
        *[("li", "a1", 71), ("li", "a2", 72), lock, ("jump", "end")],
        "handler",
        machine.call("thread_get_saved_state", thread=own, state=saved),
        "end",
        interrupt_handler="handler",
    )
    assert machine.addresses[thread] == own
    machine.run()
    at = thread.pc
    machine.invoke("thread_interrupt", thread=thread)
    assert machine.done(thread)
    fields = THREAD_SAVED_STATE.unpack(b"".join(n.to_bytes(8, "little") for n in machine.read(saved, SAVED_WORDS)))
    assert fields == {
        "a0": machine.addresses[mutex],
        "a1": 71,
        "a2": 72,
        "a7": BY_NAME["mutex_lock"].number,
        "pc": at,
    }
    state = exported(thread)
    assert {name: state[f"saved_{name}"] for name in fields} == fields


def test_handler_can_change_where_and_with_what_the_thread_goes_on(machine: Machine) -> None:
    saved, own = machine.buffer(SAVED_WORDS), machine.next_slot
    thread = machine.spawn(
        *[("burn", 2000), ("jump", "end")],
        "elsewhere",
        *[("add", "s2", "a0", 0), ("add", "s3", "a1", 0), ("add", "s4", "a2", 0), ("add", "s5", "a7", 0)],
        ("jump", "end"),
        "handler",
        *[("la", "s6", "elsewhere"), ("store", "s6", "zero", saved + THREAD_SAVED_STATE.offset_of("pc"))],
        *[
            step
            for number, name in enumerate(("a0", "a1", "a2", "a7"), 61)
            for step in (("li", "s6", number), machine.keep("s6", saved + THREAD_SAVED_STATE.offset_of(name)))
        ],
        machine.call("thread_set_saved_state", thread=own, state=saved),
        machine.bare_call("thread_return_from_exception"),
        "end",
        interrupt_handler="handler",
    )
    machine.run_for(100)
    machine.invoke("thread_interrupt", thread=thread)
    assert machine.done(thread)
    assert [machine.register(thread, f"s{n}") for n in (2, 3, 4, 5)] == [61, 62, 63, 64]
    assert thread.exceptions_enabled


def test_saved_state_of_a_thread_without_a_handler_is_what_it_was_set_to(machine: Machine) -> None:
    given = machine.buffer([11, 12, 13, 14, 15])
    got = machine.buffer(SAVED_WORDS)
    setting = own_call(machine, "set_saved_state", state=given)
    thread = machine.spawn(setting, own_call(machine, "get_saved_state", state=got))
    machine.run()
    assert machine.done(thread)
    assert machine.read(got, SAVED_WORDS) == [11, 12, 13, 14, 15]


@pytest.mark.parametrize("name", ["get_saved_state", "set_saved_state"])
def test_null_pointer_fetches_nothing_and_changes_nothing(machine: Machine, name: str) -> None:
    thread = machine.spawn(own_call(machine, name), start=False)
    thread.saved = (1, 2, 3, 4, 5)
    machine.core.start(thread)
    machine.run()
    assert machine.done(thread)
    assert thread.saved == (1, 2, 3, 4, 5)


@pytest.mark.parametrize(
    ("name", "code"),
    [("get_saved_state", ExceptionCode.STORE_FAULT), ("set_saved_state", ExceptionCode.LOAD_FAULT)],
)
def test_bad_pointer_is_a_mistake_and_nothing_has_happened(machine: Machine, name: str, code: ExceptionCode) -> None:
    """Also where only the end of the structure lies in memory that is not there, or that can only be read."""
    across = machine.buffer(PAGE_SIZE // WORD_SIZE) + PAGE_SIZE - 2 * WORD_SIZE
    space = machine.new_space()
    (mapping,) = space._mappings
    end = across + 2 * WORD_SIZE
    bits = {"region_off": mapping.start, "start_va": mapping.start, "prot": int(Prot.ALL)}
    machine.load(mapping, {**bits, "size": end - mapping.start})
    for address in (UNMAPPED, 2**64 - 8, 8, across):
        thread = machine.spawn(own_call(machine, name, state=address), space=space, start=False)
        thread.saved = (1, 2, 3, 4, 5)
        machine.core.start(thread)
        machine.run()
        assert machine.failure(thread) is code
        assert thread.saved == (1, 2, 3, 4, 5)
    assert machine.read(across, 2) == [0, 0]


def test_saved_registers_may_be_anything(machine: Machine) -> None:
    """Whatever they are, returning to them is at most the thread's own mistake."""
    saved = machine.buffer([*[2**64 - 1] * 4, 2**64 - 2])
    thread = machine.spawn(
        own_call(machine, "set_saved_state", state=saved), machine.bare_call("thread_return_from_exception")
    )
    machine.run()
    assert machine.failure(thread) is ExceptionCode.FETCH_FAULT
    assert (thread.pc, thread.exceptions_enabled) == (2**64 - 2, True)


def test_calls_for_oneself_cannot_be_waited_in(machine: Machine) -> None:
    """They are done when they return, in both models, with nothing restarted."""
    saved = machine.buffer(SAVED_WORDS)
    names = [entry.name.removeprefix("thread_") for entry in OWN_CALLS]
    calls = [own_call(machine, name, **({"state": saved} if "saved" in name else {})) for name in names]
    thread = machine.spawn(*calls)
    machine.run()
    assert machine.done(thread)
    assert len(machine.happened(Event.FINISH, thread)) == len(OWN_CALLS)
    assert machine.core.statistics.restarts == machine.core.statistics.waits == 0
    assert exported(thread)["wait_order"] == 0
