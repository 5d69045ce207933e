"""
Memory is taken away in the middle of a call that uses it, at each of its marked points, and while threads wait.

Without a keeper whoever needs it has the exception, and all others go on; with one it is fetched, and nothing is lost.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, VISITED_PAGES_MAX, ExceptionCode, Prot, Status
from fluke_async.abi.layouts import OBSPEC
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.trace import Event
from tests.kernel import waits
from tests.kernel.conditions import WaitingRoom
from tests.kernel.machine import MEMORY, MEMORY_SIZE, Machine
from tests.kernel.messages import Service
from tests.kernel.paging import READ, VIEW, WRITE, Keeper, Paging
from tests.kernel.waits import Kind, each_wait

CHUNKS = 4
LONG = CHUNKS * COPY_CHUNK_WORDS
PAGES = LONG * 8 // PAGE_SIZE
SLOT = 16

Unmapping = Callable[[Paging], object]


def without_keeper(paging: Paging) -> None:
    paging.machine.load(paging.region, None, keeper=None)


def protect(paging: Paging) -> None:
    paging.take(*range(paging.pages))


def unmap(paging: Paging) -> None:
    """The keeper's way of taking a page: its mapping is loaded into no space."""
    for mapping in paging.mappings:
        paging.machine.load(mapping, None, space=None)


def protect_region(paging: Paging) -> None:
    region = paging.region
    paging.machine.load(region, {"start_va": region.start, "size": region.size, "prot": 0})


def destroy_view(paging: Paging) -> None:
    paging.machine.core.destroy(paging.view_mapping)


each_unmapping = pytest.mark.parametrize("taking", [protect, unmap, protect_region, destroy_view])
each_chunk = pytest.mark.parametrize("chunks", range(CHUNKS))


def run_to_chunk(machine: Machine, chunks: int) -> None:
    """Run until so many chunks have moved."""
    while len(machine.happened(Event.CHUNK)) < chunks:
        machine.step()


# -- long messages ----------------------------------------------------------------------------------------------------


@each_chunk
@each_unmapping
@pytest.mark.parametrize("server_first", [True, False])
def test_request_whose_words_are_taken_away_between_two_chunks(
    machine: Machine, server_first: bool, taking: Unmapping, chunks: int
) -> None:
    """The client has the exception, for its first word or for the first that has not gone; others are served."""
    paging, service = Paging(machine, PAGES, present=True), Service(machine)
    without_keeper(paging)
    first = service.server(room=LONG, priority=18 if server_first else 12)
    if server_first:
        machine.run()
    call = machine.call("ipc_call", destination_ref=service.reference, send_buffer=VIEW, send_words=LONG)
    client = paging.spawn(call, priority=15)
    run_to_chunk(machine, chunks)
    taking(paging)
    machine.run()
    result = machine.result(client)
    at = VIEW if server_first else VIEW + chunks * machine.core.chunk_words * 8  # a call looks at its own buffers again
    assert (result.exception, result.subcode) == (ExceptionCode.LOAD_FAULT, at)
    other, received = service.client([1])
    machine.run()
    assert machine.done(other)
    assert machine.word(received) == 2
    assert first.waiting_for is service.portset


@each_chunk
@pytest.mark.parametrize("server_first", [True, False])
def test_room_for_a_request_is_taken_away_between_two_chunks(machine: Machine, server_first: bool, chunks: int) -> None:
    """The server has the exception; the client is served by another, from the beginning."""
    paging, service = Paging(machine, PAGES, present=True), Service(machine)
    without_keeper(paging)
    receive = {"receive_buffer": VIEW, "receive_words": LONG}
    setup = machine.call("ipc_setup_wait_receive", portset=service.portset, **receive)
    server = paging.spawn(setup, priority=18 if server_first else 12)
    if server_first:
        machine.run()
    client, received = service.client(list(range(LONG)), priority=15)
    run_to_chunk(machine, chunks)
    unmap(paging)
    machine.run()
    result = machine.result(server)
    at = VIEW + chunks * machine.core.chunk_words * 8
    assert (result.exception, result.subcode) == (ExceptionCode.STORE_FAULT, at)
    assert client.waiting_for is service.port
    service.server(room=LONG)
    machine.run()
    assert machine.done(client)
    assert machine.word(received) == 1


@each_chunk
@pytest.mark.parametrize("whose", ["client", "server"])
def test_reply_whose_memory_is_taken_away_between_two_chunks(machine: Machine, whose: str, chunks: int) -> None:
    paging, service = Paging(machine, PAGES, present=True), Service(machine)
    without_keeper(paging)
    plain = machine.buffer(LONG)
    room, words = (VIEW, plain) if whose == "client" else (plain, VIEW)
    receive = {"receive_buffer": room, "receive_words": LONG}
    client = paging.spawn(machine.call("ipc_call", destination_ref=service.reference, **receive), priority=15)
    answer = machine.call("ipc_reply_wait_receive", send_buffer=words, send_words=LONG)
    setup = machine.call("ipc_setup_wait_receive", portset=service.portset)
    server = paging.spawn(setup, ("add", "s11", "s11", 1), ("burn", 5000), answer, priority=12)
    while not machine.register(server, "s11"):
        machine.step()
    assert not machine.happened(Event.CHUNK)
    run_to_chunk(machine, chunks)
    unmap(paging)
    machine.run()
    guilty = client if whose == "client" else server
    result = machine.result(guilty)
    fault = ExceptionCode.STORE_FAULT if whose == "client" else ExceptionCode.LOAD_FAULT
    assert (result.exception, result.subcode) == (fault, VIEW + chunks * machine.core.chunk_words * 8)
    if whose == "client":
        assert (server.waiting_for, server.client) == (service.portset, None)
    else:
        assert client.waiting_for is server


@pytest.mark.parametrize("preemption", ["partial"])
def test_another_thread_can_take_it_away_where_a_copy_is_preempted(model: str, preemption: str) -> None:
    machine = Machine(model, preemption)
    paging, service = Paging(machine, PAGES, present=True), Service(machine)
    service.server(room=LONG, priority=18)
    machine.run()
    call = machine.call("ipc_call", destination_ref=service.reference, send_buffer=VIEW, send_words=LONG)
    client = paging.spawn(call, priority=15)
    thief = machine.spawn(machine.call("mapping_destroy", mapping=paging.view_mapping), priority=20, start=False)
    machine.start_at(machine.core.time + 1500, thief)
    machine.run()
    assert 0 < len(machine.happened(Event.CHUNK, client)) < CHUNKS
    assert machine.failure(client) is ExceptionCode.LOAD_FAULT


# -- broadcasts -------------------------------------------------------------------------------------------------------


def cut_off_broadcast(machine: Machine, woken: int) -> tuple[Paging, Keeper, WaitingRoom, list[Thread], Thread]:
    """Waiters, of whom some have been let go, and a broadcaster whose view of the condition has been taken away."""
    paging, room = Paging(machine, 1, present=True), WaitingRoom(machine)
    keeper = paging.keeper()
    room.cond = paging.new(Cond)
    at = paging.memory + SLOT
    room.wait = machine.call("cond_wait", cond=at, mutex=room.mutex)
    waiters = room.waiters(12, 11, 10)
    broadcaster = paging.spawn(machine.call("cond_broadcast", cond=room.cond), priority=5)
    while sum(waiter.waiting_for is room.cond for waiter in waiters) > 3 - woken:
        machine.step()
    paging.take(0)
    return paging, keeper, room, waiters, broadcaster


@pytest.mark.parametrize("woken", [0, 1, 2, 3])
def test_broadcast_that_loses_its_condition_has_let_go_whom_it_has(machine: Machine, woken: int) -> None:
    """The exception is the broadcaster's; another lets go the rest."""
    paging, keeper, room, waiters, broadcaster = cut_off_broadcast(machine, woken)
    without_keeper(paging)
    machine.run()
    assert machine.failure(broadcaster) is ExceptionCode.LOAD_FAULT
    assert keeper.questions == []
    assert [waiter.waiting_for is room.cond for waiter in waiters] == [number >= woken for number in range(3)]
    machine.invoke("cond_broadcast", cond=paging.memory + SLOT)
    assert machine.done(*waiters)
    assert room.log == [1, 2, 3]


@pytest.mark.parametrize("woken", [1, 2])
def test_broadcast_that_fetches_its_condition_leaves_alone_who_waits_again(machine: Machine, woken: int) -> None:
    """It has its place in the order of waits from its first step, whatever comes between."""
    paging, keeper, room, waiters, broadcaster = cut_off_broadcast(machine, woken)
    machine.run()
    assert keeper.questions == [paging.question(broadcaster, 0, READ, SLOT)]
    late = room.waiter(9)
    machine.run()
    assert late.waiting_for is room.cond
    paging.bring(0)
    keeper.answer()
    assert machine.done(broadcaster, *waiters)
    assert late.waiting_for is room.cond
    assert room.log == [1, 2, 3]


# -- looking through regions ------------------------------------------------------------------------------------------

SCANNED = 3 * VISITED_PAGES_MAX  # pages: three steps, if not one page is a step


def cut_off_scan(machine: Machine, name: str, steps: int) -> tuple[Paging, Keeper, Region, Thread]:
    """A scan of many pages into an array that is taken away after some steps."""
    paging = Paging(machine, 4, present=True)
    keeper = paging.keeper()
    memory = machine.buffer([1] * (SCANNED * PAGE_SIZE // 8))
    region = machine.new(Region)
    machine.load(region, {"start_va": memory, "size": SCANNED * PAGE_SIZE, "prot": 7}, space=machine.space)
    for page in range(SCANNED):
        machine.core.create(Mutex, machine._physical(memory + page * PAGE_SIZE))
    array = "objects" if name == "region_search" else "offsets"
    call = machine.call(name, region=region, size=SCANNED * PAGE_SIZE, capacity=SCANNED, **{array: VIEW})
    thread = paging.spawn(call, priority=20)
    visited = 0
    while visited < steps or thread.registers[11] == 0 < steps:
        machine.step()
        machine.hart.park_resident()
        visited = thread.registers[11] // (VISITED_PAGES_MAX * PAGE_SIZE)
    paging.take(0, 1, 2, 3)
    return paging, keeper, region, thread


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("name", ["region_search", "region_changed"])
def test_scan_that_loses_its_array_says_how_far_it_came(machine: Machine, name: str, steps: int) -> None:
    paging, _, region, thread = cut_off_scan(machine, name, steps)
    without_keeper(paging)
    machine.run()
    size = OBSPEC.size if name == "region_search" else 8
    done = steps * VISITED_PAGES_MAX
    result = machine.result(thread)
    assert result.exception is ExceptionCode.STORE_FAULT
    assert VIEW + done * size <= result.subcode < VIEW + SCANNED * size
    arguments = [machine.register(thread, f"a{number}") for number in range(1, 5)]
    assert arguments == [done * PAGE_SIZE, (SCANNED - done) * PAGE_SIZE, VIEW + done * size, SCANNED - done]
    assert region.active


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("name", ["region_search", "region_changed"])
def test_scan_that_fetches_its_array_finds_all(machine: Machine, name: str, steps: int) -> None:
    paging, keeper, region, thread = cut_off_scan(machine, name, steps)
    machine.run()
    while keeper.is_asked:
        assert keeper.questions[-1].access == WRITE
        paging.bring(keeper.questions[-1].offset // PAGE_SIZE)
        keeper.answer()
    assert machine.done(thread)
    assert machine.register(thread, "a0") == Status.SUCCESS
    assert machine.register(thread, "a4") == 0
    if name == "region_search":
        found = [word for page in range(2) for word in paging.seen(page, words=512)][: 2 * SCANNED : 2]
        assert found == [region.start + page * PAGE_SIZE for page in range(SCANNED)]
    else:
        assert paging.seen(0, words=SCANNED) == [page * PAGE_SIZE for page in range(SCANNED)]


# -- waits ------------------------------------------------------------------------------------------------------------

NEEDS_NOTHING = (waits.ipc_call_for_a_reply, waits.ipc_call_for_a_device)  # its reply is empty


@each_wait
def test_waiter_that_has_lost_all_its_memory_finds_out_when_its_turn_comes(machine: Machine, kind: Kind) -> None:
    """Not before; and nobody else is hindered."""
    wait = kind(machine)
    space = machine.new_space()
    (mapping,) = [each for each in machine.core.objects.values() if isinstance(each, Mapping) and each.space is space]
    thread = machine.spawn(*wait.parts, space=space)
    target = wait.reach(thread, machine)
    machine.load(mapping, {"start_va": MEMORY, "size": MEMORY_SIZE, "prot": int(Prot.NONE)})
    machine.run()
    assert thread.waiting_for is target
    wait.end()
    if kind in NEEDS_NOTHING:
        assert machine.failure(thread) is None
    else:
        assert machine.failure(thread) in (ExceptionCode.LOAD_FAULT, ExceptionCode.STORE_FAULT)
    bystander = machine.spawn(("li", "s2", 1))
    machine.run()
    assert machine.done(bystander)
