"""States and links at random, handed to `set_state` of threads while others run: the kernel stands."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.cpu.scripted_cpu import Program, assemble
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from tests.kernel.invariants import check
from tests.kernel.machine import CODE, MEMORY, UNMAPPED, Machine
from tests.kernel.messages import Service

NUMBERS = st.sampled_from([entry.number for entry in ENTRY_POINTS])
ADDRESSES = st.sampled_from([0, 4, 8, MEMORY, MEMORY + 8, UNMAPPED, CODE, 2**64 - 8, 2**64 - 1, 2**63])
SMALL = st.integers(0, 40)
WORD = st.one_of(SMALL, ADDRESSES, st.integers(0, 2**64 - 1))
SLOT_INDEX = st.integers(0, 24).map(lambda index: MEMORY + 16 * index)
REGISTER = st.one_of(SLOT_INDEX, SLOT_INDEX, SMALL, WORD)


@st.composite
def states(draw: st.DrawFn) -> dict[str, Any]:
    x = [draw(REGISTER) for _ in range(32)]
    x[17] = draw(st.one_of(NUMBERS, NUMBERS, NUMBERS, WORD))
    state: dict[str, Any] = {
        "flags": draw(st.integers(0, 511)) & ~12 & ~16,
        "priority": draw(st.integers(0, 31)),
        "wait_order": draw(SMALL),
        "run_order": draw(SMALL),
        "quantum_left": draw(st.sampled_from([0, 1, 2**64 - 1, 2**63, QUANTUM_INSTRUCTIONS])),
        "pc": draw(st.one_of(st.just(CODE), st.just(CODE + 4), WORD)),
        "x": tuple(x),
        "trap_handler": draw(st.sampled_from([0, CODE])),
        "interrupt_handler": draw(st.sampled_from([0, CODE])),
        "saved_a7": draw(NUMBERS),
        "saved_pc": draw(st.sampled_from([CODE, UNMAPPED])),
        "server_portset": draw(SLOT_INDEX),
    }
    wild = draw(st.dictionaries(st.sampled_from(sorted(state.keys() - {"x", "f"})), WORD, max_size=1))
    return state | wild


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_random_states_raise_nothing_but_program_exceptions(data: st.DataObject) -> None:
    """States and links of several threads are set at random, while others run; the kernel stands."""
    model = data.draw(st.sampled_from(["interrupt", "process"]))
    machine = Machine(model, data.draw(st.sampled_from(["none", "partial"])))
    machine.programs[CODE] = ecalls()
    machine.forged = True
    machine.next_code += 4096
    portsets = [machine.new(Portset) for _ in range(2)]
    ports = [machine.new(Port) for _ in range(3)]
    for port, portset in zip(ports, (*portsets, None), strict=True):
        machine.load(port, None, portset=portset)
    mutexes = [machine.new(Mutex) for _ in range(2)]
    for port in ports:
        machine.reference(port)
    threads = [machine.new(Thread) for _ in range(4)]
    spaces: list[Space | None] = [machine.space, machine.space, machine.new_space(), None]
    service = Service(machine)
    service.server()
    machine.run()
    waitable = [*portsets, *ports, *mutexes, *threads, None]
    for _ in range(data.draw(st.integers(1, 8))):
        thread = data.draw(st.sampled_from(threads))
        if not thread.stopped:
            machine.core.stop(thread)
        links: dict[str, Any] = {"space": data.draw(st.sampled_from(spaces))}
        if data.draw(st.booleans()):
            links["waiting_for"] = data.draw(st.sampled_from(waitable))
        if data.draw(st.booleans()):
            links["client"] = data.draw(st.sampled_from([*threads, None]))
        bits = THREAD_STATE.unpack(THREAD_STATE.pack(data.draw(states())))
        guilty = threads[0]
        with suppress(ProgramException):
            thread.import_state(machine.core, guilty, bits, links)
        check(machine.core, forged=True)
        for _ in range(data.draw(st.integers(0, 30))):
            machine.step()
    for _ in range(300):  # states at random may well run for ever
        machine.step()
    for thread in threads:
        THREAD_STATE.pack(thread.export_bits(machine.core))


def ecalls() -> Program:
    return assemble([("ecall",), ("ecall",), ("burn", 5), ("ebreak",)])
