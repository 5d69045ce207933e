"""What the threads of a program that is held ask of devices: nobody hears of it before the program goes on."""

from __future__ import annotations

from fluke_async.abi.codes import ThreadFlags
from fluke_async.kernel import message
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine


def callers(machine: Machine, count: int) -> list[Thread]:
    """Threads that wait for a device's answer."""
    port = machine.new(Port)
    port.receiver = machine.requests.append
    reference = machine.reference(port)
    threads = []
    for word in range(count):
        request = {"send_buffer": machine.buffer([word]), "send_words": 1}
        threads.append(machine.spawn(machine.call("ipc_call", destination_ref=reference, **request)))
        machine.run()
    return threads


def read_out_and_start(machine: Machine, threads: list[Thread]) -> None:
    for thread in threads:
        machine.core.stop(thread)
        bits = thread.export_bits()
        machine.load(thread, {**bits, "flags": int(bits["flags"]) & ~ThreadFlags.STOPPED})  # type: ignore[arg-type]


def test_devices_are_asked_anew_in_order_when_the_program_goes_on(machine: Machine) -> None:
    threads = callers(machine, 3)
    account = machine.space.account
    machine.core.hold(account, True)
    machine.requests.clear()
    read_out_and_start(machine, threads)
    assert not machine.core.requests
    machine.core.attention = False
    machine.core.hold(account, False)
    assert [request.thread for request in machine.core.requests] == threads
    assert [request.words for request in machine.core.requests] == [(0,), (1,), (2,)]
    assert all(request.is_open for request in machine.core.requests)
    assert machine.core.attention
    assert not account.requests
    for request in tuple(machine.core.requests):
        message.answer(machine.core, request, ())
    machine.run()
    assert machine.done(*threads)


def test_who_is_read_out_twice_meanwhile_asks_once(machine: Machine) -> None:
    threads = callers(machine, 2)
    machine.core.hold(machine.space.account, True)
    for _ in range(3):
        read_out_and_start(machine, threads)
    machine.core.destroy(threads[0])
    machine.core.hold(machine.space.account, False)
    assert [request.thread for request in machine.core.requests] == [threads[1]]
