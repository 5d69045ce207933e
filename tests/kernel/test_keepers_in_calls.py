"""A system call whose memory is away asks a keeper for it, and goes on from where it was when the page is there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, Status
from fluke_async.abi.layouts import THREAD_STATE
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part
from tests.kernel.messages import Service
from tests.kernel.paging import ALL, READ, VIEW, WRITE, Paging


def create_mutex(machine: Machine, paging: Paging) -> tuple[list[Part], int]:
    return [machine.call("mutex_create", mutex=VIEW + 32)], WRITE


def get_state(machine: Machine, paging: Paging) -> tuple[list[Part], int]:
    return [machine.call("thread_get_state", thread=machine.new(Thread), state=VIEW + 32)], WRITE


def set_state(machine: Machine, paging: Paging) -> tuple[list[Part], int]:
    empty = machine.new(Thread)
    words = memoryview(THREAD_STATE.pack(empty.export_bits())).cast("Q")
    paging.fill(0, 0, 0, 0, 0, *words)
    return [machine.call("thread_set_state", thread=empty, state=VIEW + 32)], READ


def search(machine: Machine, paging: Paging) -> tuple[list[Part], int]:
    found = {"objects": VIEW + 32, "capacity": 100, "size": PAGE_SIZE}
    region = machine.new(Region)
    bits = {"start_va": machine.addresses[region] & -PAGE_SIZE, "size": PAGE_SIZE, "prot": ALL}
    machine.load(region, bits, space=machine.space)
    return [machine.call("region_search", region=region, **found)], WRITE


def send(machine: Machine, paging: Paging) -> tuple[list[Part], int]:
    service = Service(machine)
    service.server()
    call = machine.call("ipc_call", destination_ref=service.reference, send_buffer=VIEW + 32, send_words=1)
    return [call], READ


def receive_references(machine: Machine, paging: Paging) -> tuple[list[Part], int]:
    service = Service(machine)
    machine.write(table := machine.buffer(1), [machine.addresses[machine.reference(service.port)]])
    paging.fill(0, 0, 0, 0, 0, machine.addresses[machine.reference()])
    service.server(parts=())
    answer = machine.call("ipc_reply", send_ref_table=table, send_ref_count=1)
    machine.spawn(machine.call("ipc_setup_wait_receive", portset=service.portset), answer, priority=20)
    operands = {"receive_ref_table": VIEW + 32, "receive_ref_count": 1}
    return [machine.call("ipc_call", destination_ref=service.reference, **operands)], READ


@pytest.mark.parametrize("call", [create_mutex, get_state, set_state, search, send, receive_references])
def test_calls_go_on_as_if_the_page_had_been_there(
    machine: Machine, call: Callable[[Machine, Paging], tuple[list[Part], int]]
) -> None:
    """Whatever they use it for; the result is that of a call that never had to ask."""
    paging, twin = Paging(machine), Paging(machine, present=True)
    keeper = paging.keeper()
    parts, access = call(machine, paging)
    thread = paging.spawn(parts, priority=10)
    machine.run()
    assert keeper.questions == [paging.question(thread, 0, access, 32)]
    paging.bring(0)
    keeper.answer()
    undisturbed = twin.spawn(call(machine, twin)[0], priority=10)
    machine.run()
    assert machine.done(thread, undisturbed)
    assert machine.register(thread, "a0") == machine.register(undisturbed, "a0") == Status.SUCCESS
    assert machine.register(thread, "t6") == machine.register(undisturbed, "t6")
    assert len(keeper.questions) == 1


def test_object_in_a_page_that_was_away_is_found_there(machine: Machine) -> None:
    """It lives in the frame: who waits for it waits on while the page is away, and the owner asks for it to unlock."""
    paging = Paging(machine)
    paging.pager()
    lock, unlock = (machine.call(f"mutex_{what}", mutex=VIEW + 16) for what in ("lock", "unlock"))
    create = machine.call("mutex_create", mutex=VIEW + 16)
    owner = paging.spawn(create, lock, ("burn", 2000), paging.protect(0, prot=0), unlock, priority=10)
    waiter = paging.spawn(lock, priority=20, start=False)
    machine.start_at(1500, waiter)
    machine.run()
    assert machine.done(owner, waiter)
    assert machine.core.statistics.hard_faults == 2
    (mutex,) = [each for each in machine.core.objects.values() if isinstance(each, Mutex)]
    assert mutex.owner is waiter


def test_long_message_asks_for_one_page_after_the_other(machine: Machine) -> None:
    """What has arrived is not copied again, and what arrives is whole."""
    words = 3 * COPY_CHUNK_WORDS
    paging, service = Paging(machine, 6), Service(machine)
    for page in range(6):
        paging.fill(page, *range(1000 * page, 1000 * page + 512))
    keeper = paging.keeper()
    inbox = machine.next_buffer
    server = service.server(room=words)
    buffers = {"send_buffer": VIEW, "send_words": words}
    client = paging.spawn(machine.call("ipc_call", destination_ref=service.reference, **buffers))
    machine.run()
    for page in range(6):
        assert keeper.questions[page:] == [paging.question(client, page)]
        paging.bring(page)
        keeper.answer()
    assert machine.done(client)
    assert server.waiting_for is service.portset
    assert machine.core.statistics.words_copied == words
    content = [1000 * page + word for page in range(6) for word in range(512)]
    assert machine.read(inbox, words) == [1, *content[1:]]
