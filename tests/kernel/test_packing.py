"""Threads that wait for long keep their registers packed, which nobody can notice."""

from __future__ import annotations

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluke_async.kernel import scheduler
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine

WORDS = st.integers(0, 2**64 - 1)


@given(st.lists(st.one_of(st.just(0), WORDS), min_size=32, max_size=32))
def test_packed_registers_come_back_as_they_were(words: list[int]) -> None:
    thread = Thread(0, 1)
    thread.registers = array("Q", words)
    thread.pack()
    assert thread.packed is not None
    assert list(thread.registers) == words
    assert thread.packed is None
    thread.registers[10] = 7
    assert list(thread.registers) == [*words[:10], 7, *words[11:]]


def test_registers_that_are_in_the_engine_stay_there() -> None:
    thread = Thread(0, 1)
    thread.registers = memoryview(bytearray(256)).cast("Q")
    thread.pack()
    assert thread.packed is None
    assert isinstance(thread.registers, memoryview)


def test_a_thread_has_nothing_but_its_registers_packed() -> None:
    with pytest.raises(AttributeError, match="no 'register'"):
        _ = Thread(0, 1).register  # type: ignore[attr-defined]


def test_those_who_wait_longest_are_packed_and_handed_the_mutex_in_order(
    monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    monkeypatch.setattr(scheduler, "UNPACKED_WAITS_MAX", 3)
    packed: list[Thread] = []
    pack = Thread.pack

    def noted(thread: Thread) -> None:
        packed.append(thread)
        pack(thread)

    monkeypatch.setattr(Thread, "pack", noted)
    machine = Machine(model)
    mutex, log = machine.new(Mutex), machine.buffer(16)
    append = (
        ("load", "s2", "zero", log),
        ("add", "s2", "s2", 8),
        ("store", "s2", "zero", log),
        ("add", "s3", "s2", log),
    )
    machine.spawn(
        machine.call("mutex_lock", mutex=mutex), ("burn", 5000), machine.call("mutex_unlock", mutex=mutex), priority=5
    )
    threads = [
        machine.spawn(
            ("li", "s4", number),
            machine.call("mutex_lock", mutex=mutex),
            *append,
            ("store", "s4", "s3", 0),
            machine.call("mutex_unlock", mutex=mutex),
        )
        for number in range(1, 9)
    ]
    for thread in threads:
        machine.core.stop(thread)
    machine.run_for(100)
    for thread in threads:
        machine.core.start(thread)
    machine.run_for(3000)
    assert packed == threads[:5]
    machine.run()
    assert machine.read(log + 8, 8) == list(range(1, 9))
