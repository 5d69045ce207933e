"""What the kernel's work costs: the clock shows it, and whoever runs, or gives the time to it, has paid for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from fluke_async.abi.codes import COPY_CHUNK_WORDS, PAGE_SIZE, PRIORITY_MAX, Status
from fluke_async.abi.entry_points import BY_NAME, CHUNK_COST, COMPLETION_COST, STAGE_COST, VISIT_COST
from fluke_async.kernel.donation import pay
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.params import QUANTUM_INSTRUCTIONS
from fluke_async.kernel.region_scan import LINKS_PER_VISIT
from fluke_async.kernel.scheduling import settle
from fluke_async.kernel.trace import Event
from tests.kernel.conditions import WaitingRoom
from tests.kernel.conversation_scenarios import CROSSING_CLIENT, CROSSING_SERVER, converse
from tests.kernel.law_scenarios import calls, contended_mutex
from tests.kernel.machine import Machine
from tests.kernel.memory_tree import Tree
from tests.kernel.messages import Service
from tests.kernel.scheduled import Scheduled

QUANTUM = 5000
Scenario = Callable[[Machine], object]


def of_trace(event: tuple[Any, ...]) -> int:
    """What an event stands for, in instructions."""
    match event[1:]:
        case Event.FINISH, _, name, _:
            return int(BY_NAME[name].cost)
        case Event.COMPLETE, *_:
            return COMPLETION_COST
        case Event.STAGE, *_:
            return STAGE_COST
        case Event.CHUNK, _, words:
            assert words, "nothing has moved"
            return CHUNK_COST * int(words) // COPY_CHUNK_WORDS
    return 0


def count_retired(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The instructions of each run of the engine from now on."""
    retired: list[int] = []
    run = machine.cpu.run

    def counted(pc: int, limit: int) -> tuple[int, int, int, int]:
        outcome = run(pc, limit)
        retired.append(outcome[3])
        return outcome

    monkeypatch.setattr(machine.cpu, "run", counted)
    return retired


def one_way(machine: Machine) -> None:
    service = Service(machine)
    service.server()
    for words in (COPY_CHUNK_WORDS + 5, 0, 3):
        buffer = machine.buffer(max(words, 1))
        machine.spawn(machine.call("ipc_send", destination_ref=service.reference, send_buffer=buffer, send_words=words))


def conversation(machine: Machine) -> None:
    converse(machine, client_pause=1, server_pause=300, scattered=True)


def crossing_conversation(machine: Machine) -> None:
    converse(machine, client_pause=300, server_pause=1, turns=(CROSSING_CLIENT, CROSSING_SERVER))


def waits_and_signals(machine: Machine) -> None:
    room = WaitingRoom(machine)
    room.waiter(1)
    machine.spawn(("burn", 500), machine.call("cond_signal", cond=room.cond))


SCENARIOS: Sequence[Scenario] = (
    *(contended_mutex, calls, one_way, conversation, crossing_conversation, waits_and_signals),
)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.__name__)
def test_the_clock_shows_what_was_executed_and_what_was_done(
    machine: Machine, scenario: Scenario, monkeypatch: pytest.MonkeyPatch
) -> None:
    retired = count_retired(machine, monkeypatch)
    scenario(machine)
    threads = [each for each in machine.core.objects.values() if isinstance(each, Thread)]
    machine.run()
    done = sum(map(of_trace, machine.events))
    assert machine.core.time == sum(retired) + done
    assert done
    ended = len(machine.happened(Event.QUANTUM))
    paid = sum(QUANTUM_INSTRUCTIONS - thread.quantum_left for thread in threads)
    if not ended:  # else who overdrew one does not owe it in the next
        assert paid == machine.core.time


@pytest.mark.parametrize("in_table", [False, True])
@pytest.mark.parametrize("words", [0, 1, COPY_CHUNK_WORDS, COPY_CHUNK_WORDS + 1])
@pytest.mark.parametrize("name", ["ipc_send", "ipc_call", "ipc_client_connect_send"])
def test_each_word_that_moves_is_counted_traced_and_paid_for(
    machine: Machine, name: str, words: int, in_table: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    service, place = Service(machine), machine.buffer([7] * (words + 1))
    machine.spawn(
        machine.call(
            "ipc_setup_wait_receive",
            portset=service.portset,
            receive_buffer=machine.buffer(words + 1),
            receive_words=words + 1,
        )
    )
    machine.run()
    message = {"send_buffer": place, "send_words": words}
    if in_table:
        message = {"send_buffer_table": machine.buffer([words, place]), "send_buffer_count": 1}
    retired, time, count = count_retired(machine, monkeypatch), machine.core.time, len(machine.events)
    machine.spawn(machine.call(name, destination_ref=service.reference, **message))
    machine.run()
    events = machine.events[count:]
    expected = min(words, COPY_CHUNK_WORDS) if name == "ipc_send" else words
    chunks = [event[3] for event in events if event[1] is Event.CHUNK]
    assert sum(chunks) == machine.core.statistics.words_copied == expected
    others = sum(of_trace(event) for event in events if event[1] is not Event.CHUNK)
    paid = machine.core.time - time - sum(retired) - others
    assert paid == sum(CHUNK_COST * chunk // COPY_CHUNK_WORDS for chunk in chunks)
    assert (paid > 0) == (words > 0)


def test_each_waiter_that_a_broadcast_wakes_is_paid_for(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    room = WaitingRoom(machine)
    room.waiters(10, 11, 12)
    retired, time, count = count_retired(machine, monkeypatch), machine.core.time, len(machine.events)
    room.broadcast()
    paid = machine.core.time - time - sum(retired) - sum(map(of_trace, machine.events[count:]))
    assert paid == 3 * COMPLETION_COST


@pytest.mark.parametrize("server_first", [False, True])
def test_a_request_for_time_costs_what_its_words_do(
    machine: Machine, server_first: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled = Scheduled(machine)
    retired = count_retired(machine, monkeypatch)
    thread = scheduled.thread(("burn", 10), start=not server_first)
    machine.spawn(scheduled.receive(machine.buffer(4)))
    machine.run()
    if server_first:
        machine.core.start(thread)
        machine.run()
    assert thread.asked
    done = sum(map(of_trace, machine.events))
    assert machine.core.time - sum(retired) - done == CHUNK_COST * 2 // COPY_CHUNK_WORDS


@pytest.mark.parametrize("visited_pages", [1, 3, 64])
@pytest.mark.parametrize("name", ["region_search", "region_changed"])
def test_a_scan_pays_for_each_page_that_it_looks_at_and_each_thing_found_whatever_its_steps_are(
    machine: Machine, name: str, visited_pages: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A search looks at pages with objects, here one in each."""
    pages = 6
    machine.core.visited_pages = visited_pages
    tree = Tree(machine, pages=pages, depth=1)
    for page in range(pages):
        tree.touch(page * PAGE_SIZE)
        if name == "region_search":
            machine.core.create(Mutex, machine._physical(tree.memory + page * PAGE_SIZE))
    region: Region = tree.regions[-1]
    array = {"region_search": "objects", "region_changed": "offsets"}[name]
    place, core = machine.buffer([0] * 64), machine.core
    retired, time, count = count_retired(machine, monkeypatch), core.time, len(machine.events)
    core.links_ranked = 0
    steps: list[int] = []
    handle = machine.hart.dispatcher.dispatch

    def counted(thread: Thread) -> None:
        before = core.links_ranked
        handle(thread)
        steps.append(core.links_ranked - before)

    monkeypatch.setattr(machine.hart.dispatcher, "dispatch", counted)
    result = machine.invoke(name, region=region, size=pages * PAGE_SIZE, capacity=9, **{array: place})
    assert result.exception is None
    paid = core.time - time - sum(retired) - sum(map(of_trace, machine.events[count:]))
    assert paid == VISIT_COST * (pages + pages)
    looks = min(pages, visited_pages)
    assert steps == [looks * LINKS_PER_VISIT] * (pages // looks)


# -- donated time -----------------------------------------------------------------------------------------------------


def test_who_gives_time_pays_for_all_that_its_donee_does(machine: Machine) -> None:
    """Instructions, calls that end, calls of others that it ends, stages and chunks."""
    scheduled, room, service = Scheduled(machine), WaitingRoom(machine), Service(machine)
    mutex = machine.new(Mutex)
    lock, unlock = machine.call("mutex_lock", mutex=mutex), machine.call("mutex_unlock", mutex=mutex)
    send = machine.call("ipc_send", destination_ref=service.reference, send_buffer=machine.buffer(40), send_words=40)
    service.server(room=40, priority=1)
    donee = scheduled.thread(("burn", 77), lock, ("burn", 300), unlock, send, room.lock, room.wait, priority=9)
    waiter = machine.spawn(lock, priority=PRIORITY_MAX, start=False)
    machine.run()
    machine.start_at(machine.core.time + 250, waiter)
    paid = donee.quantum_left
    donor = machine.spawn(scheduled.donate(donee, QUANTUM), priority=20)
    machine.run()
    (completed,) = machine.happened(Event.COMPLETE, waiter)
    assert completed[-1] == Status.SUCCESS
    assert donee.waiting_for is room.cond
    assert machine.done(donor, waiter)
    assert paid - donee.quantum_left == QUANTUM - machine.register(donor, "a1") > 77 + 300


def chain_of_donors(machine: Machine, length: int) -> list[Thread]:
    """A thread that runs on donated time, and its donors: each gives what the next one gives it; the last has some."""
    scheduled = Scheduled(machine)
    threads = [scheduled.thread(("burn", QUANTUM))]
    for _ in range(length - 1):
        threads.append(scheduled.thread(scheduled.donate(threads[-1], QUANTUM)))
    threads.append(machine.spawn(scheduled.donate(threads[-1], QUANTUM)))
    while threads[0].donors is None:
        machine.step()
    settle(machine.core)
    machine.core.links_ranked = 0
    return threads


@pytest.mark.parametrize("length", [1, 2, 5])
def test_all_pay_through_whom_time_comes_and_each_but_the_first_is_work_of_the_host(
    machine: Machine, length: int
) -> None:
    donee, *donors = chain_of_donors(machine, length)
    before = [machine.register(donor, "a1") for donor in donors]
    pay(machine.core, donee, 7)
    assert [machine.register(donor, "a1") for donor in donors] == [left - 7 for left in before]
    assert machine.core.links_ranked == length - 1


def test_time_that_is_taken_away_is_work_of_the_host_for_the_link_its_rank_and_each_that_is_to_look(
    machine: Machine,
) -> None:
    donee, donor = chain_of_donors(machine, 1)
    assert not machine.core.unsettled
    machine.core.stop(donor)
    assert donee.donors is None
    assert machine.core.links_ranked == 1 + 1 + len(machine.core.unsettled)
