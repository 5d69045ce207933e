"""
States with a fault in them, loaded by a program: true ones, old ones, forged ones.

A thread gets nothing by them that its mappings do not give, and hurts nobody: at worst it waits.
"""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import FAULT_IN_CALL, PRIORITY_MAX, ExceptionCode, Prot, Status, ThreadFlags
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import A0, ENTRY_POINT
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.asking import asking, in_call_or_not, resolve, taken_or_not
from tests.kernel.machine import UNMAPPED, Machine
from tests.kernel.messages import Service
from tests.kernel.paging import EXECUTE, FAILED, READ, VIEW, WRITE, Paging
from tests.kernel.states import set_state, state_of

NULL: dict[str, Any] = {}


def load(machine: Machine, thread: Thread, *, waiting_for: Any = NULL, **changes: Any) -> ExceptionCode | None:
    """Have a program change a few words of a state; `waiting_for` loads that link too. The thread stays stopped."""
    state = {**state_of(machine, thread), **changes}
    state["flags"] |= ThreadFlags.STOPPED
    links = {} if waiting_for is NULL else {"waiting_for_ref": machine.reference(waiting_for)}
    return set_state(machine, thread, state, **links).exception


def go_on(machine: Machine, *threads: Thread) -> None:
    for thread in threads:
        machine.core.start(thread)
    machine.run()


# -- states that are true ---------------------------------------------------------------------------------------------


@in_call_or_not
@taken_or_not
def test_state_that_is_loaded_as_it_was_read_changes_nothing(machine: Machine, taken: bool, in_call: bool) -> None:
    paging, client, keeper = asking(machine, taken=taken, in_call=in_call)
    before = client.continuation
    assert load(machine, client) is None
    assert load(machine, client, waiting_for=client.waiting_for) is None
    assert client.continuation == before
    go_on(machine, client)
    resolve(paging, keeper)
    assert machine.done(client)
    assert len(keeper.questions) == 1


@in_call_or_not
@taken_or_not
def test_null_link_lets_the_thread_find_out_anew(machine: Machine, taken: bool, in_call: bool) -> None:
    """It forgets its question, and its keeper the client; it asks again if it has to."""
    paging, client, keeper = asking(machine, taken=taken, in_call=in_call)
    assert load(machine, client, waiting_for=None) is None
    assert (client.waiting_for, keeper.thread.client) == (None, None)
    state = state_of(machine, client)
    assert (state["fault_access"], state["fault_address"]) == (0, 0)
    assert bool(state["wait_order"]) == in_call  # which is that of the call, for it goes on
    if taken:
        keeper.answer(FAILED)
    go_on(machine, client)
    resolve(paging, keeper)
    assert machine.done(client)
    assert keeper.questions == [paging.question(client, 1, WRITE, 16)] * (2 if taken else 1)


@in_call_or_not
def test_null_link_and_a_page_that_is_there_by_now(machine: Machine, in_call: bool) -> None:
    paging, client, keeper = asking(machine, taken=False, in_call=in_call)
    paging.bring(1)
    assert load(machine, client, waiting_for=None) is None
    go_on(machine, client, keeper.thread)
    assert machine.done(client)
    assert keeper.questions == []


@taken_or_not
def test_state_without_the_fault_is_one_that_waits_for_something_else(machine: Machine, taken: bool) -> None:
    """The registers are in no call, so it may not; with a null link it may."""
    paging, client, keeper = asking(machine, taken=taken)
    before = client.continuation
    changes = {"fault_access": 0, "fault_address": 0}
    assert load(machine, client, **changes) is ExceptionCode.INVALID_STATE
    assert client.continuation == before
    assert load(machine, client, **changes, waiting_for=None) is None
    if taken:
        keeper.answer()
    go_on(machine, client)
    resolve(paging, keeper)
    assert machine.done(client)


@pytest.mark.parametrize("access", [3, 5, 6, 7, FAULT_IN_CALL, FAULT_IN_CALL | 3, 16, 17, 1 << 63])
def test_access_that_is_none_is_refused(machine: Machine, access: int) -> None:
    _, client, _ = asking(machine, taken=True)
    assert load(machine, client, fault_access=access) is ExceptionCode.INVALID_STATE
    assert load(machine, client, fault_access=0, waiting_for=None) is ExceptionCode.INVALID_STATE
    assert client.waiting_for is not None


@pytest.mark.parametrize("kind", [Mutex, Cond, Portset])
def test_fault_waits_for_ports_and_threads_alone(machine: Machine, kind: type[Mutex | Cond | Portset]) -> None:
    """Although the registers are in a call that may wait for others."""
    _, client, _ = asking(machine, taken=True)
    x = list(state_of(machine, client)["x"])
    x[ENTRY_POINT] = BY_NAME["mutex_lock"].number
    assert load(machine, client, x=tuple(x), waiting_for=machine.new(kind)) is ExceptionCode.INVALID_STATE


def test_mistake_and_fault_exclude_each_other(machine: Machine) -> None:
    paging, client, _ = asking(machine, taken=True)
    mistake = {"exception": ExceptionCode.STORE_FAULT, "exception_subcode": 5}
    assert load(machine, client, **mistake) is ExceptionCode.INVALID_STATE
    assert load(machine, client, **mistake, waiting_for=paging.port) is ExceptionCode.INVALID_STATE
    assert load(machine, client, **mistake, waiting_for=None) is None
    go_on(machine, client)
    assert client.condition is Condition.EXCEPTION


# -- states that are not ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("access", [READ, WRITE, EXECUTE])
def test_other_fault_is_what_the_keeper_is_asked_for(machine: Machine, access: int) -> None:
    """The answer sends the thread to its instruction, which asks for what it needs."""
    paging, client, keeper = asking(machine, taken=False)
    assert load(machine, client, fault_access=access, fault_address=paging.address(3, 1)) is None
    go_on(machine, client, keeper.thread)
    assert keeper.questions == [paging.question(client, 3, access, 8)]
    paging.bring(3)
    keeper.answer()
    assert keeper.questions[1:] == [paging.question(client, 1, WRITE, 16)]
    paging.bring(1)
    keeper.answer()
    assert machine.done(client)


@pytest.mark.parametrize("place", ["present", "unmapped", "own", "end of all addresses"])
def test_fault_where_there_is_nothing_to_ask_is_not_asked(machine: Machine, place: str) -> None:
    paging, client, keeper = asking(machine, taken=False)
    paging.bring(2)
    places = {"present": paging.address(2), "unmapped": UNMAPPED, "own": machine.buffer(1)}
    address = places.get(place, 2**64 - 1)
    assert load(machine, client, fault_access=READ, fault_address=address) is None
    go_on(machine, client, keeper.thread)
    assert keeper.questions == [paging.question(client, 1, WRITE, 16)]
    paging.bring(1)
    keeper.answer()
    assert machine.done(client)


@pytest.mark.parametrize("device", [False, True])
def test_thread_that_waits_for_another_port_is_not_heard_there(machine: Machine, device: bool) -> None:
    """It is sent to the keeper that its page has."""
    paging, client, keeper = asking(machine, taken=False)
    other = Paging(machine, device=device)
    assert load(machine, client, waiting_for=other.port) is None
    machine.core.start(keeper.thread)
    stranger = None if device else other.keeper()
    go_on(machine, client)
    assert not other.requests
    assert stranger is None or stranger.questions == []
    assert keeper.questions == [paging.question(client, 1, WRITE, 16)]


@pytest.mark.parametrize("in_call", [0, FAULT_IN_CALL])
@pytest.mark.parametrize("access", list(Prot))
def test_thread_in_no_fault_can_be_made_to_ask(machine: Machine, access: int, in_call: int) -> None:
    """Of the right keeper, of what its own mappings show, and to no avail for anybody else."""
    paging = Paging(machine)
    forged = paging.spawn(("burn", 5), ("li", "s5", 1))
    machine.run_for(2)
    fault = {"fault_access": int(access) | in_call, "fault_address": VIEW + 8}
    lock = [0] * 32
    lock[ENTRY_POINT], lock[A0] = BY_NAME["mutex_trylock"].number, machine.addresses[mutex := machine.new(Mutex)]
    assert load(machine, forged, **fault, x=tuple(lock), waiting_for=paging.port) is None
    keeper = paging.keeper()
    go_on(machine, forged)
    assert keeper.questions == [paging.question(forged, 0, int(access), 8)]
    keeper.answer()
    assert machine.done(forged)
    assert machine.register(forged, "s5") == 1
    assert not mutex.locked  # its registers speak of a call, but its program counter is on none


@in_call_or_not
@pytest.mark.parametrize("number", [0, 1, 2**64 - 1, BY_NAME["thread_self"].number])
def test_call_that_is_said_to_have_faulted_need_not_be_one(machine: Machine, number: int, in_call: bool) -> None:
    """Who was in none executes what its program counter is on; a call is what its registers name by then."""
    paging, client, keeper = asking(machine, taken=False, in_call=in_call)
    x = list(state_of(machine, client)["x"])
    x[ENTRY_POINT] = number
    assert load(machine, client, fault_access=WRITE | FAULT_IN_CALL, x=tuple(x)) is None
    go_on(machine, client)
    resolve(paging, keeper)
    is_refused = in_call and number != BY_NAME["thread_self"].number
    assert machine.failure(client) is (ExceptionCode.FOREIGN_SYSTEM_CALL if is_refused else None)
    assert machine.done(client) != is_refused


def test_thread_that_waits_for_somebody_who_serves_others_just_waits(machine: Machine) -> None:
    """The other's client gets its answer; who waits is let go when that one dies."""
    paging, client, keeper = asking(machine, taken=True)
    forged = paging.reader(2, start=False)
    fault = {"fault_access": READ, "fault_address": paging.address(2)}
    assert load(machine, forged, **fault, waiting_for=keeper.thread) is None
    go_on(machine, forged)
    resolve(paging, keeper)
    assert machine.done(client)
    assert keeper.thread.first_waiter() is forged
    machine.invoke("thread_destroy", thread=keeper.thread)
    assert forged.waiting_for is paging.port
    paging.pager()
    machine.run()
    assert machine.done(forged)


@taken_or_not
@pytest.mark.parametrize("stage", ["ipc_reply", "ipc_reply_wait_receive", "ipc_request_receive"])
def test_server_with_a_forged_client_can_neither_answer_nor_ask_it(machine: Machine, taken: bool, stage: str) -> None:
    """Not even one that names the fault's thread, of which the keeper has the question."""
    paging, client, keeper = asking(machine, taken=taken)
    service = Service(machine)
    buffer = machine.buffer([FAILED] * 8)
    room = {"receive_buffer": buffer + 32, "receive_words": 4}
    answer = {"send_buffer": buffer, "send_words": 1} if "reply" in stage else {}
    thief = machine.spawn(
        machine.call("ipc_setup_wait_receive", portset=service.portset, **room),
        machine.call(stage, **answer, **(room if "receive" in stage else {})),
    )
    machine.run()
    load_client(machine, thief, client)
    sender, _ = service.client([4])
    machine.run()
    load_client(machine, thief, client)
    go_on(machine, thief)
    assert client.waiting_for is (keeper.thread if taken else paging.port)
    assert machine.read(buffer + 32, 4)[1:] == [FAILED] * 3
    resolve(paging, keeper)
    assert machine.done(client)
    assert paging.seen(1, 2) == [7]
    assert len(keeper.questions) == 1
    machine.invoke("thread_destroy", thread=thief)
    service.server()
    machine.run()
    assert machine.done(sender)


def load_client(machine: Machine, server: Thread, client: Thread) -> None:
    """Have a program give a server a client link, and no more."""
    by = machine.spawn(
        machine.call("thread_get_state", thread=server),
        machine.call("thread_set_state", thread=server, client_ref=machine.reference(client)),
        priority=PRIORITY_MAX,
    )
    machine.run()
    assert machine.done(by)
    assert machine.register(by, "a0") == Status.SUCCESS


def test_two_threads_that_wait_for_each_other_can_be_let_go(machine: Machine) -> None:
    """A ring of forged waits holds nobody else."""
    paging = Paging(machine)
    ring = [paging.reader(page, start=False) for page in range(2)]
    for page, thread in enumerate(ring):
        fault = {"fault_access": READ, "fault_address": paging.address(page)}
        assert load(machine, thread, **fault, waiting_for=ring[1 - page]) is None
    go_on(machine, *ring)
    waits: list[KernelObject | None] = [thread.waiting_for for thread in ring]
    assert waits == ring[::-1]
    keeper = paging.keeper()
    other = paging.reader(3)
    machine.run()
    assert keeper.questions == [paging.question(other, 3)]
    paging.bring_all()
    keeper.answer()
    machine.invoke("thread_destroy", thread=ring[0])
    assert machine.done(other, ring[1])
