"""Who may be a keeper: devices, nobody, the thread that faults itself, keepers of keepers; and one for a crowd."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode
from fluke_async.kernel import message
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.trace import Event
from tests.kernel.law_scenarios import answer_after
from tests.kernel.machine import Machine
from tests.kernel.messages import Service
from tests.kernel.paging import ALL, FAILED, READ, VIEW, WRITE, Paging


@pytest.mark.parametrize("end", ["cleared", "destroyed"])
def test_without_a_keeper_a_hard_fault_is_an_exception(machine: Machine, end: str) -> None:
    paging = Paging(machine)
    if end == "destroyed":
        machine.invoke("port_destroy", port=paging.port)
    else:
        machine.invoke("region_set_state", region=paging.region, keeper_ref=machine.reference())
    writer = paging.writer(1, 1)
    machine.run()
    result = machine.result(writer)
    assert (result.exception, result.subcode) == (ExceptionCode.STORE_FAULT, paging.address(1))


def test_port_without_a_set_keeps_who_asks_waiting(machine: Machine) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    machine.load(paging.port, None, portset=None)
    reader = paging.reader(1)
    machine.run()
    assert reader.waiting_for is paging.port
    machine.invoke("port_set_state", port=paging.port, portset_ref=machine.reference(paging.portset))
    paging.bring(1)
    keeper.answer()
    assert machine.done(reader)


def test_device_can_be_a_keeper(machine: Machine) -> None:
    """It gets the words of the question, once, and answers when it likes."""
    paging = Paging(machine, device=True)
    reader = paging.reader(1, 3)
    machine.run()
    (request,) = paging.requests
    assert request.words == paging.question(reader, 1, READ, 24)[:5]
    assert request.thread is reader
    machine.run()
    assert reader.waiting_for is paging.port
    paging.bring(1)
    paging.reply()
    assert machine.done(reader)
    message.answer(machine.core, request, (FAILED,))
    assert machine.done(reader)
    assert not paging.requests


def test_device_that_answers_by_the_clock_takes_its_time(machine: Machine) -> None:
    paging = Paging(machine, device=True)
    answer_after(machine, paging.port, 500)  # with a number that means that it has failed
    reader = paging.reader(1)
    machine.run()
    asked = machine.core.time
    assert paging.port.receiver is not None
    paging.port.receiver(paging.requests[0])
    machine.run()
    assert machine.failure(reader) is ExceptionCode.LOAD_FAULT
    ((answered, *_),) = machine.happened(Event.RESOLVED, reader)
    assert answered == asked + 500


def test_new_keeper_is_asked_from_the_next_fault_on(machine: Machine) -> None:
    paging, other = Paging(machine), Paging(machine)
    keeper, successor = paging.keeper(), other.keeper()
    first = paging.reader(1)
    machine.run()
    machine.invoke("region_set_state", region=paging.region, keeper_ref=machine.reference(other.port))
    second = paging.reader(2)
    machine.run()
    assert successor.questions == [paging.question(second, 2)]
    keeper.answer()
    assert first.waiting_for is other.port
    paging.bring_all(ALL)
    successor.answer()
    assert machine.done(first, second)
    assert len(successor.questions) == 1


def test_view_of_another_space_asks_for_itself(machine: Machine) -> None:
    """One region, two spaces: each thread is asked for by its own hash, and gets on when the page is there."""
    paging = Paging(machine)
    keeper = paging.keeper()
    space = machine.new_space()
    machine.map(space, paging.region, VIEW + (1 << 20), 4 * PAGE_SIZE)
    near = paging.reader(1)
    far = machine.spawn(("load", "s2", "zero", VIEW + (1 << 20) + PAGE_SIZE), space=space)
    machine.run()
    assert keeper.questions == [paging.question(near, 1)]
    paging.fill(1, 17)
    paging.bring(1)
    keeper.answer()
    assert machine.done(near, far)
    assert machine.register(far, "s2") == 17


# -- keepers that need keepers ----------------------------------------------------------------------------------------


def test_keeper_that_needs_its_own_region_waits_for_itself(machine: Machine) -> None:
    """As nobody else serves; another server can help both."""
    paging = Paging(machine)
    lost = paging.pager(("load", "s2", "zero", VIEW + (1 << 20)), space=paging.space)
    machine.map(paging.space, paging.region, VIEW + (1 << 20), PAGE_SIZE)
    reader = paging.reader(1)
    machine.run()
    assert (lost.condition, lost.waiting_for) == (Condition.WAITING, paging.port)
    assert (reader.waiting_for, lost.client) == (lost, reader)
    helper = paging.keeper()
    machine.run()
    assert helper.questions == [paging.question(lost, 0)]
    paging.bring_all()
    helper.answer()
    assert machine.done(reader)
    assert lost.waiting_for is paging.portset


def test_keeper_whose_buffers_lie_in_its_own_region_waits_for_itself(machine: Machine) -> None:
    """It finds out before it waits for its first message, so that it serves nobody; another can help it."""
    paging = Paging(machine)
    receive = {"receive_buffer": VIEW, "receive_words": 5}
    lost = paging.spawn(machine.call("ipc_setup_wait_receive", portset=paging.portset, **receive))
    reader = paging.reader(1)
    machine.run()
    assert [lost.waiting_for, reader.waiting_for] == [paging.port] * 2
    paging.pager()
    machine.run()
    assert machine.done(reader)
    assert lost.waiting_for is paging.portset


def test_fault_goes_to_the_keeper_of_the_region_that_lacks_the_page(machine: Machine) -> None:
    """A region over a region: first the upper one has no page, then that page has none; then both are there."""
    outer = Paging(machine)
    inner = Paging(machine, over=outer)
    outer_keeper, inner_keeper = outer.keeper(), inner.keeper()
    writer = inner.writer(2, 7, 3)
    machine.run()
    assert inner_keeper.questions == [inner.question(writer, 2, WRITE, 24)]
    inner.bring(2)
    inner_keeper.answer()
    assert outer_keeper.questions == [outer.question(writer, 2, WRITE, 24)]
    outer.bring(2)
    outer_keeper.answer()
    assert machine.done(writer)
    assert outer.seen(2, 3) == [7]
    assert (len(inner_keeper.questions), len(outer_keeper.questions)) == (1, 1)


@pytest.mark.parametrize("lacking", ["inner", "outer"])
def test_page_that_is_taken_away_on_either_level_is_asked_for_there(machine: Machine, lacking: str) -> None:
    outer = Paging(machine, present=True)
    inner = Paging(machine, over=outer, present=True)
    keepers = {"outer": outer.keeper(), "inner": inner.keeper()}
    first = inner.reader(1)
    machine.run()
    assert machine.done(first)
    {"inner": inner, "outer": outer}[lacking].take(1)
    second = inner.reader(1)
    machine.run()
    assert {name for name, keeper in keepers.items() if keeper.questions} == {lacking}
    {"inner": inner, "outer": outer}[lacking].bring(1)
    keepers[lacking].answer()
    assert machine.done(second)


def test_outer_region_without_a_keeper_is_the_threads_exception(machine: Machine) -> None:
    """The inner keeper has done what it could."""
    outer = Paging(machine)
    inner = Paging(machine, over=outer, present=True)
    keeper = inner.keeper()
    machine.load(outer.region, None, keeper=None)
    reader = inner.reader(1)
    machine.run()
    assert machine.failure(reader) is ExceptionCode.LOAD_FAULT
    assert keeper.questions == []


def test_keeper_whose_memory_is_paged_by_another_asks_in_turn(machine: Machine) -> None:
    """In the middle of its own service, and where it receives; its client notices nothing."""
    outer, inner = Paging(machine), Paging(machine)
    keeper = outer.keeper()
    receive = {"receive_buffer": VIEW, "receive_words": 5}
    served = [("load", "s2", "zero", VIEW + PAGE_SIZE), ("add", "s11", "s11", 1)]
    middle = outer.spawn(
        machine.call("ipc_setup_wait_receive", portset=inner.portset, **receive),
        "serve",
        *served,
        *inner.protect(*range(4)),
        machine.call("ipc_reply_wait_receive", **receive),
        ("jump", "serve"),
    )
    machine.run()
    assert keeper.questions == [outer.question(middle, 0, WRITE)]
    outer.bring(0)
    keeper.answer()
    assert middle.waiting_for is inner.portset
    outer.take(0)
    reader = inner.reader(3, 1)
    machine.run()
    assert keeper.questions[1:] == [outer.question(middle, 0, WRITE)]
    assert reader.waiting_for is middle
    outer.bring(0)
    keeper.answer()
    assert keeper.questions[2:] == [outer.question(middle, 1)]
    assert outer.seen(0, words=5) == list(inner.question(reader, 3, READ, 8)[:5])
    outer.bring(1)
    keeper.answer()
    assert machine.done(reader)
    assert middle.waiting_for is inner.portset
    assert machine.register(middle, "s11") == 1


# -- crowds -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keeper_first", [True, False])
def test_hundred_threads_on_one_page_are_one_question(machine: Machine, keeper_first: bool) -> None:
    """All go on, in the order in which they came."""
    machine.effort = 10_000
    paging = Paging(machine)
    log = machine.buffer(128)
    keeper = paging.keeper() if keeper_first else None
    note = [("load", "s3", "zero", log), ("add", "s3", "s3", 8), ("store", "s3", "zero", log), ("add", "s3", "s3", log)]
    crowd = [
        paging.spawn(("load", "s2", "zero", VIEW), note, ("li", "s4", number), ("store", "s4", "s3", 0))
        for number in range(100)
    ]
    machine.run()
    keeper = keeper or paging.keeper()
    machine.run()
    assert keeper.questions == [paging.question(crowd[0], 0)]
    paging.bring(0)
    keeper.answer()
    assert machine.done(*crowd)
    assert machine.read(log + 8, 100) == list(range(100))
    assert len(keeper.questions) == 1
    assert keeper.thread.waiting_for is paging.portset


def test_who_is_more_urgent_is_asked_for_first(machine: Machine) -> None:
    paging = Paging(machine)
    readers = [paging.reader(page, priority=10 + page) for page in range(4)]
    machine.run()
    keeper = paging.keeper()
    machine.run()
    for page in (3, 2, 1, 0):
        assert keeper.questions[-1] == paging.question(readers[page], page)
        paging.bring(page)
        keeper.answer()
    assert machine.done(*readers)


def test_several_servers_share_the_questions(machine: Machine) -> None:
    paging = Paging(machine)
    keepers = [paging.keeper() for _ in range(3)]
    machine.run()
    readers = [paging.reader(page) for page in range(4)]
    machine.run()
    asked = [keeper.questions for keeper in keepers]
    assert asked == [[paging.question(readers[page], page)] for page in range(3)]
    paging.bring_all()
    for keeper in keepers:
        keeper.answer()
    assert machine.done(*readers)


def test_questions_and_calls_stand_in_one_line(machine: Machine) -> None:
    """A port set may have ports for both; who came first is served first."""
    paging, service = Paging(machine), Service(machine)
    machine.load(service.port, {"alias": 5}, portset=paging.portset)
    first = paging.reader(1)
    client, _ = service.client([41])
    second = paging.reader(2)
    machine.run()
    keeper = paging.keeper()
    machine.run()
    paging.bring_all()
    keeper.answer()
    assert keeper.questions[0] == paging.question(first, 1)
    assert (keeper.questions[1].code, keeper.questions[1].alias, keeper.questions[1].kind) == (41, 5, 1)
    assert machine.done(second) == machine.done(client)
    keeper.answer(1)
    assert machine.done(first, client, second)
    assert len(keeper.questions) == 2
