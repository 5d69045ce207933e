"""Keepers that answer strangely, late or never, and die or are replaced: whoever asked goes on, or knows why not."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import ExceptionCode
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.machine import Machine, Part
from tests.kernel.paging import FAILED, READ, RESOLVED, WRITE, Keeper, Paging

# -- answers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize("words", [(), (RESOLVED,), (RESOLVED, FAILED, 3), (RESOLVED, 2**64 - 1)])
def test_no_word_or_a_zero_lets_the_thread_try_again(machine: Machine, device: bool, words: tuple[int, ...]) -> None:
    paging = Paging(machine, device=device)
    keeper = paging if device else paging.keeper()
    writer = paging.writer(1, 8)
    machine.run()
    paging.bring(1)
    give(keeper, *words)
    assert machine.done(writer)
    assert paging.seen(1) == [8]


@pytest.mark.parametrize("device", [False, True])
@pytest.mark.parametrize("words", [(FAILED,), (2,), (2**64 - 1,), (0x100, 0), (FAILED, RESOLVED, 1, 1)])
def test_any_other_word_is_the_threads_exception(machine: Machine, device: bool, words: tuple[int, ...]) -> None:
    """Although the page is there by now; and the thread's memory and registers are as they were."""
    paging = Paging(machine, device=device)
    keeper = paging if device else paging.keeper()
    writer = paging.writer(1, 8, 2)
    machine.run()
    paging.bring(1)
    give(keeper, *words)
    result = machine.result(writer)
    assert (result.exception, result.subcode) == (ExceptionCode.STORE_FAULT, paging.address(1, 2))
    assert paging.seen(1, 2) == [0]
    assert machine.register(writer, "s2") == 8


@pytest.mark.parametrize("access", [READ, WRITE])
def test_exception_goes_to_the_handler(machine: Machine, access: int) -> None:
    """It can mend what is wrong, and return to the instruction."""
    paging = Paging(machine)
    keeper = paging.keeper()
    step = ("load" if access == READ else "store", "s2", "zero", paging.address(1, 2))
    disable = machine.call("thread_disable_exceptions", thread=machine.next_slot)  # where the thread will be
    handle: list[Part] = ["handler", ("add", "s4", "a1", 0), ("add", "s5", "a2", 0), *paging.protect(1)]
    leave = machine.bare_call("thread_return_from_exception")
    thread = paging.spawn(step, ("li", "s3", 1), ("jump", "end"), *handle, leave, "end", disable, handler="handler")
    machine.run()
    keeper.answer(FAILED)
    assert machine.done(thread)
    code = ExceptionCode.LOAD_FAULT if access == READ else ExceptionCode.STORE_FAULT
    assert [machine.register(thread, name) for name in ("s3", "s4", "s5")] == [1, code, paging.address(1, 2)]
    assert len(keeper.questions) == 1


@pytest.mark.parametrize("times", [1, 4])
def test_keeper_that_says_so_without_having_done_it_is_asked_again(machine: Machine, times: int) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    reader = paging.reader(2)
    machine.run()
    for _ in range(times):
        keeper.answer()
    assert keeper.questions == [paging.question(reader, 2)] * (times + 1)
    paging.bring(2)
    keeper.answer()
    assert machine.done(reader)


def test_keeper_that_brings_too_little_is_asked_again(machine: Machine) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    writer = paging.writer(2, 1)
    machine.run()
    for prot in (READ, WRITE):  # memory that can be written can be read
        paging.bring(2, prot)
        keeper.answer()
        assert writer.waiting_for is keeper.thread
    paging.bring(2, READ | WRITE)
    keeper.answer()
    assert machine.done(writer)


def test_page_that_was_taken_away_before_the_thread_ran_is_asked_for_again(machine: Machine) -> None:
    paging = Paging(machine)
    thief = paging.pager(*paging.protect(1), *paging.protect(1, prot=0), priority=20)
    reader = paging.reader(1)
    machine.run_for(5000)
    assert machine.register(thief, "s11") > 3
    assert not machine.done(reader)
    machine.invoke("thread_destroy", thread=thief)
    paging.pager()
    machine.run()
    assert machine.done(reader)


def test_keeper_that_never_answers_keeps_its_client_waiting_and_nobody_else(machine: Machine) -> None:
    paging = Paging(machine)
    silent, other = paging.keeper(), paging.keeper()
    first, second = paging.reader(1), paging.reader(2)
    machine.run()
    paging.bring(2)
    keeper = silent if second.waiting_for is silent.thread else other
    keeper.answer()
    assert machine.done(second)
    assert first.condition is Condition.WAITING
    assert first.export_bits()["fault_address"] == paging.address(1)


# -- whoever serves goes away -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("other_first", [True, False])
def test_another_server_is_asked_when_one_dies_over_a_question(machine: Machine, other_first: bool) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    machine.run()
    other = paging.keeper() if other_first else None
    reader = paging.reader(1)
    machine.run()
    machine.invoke("thread_destroy", thread=keeper.thread)
    if other is None:
        assert reader.waiting_for is paging.port
        other = paging.keeper()
        machine.run()
    assert other.questions == [paging.question(reader, 1)]
    paging.bring(1)
    other.answer()
    assert machine.done(reader)


def test_another_server_is_asked_when_one_receives_without_having_answered(machine: Machine) -> None:
    """The one that asks anew may be the same."""
    paging = Paging(machine)
    receive = {"receive_buffer": machine.buffer(8), "receive_words": 8}
    forgetful = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=paging.portset, **receive),
        paging.protect(1),
        machine.call("ipc_wait_receive", **receive),
    )
    reader = paging.reader(1)
    machine.run()
    assert machine.done(reader)
    assert forgetful.waiting_for is paging.portset
    assert forgetful.client is None


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "in line"])
def test_question_to_a_port_that_dies_is_the_threads_exception(machine: Machine, taken: bool) -> None:
    """A server that has the question already may answer it all the same."""
    paging = Paging(machine)
    keeper = paging.keeper() if taken else None
    reader = paging.reader(1)
    machine.run()
    machine.invoke("port_destroy", port=paging.port)
    if keeper is not None:
        assert reader.waiting_for is keeper.thread
        keeper.answer()
    assert machine.failure(reader) is ExceptionCode.LOAD_FAULT
    assert machine.failure(machine.spawn()) is None
    later = paging.reader(2)
    machine.run()
    assert machine.failure(later) is ExceptionCode.LOAD_FAULT


@pytest.mark.parametrize("stopped", [False, True])
def test_port_set_that_dies_leaves_who_asks_in_line_at_the_port(machine: Machine, stopped: bool) -> None:
    paging = Paging(machine)
    reader = paging.reader(1)
    machine.run()
    if stopped:
        machine.core.stop(reader)
    machine.invoke("portset_destroy", portset=paging.portset)
    assert reader.waiting_for is paging.port
    paging.portset = machine.new(Portset)
    paging.pager()
    machine.run()
    assert reader.waiting_for is paging.port
    machine.invoke("port_set_state", port=paging.port, portset_ref=machine.reference(paging.portset))
    if stopped:
        machine.core.start(reader)
        machine.run()
    assert machine.done(reader)


def test_port_that_moves_to_another_set_takes_along_who_asks(machine: Machine) -> None:
    paging, other = Paging(machine), Paging(machine)
    reader = paging.reader(1)
    machine.run()
    elsewhere = other.keeper()
    machine.run()
    machine.invoke("port_set_state", port=paging.port, portset_ref=machine.reference(other.portset))
    assert elsewhere.questions == [paging.question(reader, 1)]
    paging.bring(1)
    elsewhere.answer()
    assert machine.done(reader)


def test_server_answers_what_it_has_received_though_the_port_has_moved(machine: Machine) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    reader = paging.reader(1)
    machine.run()
    machine.invoke("port_set_state", port=paging.port, portset_ref=machine.reference(machine.new(Portset)))
    assert reader.waiting_for is keeper.thread
    paging.bring(1)
    keeper.answer()
    assert machine.done(reader)


@pytest.mark.parametrize("taken", [True, False], ids=["taken", "in line"])
def test_region_that_dies_leaves_nothing_to_ask_for(machine: Machine, taken: bool) -> None:
    paging = Paging(machine)
    keeper = paging.keeper() if taken else None
    reader = paging.reader(1)
    machine.run()
    machine.invoke("region_destroy", region=paging.region)
    keeper = keeper or paging.keeper()
    machine.run()
    if taken:
        keeper.answer()
    assert machine.failure(reader) is ExceptionCode.LOAD_FAULT
    assert len(keeper.questions) == taken
    assert keeper.thread.waiting_for is paging.portset


def give(keeper: Keeper | Paging, *words: int) -> None:
    """Let a thread or a device answer."""
    answer: Callable[..., None] = keeper.reply if isinstance(keeper, Paging) else keeper.answer
    answer(*words)
