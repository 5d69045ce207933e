"""States of threads as a program reads and loads them."""

from __future__ import annotations

from typing import Any

from fluke_async.abi.codes import ExceptionCode, ThreadFlags
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Result

WORDS = THREAD_STATE.size // 8
NO_MISTAKE = {"exception": 0, "exception_subcode": 0}


def state_of(machine: Machine, thread: Thread) -> dict[str, Any]:
    """What a program that asks for a thread's state gets."""
    address = machine.buffer(WORDS)
    result = machine.invoke("thread_get_state", thread=thread, state=address)
    assert result.exception is None
    data = b"".join(word.to_bytes(8, "little") for word in machine.read(address, WORDS))
    return dict(THREAD_STATE.unpack(data))


def set_state(machine: Machine, thread: Thread, state: dict[str, Any], **references: Any) -> Result:
    """Have a program load a state."""
    packed = memoryview(THREAD_STATE.pack(state)).cast("Q")
    address = machine.buffer(packed.tolist())
    return machine.invoke("thread_set_state", thread=thread, state=address, **references)


def everything() -> dict[str, Any]:
    """A state in which every field has a value of its own."""
    return {
        "thread_va": 0x1230,
        "flags": ThreadFlags.STOPPED
        | ThreadFlags.EXCEPTION_ENABLE
        | ThreadFlags.PENDING_INTERRUPT
        | ThreadFlags.PENDING_CLIENT_ALERT
        | ThreadFlags.PENDING_SERVER_ALERT,
        "priority": 7,
        "sched_val": 11,
        "wait_order": 12,
        "run_order": 13,
        "quantum_left": 2**64 - 5,
        "pc": 0x4242,
        "x": (0, *range(101, 132)),
        "f": tuple(range(201, 233)),
        "fcsr": 0x9F,
        "trap_handler": 301,
        "interrupt_handler": 302,
        "client_alert_handler": 303,
        "server_alert_handler": 304,
        "saved_a0": 305,
        "saved_a1": 306,
        "saved_a2": 307,
        "saved_a7": 308,
        "saved_pc": 309,
        "server_portset": 310,
        "server_sp": 311,
        "exception": ExceptionCode.NO_OBJECT,
        "exception_subcode": 312,
    }
