"""
An object whose page is taken away lives on: who waits for it waits, and who still sees it can end the wait.

It ends with its frame, when the slab is freed: then whoever waits for it finds out.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, ExceptionCode, ObjectType, Status
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.cond import Cond
from fluke_async.kernel.objects.mapping import Mapping
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.region import Region
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.invariants import check
from tests.kernel.machine import Machine, Part
from tests.kernel.memory_tree import HERE
from tests.kernel.messages import Service
from tests.kernel.paging import ALL, Paging
from tests.kernel.two_slabs import Slabs

SLOT = 16


# -- the page is unmapped ---------------------------------------------------------------------------------------------


def unmapped(machine: Machine) -> Paging:
    """Pages without a keeper, that one space sees; all others see them where the machine's memory is."""
    paging = Paging(machine, present=True)
    machine.load(paging.region, None, keeper=None)
    return paging


def outside(paging: Paging, slot: int = 1) -> int:
    """Where other spaces name an object of the first page."""
    return paging.memory + SLOT * slot


def test_mutex_without_a_page_passes_between_those_who_see_it(machine: Machine) -> None:
    paging = unmapped(machine)
    mutex = paging.new(Mutex)
    lock = machine.call("mutex_lock", mutex=outside(paging))
    machine.spawn(lock)
    machine.run()
    blind = paging.spawn(machine.call("mutex_lock", mutex=mutex), priority=20)
    sighted = machine.spawn(lock)
    machine.run()
    machine.core.destroy(paging.view_mapping)
    machine.run()
    assert list(mutex.queue().in_order()) == [blind, sighted]
    machine.invoke("mutex_set_state", mutex=outside(paging), owner_ref=machine.reference())
    assert mutex.owner is sighted
    assert machine.failure(blind) is ExceptionCode.LOAD_FAULT
    assert machine.invoke("mutex_trylock", mutex=outside(paging)).status == Status.MUTEX_HELD


@pytest.mark.parametrize("signal", ["cond_signal", "cond_broadcast"])
def test_condition_without_a_page_is_signalled_by_who_sees_it(machine: Machine, signal: str) -> None:
    """Its waiter needs the mutex alone to go on, which lies elsewhere."""
    paging, mutex = unmapped(machine), machine.new(Mutex)
    cond = paging.new(Cond)
    lock, wait = machine.call("mutex_lock", mutex=mutex), machine.call("cond_wait", cond=cond, mutex=mutex)
    waiter = paging.spawn(lock, wait)
    machine.run()
    paging.take(0)
    assert waiter.waiting_for is cond
    assert machine.invoke(signal, cond=outside(paging)).exception is None
    assert machine.done(waiter)
    assert mutex.owner is waiter


def test_port_and_set_without_a_page_serve_who_has_references(machine: Machine) -> None:
    paging, service = unmapped(machine), Service(machine)
    portset, port = paging.new(Portset), paging.new(Port, slot=2)
    machine.load(port, {"alias": 5}, portset=portset)
    service.portset, service.reference = portset, machine.reference(port)
    machine.addresses[portset] = outside(paging)
    server = service.server()
    machine.run()
    paging.take(0)
    client, received = service.client([1])
    machine.run()
    assert machine.done(client)
    assert machine.word(received) == 2
    assert server.waiting_for is portset


def test_thread_without_a_page_runs_on(machine: Machine) -> None:
    """Whoever has a reference to it can wait for it, and the others cannot name it."""
    paging = unmapped(machine)
    thread = paging.new(Thread)
    twin = machine.spawn(("burn", 500), ("li", "s2", 3), start=False)
    machine.load(thread, dict(twin.export_bits()) | {"thread_va": machine.addresses[thread]}, space=machine.space)
    machine.core.start(thread)
    machine.run_for(100)
    paging.take(0)
    blind = paging.spawn(machine.call("thread_interrupt", thread=thread))
    machine.run()
    assert machine.done(thread)
    assert machine.register(thread, "s2") == 3
    assert machine.failure(blind) is ExceptionCode.LOAD_FAULT


def test_region_mapping_and_space_without_a_page_go_on_showing_memory(machine: Machine) -> None:
    paging = unmapped(machine)
    region, mapping, space = paging.new(Region), paging.new(Mapping, slot=2), paging.new(Space, slot=3)
    memory = machine.buffer([77])
    machine.load(region, {"start_va": memory, "size": PAGE_SIZE, "prot": ALL}, space=machine.space)
    machine.load(mapping, {"start_va": HERE, "size": PAGE_SIZE, "prot": ALL}, region=region, space=space)
    paging.take(0)
    reader = machine.spawn(("load", "s2", "zero", HERE), ("store", "s2", "zero", HERE + 8), space=space)
    machine.run()
    assert machine.done(reader)
    assert machine.read(memory, 2) == [77, 77]
    machine.invoke("mapping_destroy", mapping=outside(paging, 2))
    late = machine.spawn(("load", "s2", "zero", HERE), space=space)
    machine.run()
    assert machine.failure(late) is ExceptionCode.LOAD_FAULT


def test_page_that_comes_back_has_its_objects(machine: Machine) -> None:
    paging = unmapped(machine)
    mutex = paging.new(Mutex)
    paging.take(0)
    lock = machine.call("mutex_lock", mutex=mutex)
    early = paging.spawn(lock)
    machine.run()
    paging.bring(0)
    late = paging.spawn(lock)
    machine.run()
    assert machine.failure(early) is ExceptionCode.LOAD_FAULT
    assert machine.done(late)
    assert mutex.owner is late


# -- the slab is freed ------------------------------------------------------------------------------------------------


@dataclass
class Doomed:
    """Something that somebody waits for lies in the frames of a slab: the steps of the waiter, and how it ends."""

    machine: Machine
    slabs: Slabs

    def new(self, kind: type[KernelObject], slot: int = 1) -> KernelObject:
        """An object in the slab's first page, that the slab's space sees."""
        frame = self.machine.core.root.frame_at(self.machine.core, self.slabs.starts[0])
        assert frame is not None
        created = self.machine.core.create(kind, frame + slot * SLOT)
        assert created is not None
        self.machine.addresses[created] = HERE + slot * SLOT
        return created


Waiting = Callable[[Doomed], tuple[list[Part], ExceptionCode | Status]]


def lock_a_mutex(doomed: Doomed) -> tuple[list[Part], ExceptionCode | Status]:
    lock = doomed.machine.call("mutex_lock", mutex=doomed.new(Mutex))
    doomed.slabs.spawn(0, lock)
    return [lock], ExceptionCode.LOAD_FAULT


def wait_for_a_condition(doomed: Doomed) -> tuple[list[Part], ExceptionCode | Status]:
    """The mutex is elsewhere: the wait ends as if there had been a signal."""
    machine = doomed.machine
    mutex = machine.new(Mutex)
    wait = machine.call("cond_wait", cond=doomed.new(Cond), mutex=mutex)
    return [machine.call("mutex_lock", mutex=mutex), wait], Status.SUCCESS


def receive_from_a_set(doomed: Doomed) -> tuple[list[Part], ExceptionCode | Status]:
    return [doomed.machine.call("ipc_setup_wait_receive", portset=doomed.new(Portset))], ExceptionCode.LOAD_FAULT


def send_to_a_port(doomed: Doomed) -> tuple[list[Part], ExceptionCode | Status]:
    reference = doomed.machine.reference(doomed.new(Port))
    return [doomed.machine.call("ipc_send", destination_ref=reference)], Status.INVALID_DEST


def call_a_port(doomed: Doomed) -> tuple[list[Part], ExceptionCode | Status]:
    reference = doomed.machine.reference(doomed.new(Port))
    return [doomed.machine.call("ipc_call", destination_ref=reference)], Status.IPC_CONNECT_INVALID_DEST


def ask_a_keeper(doomed: Doomed) -> tuple[list[Part], ExceptionCode | Status]:
    """The keeper's port is in the slab."""
    machine = doomed.machine
    paging = Paging(machine, space=doomed.slabs.spaces[0], view=HERE + (1 << 24))
    machine.load(paging.region, None, keeper=doomed.new(Port))
    return [("load", "s2", "zero", paging.address(1))], ExceptionCode.LOAD_FAULT


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize(
    "waiting",
    [lock_a_mutex, wait_for_a_condition, receive_from_a_set, send_to_a_port, call_a_port, ask_a_keeper],
    ids=lambda waiting: waiting.__name__,
)
def test_waiter_finds_out_that_the_frame_has_gone(machine: Machine, waiting: Waiting, stopped: bool) -> None:
    slabs = Slabs(machine)
    parts, end = waiting(Doomed(machine, slabs))
    waiter = slabs.spawn(0, *parts)
    assert waiter.waiting_for is not None
    if stopped:
        machine.core.stop(waiter)
    slabs.free(0)
    check(machine.core)
    if stopped:
        machine.core.start(waiter)
    machine.run()
    if isinstance(end, ExceptionCode):
        assert machine.failure(waiter) is end
    else:
        assert machine.done(waiter)
        assert machine.register(waiter, "a0") == end
    assert waiter.waiting_for is None


@pytest.mark.parametrize("kind", ["call", "fault"])
def test_client_finds_another_server_when_the_frame_of_one_has_gone(machine: Machine, kind: str) -> None:
    """The server itself lies in the slab, and is destroyed in the middle of its service."""
    slabs, paging = Slabs(machine), Paging(machine)
    doomed = Doomed(machine, slabs)
    server = doomed.new(Thread)
    assert isinstance(server, Thread)
    setup = machine.call("ipc_setup_wait_receive", portset=paging.portset)
    twin = machine.spawn(setup, ("burn", 100_000), start=False)
    machine.load(server, dict(twin.export_bits()) | {"thread_va": HERE + SLOT}, space=machine.space)
    machine.core.start(server)
    call = machine.call("ipc_call", destination_ref=machine.reference(paging.port))
    client = machine.spawn(call) if kind == "call" else paging.reader(1)
    while client.waiting_for is not server:
        machine.step()
    machine.hart.park_resident()
    slabs.free(0)
    assert not server.active
    machine.run()
    assert paging.portset.first_caller() is client
    paging.pager()
    machine.run()
    assert machine.done(client)


def test_all_that_a_slab_held_is_given_back(machine: Machine) -> None:
    """However its objects were tied to each other and to those who wait."""
    slabs = Slabs(machine)
    doomed = Doomed(machine, slabs)
    before = machine.core.quota.used_bytes
    kinds = (Mutex, Cond, Port, Portset, Region, Mapping, Space, Thread)
    made = {kind: doomed.new(kind, slot) for slot, kind in enumerate(kinds, 1)}
    machine.load(made[Port], {"alias": 1}, portset=made[Portset])
    machine.load(made[Region], {"start_va": HERE, "size": PAGE_SIZE, "prot": ALL}, space=made[Space], keeper=made[Port])
    bits = {"start_va": HERE, "size": PAGE_SIZE, "prot": ALL}
    machine.load(made[Mapping], bits, region=made[Region], space=made[Space])
    machine.load(made[Cond], {}, inheritor=made[Thread])
    machine.load(made[Mutex], {"locked": 1, "flags": 1}, owner=made[Thread])
    machine.load(made[Thread], None, space=made[Space])
    region = slabs.regions[0]
    frames = machine.core.frames.in_use
    slabs.free(0)
    assert not any(each.active for each in made.values())
    assert not region.active
    assert machine.core.frames.in_use == frames - 1
    assert machine.core.quota.used_bytes == before - OBJECT_CHARGE_BYTES[ObjectType.REGION]
    check(machine.core)
