"""The edges of what a thread's state may be, and states that say what cannot go on."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PRIORITY_MAX, ThreadFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.errors import KernelBug
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS, STAMP_LEAD_MAX
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.states import NO_MISTAKE, everything, set_state, state_of


@pytest.mark.parametrize("left", [0, 1, QUANTUM_INSTRUCTIONS, 2**63, 2**64 - 1], ids=hex)
def test_what_is_left_of_a_time_slice_may_be_overdrawn(machine: Machine, left: int) -> None:
    thread = machine.new(Thread)
    assert set_state(machine, thread, everything() | {"quantum_left": left}).exception is None
    assert state_of(machine, thread)["quantum_left"] == left
    assert thread.quantum_left == (left - 2**64 if left >> 63 else left)


def test_the_greatest_values_that_are_possible_come_back(machine: Machine) -> None:
    """And of the stamps, as late ones as the kernel's own allow when the state is loaded."""
    thread = machine.new(Thread)
    state = everything() | {"priority": PRIORITY_MAX, "quantum_left": QUANTUM_INSTRUCTIONS, "fcsr": 0xFF}
    assert set_state(machine, thread, state).exception is None
    assert {name: value for name, value in state_of(machine, thread).items() if state.get(name, value) != value} == {}
    core = machine.core
    for name in ("run_order", "wait_order"):
        latest = core.stamp + STAMP_LEAD_MAX
        bits = THREAD_STATE.unpack(THREAD_STATE.pack(state | {name: latest}))
        thread.import_state(core, None, bits, {})
        assert thread.export_bits()[name] == core.stamp == latest
        bits = THREAD_STATE.unpack(THREAD_STATE.pack(state | {name: core.stamp + STAMP_LEAD_MAX + 1}))
        with pytest.raises(KernelBug):
            thread.import_state(core, None, bits, {})


@pytest.mark.parametrize(
    ("words", "result"),
    [((0,) * 32, 0), ((0,) * 31 + (1,), 0), ((1,) + (0,) * 31, 0), ((0,) * 32, 1), ((0,) * 32, 0xFF)],
    ids=["nothing", "last", "first", "an exception flag", "all flags"],
)
def test_floating_point_is_what_was_loaded(machine: Machine, words: tuple[int, ...], result: int) -> None:
    thread = machine.new(Thread)
    assert set_state(machine, thread, everything() | {"f": words, "fcsr": result}).exception is None
    state = state_of(machine, thread)
    assert (state["f"], state["fcsr"]) == (words, result)
    assert (thread.floating is None) == (not any(words) and not result)


def test_a_thread_that_a_mistake_has_stopped_is_given_no_place_by_being_started(machine: Machine) -> None:
    """Nor an order among the ready ones; the next that is started comes where it would have come."""
    thread = machine.spawn(("illegal",), ("burn", 1))
    machine.run()
    state = state_of(machine, thread) | {"run_order": 0, "flags": 0}
    stamp = machine.core.stamp
    thread.import_state(machine.core, None, state, {})
    assert not thread.stopped
    assert (thread.run_order, thread.place, machine.core.stamp) == (0, None, stamp)
    machine.core.stop(thread)
    assert set_state(machine, thread, state | NO_MISTAKE | {"pc": thread.pc + 4}).exception is None
    machine.run()
    assert machine.done(thread)


def test_a_thread_that_waits_is_not_cut_off_in_its_call_whatever_its_state_says(machine: Machine) -> None:
    """When its call is done, nothing remains to go on with."""
    service = Service(machine)
    client, received = service.client([3])
    machine.run()
    assert client.waiting_for is service.port
    state = state_of(machine, client)
    state["flags"] = (state["flags"] | ThreadFlags.IN_CALL) & ~ThreadFlags.STOPPED
    assert set_state(machine, client, state).exception is None
    assert not state_of(machine, client)["flags"] & ThreadFlags.IN_CALL
    machine.core.start(client)
    server = service.server()
    machine.run()
    assert machine.done(client)
    assert machine.word(received) == 4
    assert server.waiting_for is service.portset
