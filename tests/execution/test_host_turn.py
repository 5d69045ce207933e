"""The turn of a thread without code: its calls see the whole state of the thread that ran before."""

from __future__ import annotations

from array import array

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.abi.registers import A0, A1, ENTRY_POINT
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine


class Task:
    """A task of the application that has issued one call."""

    def __init__(self) -> None:
        self.issued = True
        self.returned = False

    def on_return(self) -> None:
        self.returned = True

    def on_exception(self, code: ExceptionCode, subcode: int) -> None:
        raise AssertionError((code, subcode))

    def on_destroyed(self) -> None:
        raise AssertionError("nobody has destroyed it")


def test_state_of_the_thread_in_the_engine_is_read_out_whole(machine: Machine) -> None:
    guest = machine.spawn(("fli", "f3", 77), ("li", "s5", 55), ("burn", 5000), priority=10)
    machine.run_for(100)
    state, task, host = machine.buffer(THREAD_STATE.size // 8), Task(), machine.new(Thread)
    host.host = task
    host.priority = host.effective_priority = 20
    machine.core.enter_space(host, machine.space)
    registers = array("Q", bytes(256))
    registers[A0], registers[A1] = machine.addresses[guest], state
    registers[ENTRY_POINT] = BY_NAME["thread_get_state"].number
    host.registers = registers
    machine.core.start(host)
    machine.run()
    words = machine.read(state, THREAD_STATE.size // 8)
    bits = THREAD_STATE.unpack(b"".join(word.to_bytes(8, "little") for word in words))
    assert task.returned
    assert isinstance(bits["f"], tuple)
    assert isinstance(bits["x"], tuple)
    assert (bits["f"][3], bits["x"][21]) == (77, 55)
    assert guest.stopped
