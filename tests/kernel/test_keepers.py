"""A region's keeper is asked for the pages that are away, and whoever wanted one goes on as if it had been there."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, MessageKind
from fluke_async.cpu.scripted_cpu import assemble
from fluke_async.kernel.trace import Event
from tests.kernel.machine import Machine, Part
from tests.kernel.paging import ALL, EXECUTE, FAILED, READ, VIEW, WRITE, Paging

# -- what a keeper receives -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("combined", [True, False])
@pytest.mark.parametrize("server_first", [True, False])
def test_keeper_learns_who_wants_which_byte_how(machine: Machine, server_first: bool, combined: bool) -> None:
    paging = Paging(machine)
    if server_first:
        keeper = paging.keeper(combined=combined)
        machine.run()
    reader, writer = paging.reader(3, 5), paging.writer(2, 9)
    machine.run()
    if not server_first:
        keeper = paging.keeper(combined=combined)
        machine.run()
    assert keeper.questions == [paging.question(reader, 3, READ, 40)]
    assert keeper.questions[0].kind == MessageKind.FAULT
    assert [reader.waiting_for, writer.waiting_for] == [keeper.thread, paging.port]
    paging.bring(3)
    keeper.answer()
    assert machine.done(reader)
    assert keeper.questions[1:] == [paging.question(writer, 2, WRITE)]
    paging.bring(2)
    keeper.answer()
    assert machine.done(writer)
    assert paging.seen(2) == [9]
    assert keeper.thread.waiting_for is paging.portset


def test_fetch_is_asked_for_as_such(machine: Machine) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    jumper = paging.spawn(("li", "s2", VIEW + 0x104), ("jr", "s2"))
    machine.run()
    assert keeper.questions == [paging.question(jumper, 0, EXECUTE, 0x104)]
    paging.bring(0)
    machine.programs[VIEW + 0x104] = assemble([("li", "s3", 5), ("ebreak",)])
    keeper.answer()
    assert machine.done(jumper)
    assert machine.register(jumper, "s3") == 5


@pytest.mark.parametrize("room", range(8))
def test_what_does_not_fit_is_cut_off(machine: Machine, room: int) -> None:
    paging = Paging(machine)
    keeper = paging.keeper(room=room)
    reader = paging.reader(1, 1)
    machine.run()
    (question,) = keeper.questions
    complete = paging.question(reader, 1, READ, 8)
    assert question[:5] == (*complete[:room], *[0] * (5 - room))[:5]
    assert question[5:] == (complete.alias, complete.kind, min(room, 5))
    paging.bring(1)
    keeper.answer()
    assert machine.done(reader)


def test_offset_is_that_in_the_region(machine: Machine) -> None:
    """Also where the mapping shows another part of it first."""
    paging = Paging(machine)
    keeper = paging.keeper()
    size = 2 * PAGE_SIZE
    machine.load(paging.view_mapping, {"region_off": size, "start_va": VIEW, "size": size, "prot": ALL})
    reader = paging.reader(1, 2)
    machine.run()
    assert keeper.questions == [paging.question(reader, 3, READ, 16)]


def test_offset_behind_the_end_of_the_region_is_asked_for_too(machine: Machine) -> None:
    """A keeper can make its region greater."""
    paging = Paging(machine)
    keeper = paging.keeper()
    bits = {"start_va": paging.region.start, "size": PAGE_SIZE, "prot": ALL}
    paging.bring_all()
    machine.load(paging.region, bits)
    reader = paging.reader(3)
    machine.run()
    assert keeper.questions == [paging.question(reader, 3)]
    machine.load(paging.region, {**bits, "size": 4 * PAGE_SIZE})
    keeper.answer()
    assert machine.done(reader)


@pytest.mark.parametrize("access", [READ, WRITE])
def test_access_that_the_region_does_not_give_is_asked_for(machine: Machine, access: int) -> None:
    paging = Paging(machine, present=True)
    keeper = paging.keeper()
    granted = 0 if access == READ else READ
    machine.load(paging.region, {"start_va": paging.region.start, "size": 4 * PAGE_SIZE, "prot": granted})
    client = paging.reader(1) if access == READ else paging.writer(1, 3)
    machine.run()
    assert keeper.questions == [paging.question(client, 1, access)]
    done = machine.invoke("region_protect", region=paging.region, prot=ALL)
    keeper.answer()
    assert done.exception is None
    assert machine.done(client)


@pytest.mark.parametrize("prot", [0, READ])
def test_what_the_threads_own_mapping_forbids_is_its_own_mistake(machine: Machine, prot: int) -> None:
    paging = Paging(machine, present=True)
    keeper = paging.keeper()
    machine.load(paging.view_mapping, {"start_va": VIEW, "size": 4 * PAGE_SIZE, "prot": prot})
    writer = paging.writer(1, 3)
    machine.run()
    assert machine.failure(writer) is ExceptionCode.STORE_FAULT
    assert keeper.questions == []


# -- going on ---------------------------------------------------------------------------------------------------------


def bring_by_mapping(paging: Paging) -> list[Part]:
    return [paging.load_mapping(page) for page in range(paging.pages)]


def bring_by_protection(paging: Paging) -> list[Part]:
    return paging.protect(*range(paging.pages))


def bring_by_region(paging: Paging) -> list[Part]:
    paging.bring_all()
    bits = {"start_va": paging.region.start, "size": paging.pages * PAGE_SIZE, "prot": 0}
    paging.machine.load(paging.region, bits)
    return [paging.protect_region(ALL)]


@pytest.mark.parametrize("bring", [bring_by_mapping, bring_by_protection, bring_by_region])
def test_instructions_go_on_as_if_the_page_had_been_there(
    machine: Machine, bring: Callable[[Paging], list[Part]]
) -> None:
    paging = Paging(machine)
    paging.pager(*bring(paging))
    paging.fill(1, 111, 222)
    thread = paging.spawn(
        ("li", "s4", 1),
        ("load", "s2", "zero", paging.address(1, 1)),
        ("add", "s2", "s2", "s4"),
        ("store", "s2", "zero", paging.address(2)),
        ("add", "s4", "s4", 1),
    )
    machine.run()
    assert machine.done(thread)
    assert [machine.register(thread, name) for name in ("s2", "s4")] == [223, 2]
    assert paging.seen(2) == [223]
    assert machine.core.statistics.hard_faults == 1


def test_page_can_be_taken_away_again_and_again(machine: Machine) -> None:
    """What was written is there each time."""
    paging = Paging(machine)
    pager = paging.pager()
    add = [("load", "s2", "zero", VIEW), ("add", "s2", "s2", 1), ("store", "s2", "zero", VIEW)]
    thread = paging.spawn([*paging.protect(0, prot=0), *add] * 5)
    machine.run()
    assert machine.done(thread)
    assert paging.seen(0) == [5]
    assert machine.register(pager, "s11") == 5


def test_page_that_can_be_read_is_asked_for_again_when_it_is_written(machine: Machine) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    thread = paging.spawn(("load", "s2", "zero", VIEW), ("store", "s2", "zero", VIEW + 8))
    machine.run()
    paging.bring(0, READ)
    keeper.answer()
    assert keeper.questions == [paging.question(thread, 0), paging.question(thread, 0, WRITE, 8)]
    paging.bring(0)
    keeper.answer()
    assert machine.done(thread)


def test_keeper_and_client_leave_their_traces(machine: Machine) -> None:
    paging = Paging(machine)
    keeper = paging.keeper()
    reader = paging.reader(0)
    machine.run()
    keeper.answer(FAILED)
    assert [event[3:] for event in machine.happened(Event.ASK, reader)] == [
        (VIEW, READ, paging.region.hash, paging.port.hash)
    ]
    assert [event[3:] for event in machine.happened(Event.RESOLVED, reader)] == [(VIEW, FAILED)]
    assert machine.core.statistics.hard_faults == 1
    assert machine.result(reader).subcode == VIEW
