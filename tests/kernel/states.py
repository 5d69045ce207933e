"""States of threads as a program reads and loads them."""

from __future__ import annotations

from typing import Any

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
