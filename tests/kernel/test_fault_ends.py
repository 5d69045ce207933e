"""A thread that waits for a keeper is interrupted, moved or destroyed, or something is that it needs."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import PAGE_SIZE, PRIORITY_MAX, ExceptionCode, ObjectType, Status
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from tests.kernel.asking import asking, client_of, in_call_or_not, resolve, taken_or_not
from tests.kernel.invariants import check
from tests.kernel.machine import Machine, Part
from tests.kernel.paging import FAILED, VIEW, WRITE, Paging

# -- interrupts -------------------------------------------------------------------------------------------------------


def handled(machine: Machine, hits: int) -> list[Part]:
    """The end of a program that counts its interrupts."""
    return [
        ("jump", "end"),
        "handler",
        *(("load", "s6", "zero", hits), ("add", "s6", "s6", 1), ("store", "s6", "zero", hits)),
        machine.bare_call("thread_return_from_exception"),
        "end",
    ]


@in_call_or_not
@taken_or_not
def test_interrupt_is_taken_in_the_wait_and_the_page_is_asked_for_again(
    machine: Machine, taken: bool, in_call: bool
) -> None:
    paging, hits = Paging(machine), machine.buffer(1)
    keeper = paging.keeper(start=taken)
    address = paging.address(1, 2)
    want = machine.call("mutex_create", mutex=address) if in_call else [("store", "s2", "zero", address)]
    client = paging.spawn(want, handled(machine, hits), interrupt_handler="handler")
    machine.run()
    for times in (1, 2, 3):
        machine.invoke("thread_interrupt", thread=client)
        assert machine.word(hits) == times
        assert client.waiting_for is paging.port  # at which a keeper that had its question does not wait
        assert keeper.thread.client is None
    if taken:
        keeper.answer(FAILED)  # nobody hears it
        assert client.waiting_for is keeper.thread
    resolve(paging, keeper)
    assert machine.done(client)
    assert machine.word(hits) == 3
    assert keeper.questions == [paging.question(client, 1, WRITE, 16)] * (2 if taken else 1)


@taken_or_not
@pytest.mark.parametrize("handler", ["", "handler"])
def test_interrupt_that_cannot_be_taken_waits_for_the_page(machine: Machine, taken: bool, handler: str) -> None:
    paging, hits = Paging(machine), machine.buffer(1)
    keeper = paging.keeper(start=taken)
    client = paging.spawn(("store", "s2", "zero", paging.address(1)), handled(machine, hits), interrupt_handler=handler)
    client.exceptions_enabled = False
    machine.run()
    before = client.continuation
    machine.invoke("thread_interrupt", thread=client)
    assert client.continuation == before
    resolve(paging, keeper)
    assert machine.done(client)
    assert machine.word(hits) == 0


def test_interrupt_while_stopped_is_taken_when_the_thread_starts(machine: Machine) -> None:
    paging, hits = Paging(machine), machine.buffer(1)
    keeper = paging.keeper()
    client = paging.spawn(
        ("store", "s2", "zero", paging.address(1)), handled(machine, hits), interrupt_handler="handler"
    )
    machine.run()
    machine.core.stop(client)
    machine.invoke("thread_interrupt", thread=client)
    assert client.waiting_for is keeper.thread
    machine.core.start(client)
    machine.run()
    assert machine.word(hits) == 1
    keeper.answer(FAILED)
    resolve(paging, keeper)
    assert machine.done(client)


# -- what goes away or moves ------------------------------------------------------------------------------------------

STEPS = 60  # of the kernel, until long after the exchange
DONE, FAULT, WAITS, GONE, EMPTY = "done", "fault", "waits", "gone", "empty"
OUTCOMES = {  # of the client, and of one that wants the same page in another space, and comes later
    "client": ({GONE}, {DONE}),
    "keeper": ({DONE}, {DONE}),
    "port": ({DONE, FAULT}, {DONE, FAULT}),
    "portset": ({DONE, WAITS}, {DONE, WAITS}),
    "region": ({DONE, FAULT}, {FAULT}),
    "mapping": ({DONE, FAULT}, {DONE}),
    "space": ({DONE, EMPTY}, {DONE}),
}


@in_call_or_not
@pytest.mark.parametrize("victim", OUTCOMES)
def test_anything_can_be_destroyed_at_every_moment_of_the_exchange(model: str, victim: str, in_call: bool) -> None:
    """Whoever needed it knows, and nobody else notices."""
    seen: tuple[set[str], set[str]] = (set(), set())
    for steps in range(STEPS):
        machine = Machine(model)
        paging, elsewhere = Paging(machine), Paging(machine)
        keeper, client = paging.pager(), client_of(paging, in_call=in_call)
        space = machine.new_space()
        machine.map(space, paging.region, VIEW, 4 * PAGE_SIZE)
        for _ in range(steps):
            machine.step()
        destroy(machine, paging, {"client": client, "keeper": keeper}.get(victim), victim)
        paging.pager()
        elsewhere.pager()
        machine.effort = 10_000  # no moment that follows is looked at
        later = machine.spawn(("load", "s2", "zero", paging.address(1)), space=space)
        stranger = elsewhere.reader(2)
        machine.run()
        check(machine.core)
        assert machine.done(stranger)
        for thread, outcomes in zip((client, later), seen, strict=True):
            outcomes.add(outcome(machine, thread, paging))
    assert seen == OUTCOMES[victim]


def outcome(machine: Machine, thread: Thread, paging: Paging) -> str:
    """What has become of a thread that wanted a page."""
    if machine.done(thread) and thread.active:
        return DONE
    if thread.condition is Condition.EXCEPTION:
        fault = ExceptionCode.LOAD_FAULT, ExceptionCode.STORE_FAULT
        assert machine.failure(thread) in fault
        return FAULT
    if thread.condition is Condition.WAITING:
        assert thread.waiting_for is paging.port
        return WAITS
    return {Condition.DESTROYED: GONE, Condition.EMPTY: EMPTY}[thread.condition]


def destroy(machine: Machine, paging: Paging, thread: Thread | None, victim: str) -> None:
    """Have a thread that comes before all others destroy something of the exchange, and run only that."""
    kinds: dict[str, KernelObject] = {
        "port": paging.port,
        "portset": paging.portset,
        "region": paging.region,
        "mapping": paging.view_mapping,
    }
    if victim == "space":  # it has no place that a program could name
        machine.core.destroy(paging.space)
        return
    target = thread or kinds[victim]
    kind = ObjectType(target.type).name.lower()
    actor = machine.spawn(machine.call(f"{kind}_destroy", **{kind: target}), priority=PRIORITY_MAX)
    while not machine.done(actor):
        machine.step()


@taken_or_not
@pytest.mark.parametrize("what", ["client", "keeper", "port", "portset", "region", "mapping"])
def test_anything_can_be_moved_while_a_thread_waits(machine: Machine, taken: bool, what: str) -> None:
    """None of it is known by its address, but the port set to who serves it."""
    paging, client, keeper = asking(machine, taken=taken)
    targets: dict[str, KernelObject] = {
        "client": client,
        "keeper": keeper.thread,
        "port": paging.port,
        "portset": paging.portset,
        "region": paging.region,
        "mapping": paging.view_mapping,
    }
    target, new = targets[what], machine.slot()
    kind = ObjectType(target.type).name.lower()
    result = machine.invoke(f"{kind}_move", **{kind: target}, new_address=new)
    assert (result.exception, result.status) == (None, Status.SUCCESS)
    machine.addresses[target] = new
    if what == "portset" and not taken:
        machine.core.destroy(keeper.thread)
        keeper = paging.keeper()
    resolve(paging, keeper)
    assert machine.done(client)
    assert len(keeper.questions) == 1
    left = machine.failure(keeper.thread)
    assert left is (ExceptionCode.NO_OBJECT if what == "portset" and taken else None)
