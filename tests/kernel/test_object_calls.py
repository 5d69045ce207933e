"""The calls that all types of objects have, for every type by the table."""

from __future__ import annotations

from typing import Any

import pytest

from fluke_async.abi.codes import OBJECT_CHARGE_BYTES, PAGE_SIZE, SLOT_SIZE, ExceptionCode, ObjectType, Prot, Status
from fluke_async.abi.entry_point import EntryPoint, Kind
from fluke_async.abi.entry_points import BY_NAME, ENTRY_POINTS
from fluke_async.abi.registers import ENTRY_POINT, STATUS
from fluke_async.kernel.handlers import OBJECTS, UNREFERENCED
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.reference import Reference
from fluke_async.kernel.objects.space import Space
from tests.kernel.machine import MEMORY, UNMAPPED, Machine

TYPES = tuple(OBJECTS)
STATEFUL = tuple(name for name in TYPES if name != "ref")
REFERENCED = tuple(name for name in TYPES if name not in UNREFERENCED)
LINKS = [(name, link.name) for name in TYPES for link in OBJECTS[name].links]
OWN_CALLS = frozenset(
    entry.name for entry in ENTRY_POINTS if any(argument.kind is Kind.SELF for argument in entry.arguments)
)  # for the calling thread alone, whose address they take
OBJECT_CALLS = [
    entry
    for entry in ENTRY_POINTS
    if entry.arguments
    and entry.arguments[0].kind is Kind.OBJECT
    and not entry.is_message
    and entry.name not in OWN_CALLS
]
OWNERS_CALLS = ("mutex_unlock", "cond_wait")  # for the owner of the mutex

CHANGES = ("_protect", "_destroy", "_move", "_set_state")  # what needs memory that can be written


def other_type(name: str) -> type[Any]:
    return Portset if name != "portset" else Mutex


@pytest.mark.parametrize("name", TYPES)
def test_created_where_asked_and_gone_when_destroyed(machine: Machine, name: str) -> None:
    slot = machine.slot()
    machine.invoke("thread_self")  # the page of the slots is there
    used = machine.core.quota.used_bytes
    invoke = machine.invoke
    assert invoke(f"{name}_create", **{name: slot}).status == Status.SUCCESS
    created = machine.found(slot)
    assert type(created) is OBJECTS[name]
    assert created.hash
    agents = OBJECT_CHARGE_BYTES[ObjectType.THREAD]
    assert machine.core.quota.used_bytes - used == OBJECT_CHARGE_BYTES[created.type] + agents
    assert invoke(f"{name}_create", **{name: slot}).exception is ExceptionCode.OBJECT_EXISTS
    assert invoke(f"{name}_destroy", **{name: slot}).status == Status.SUCCESS
    assert not created.active
    assert invoke(f"{name}_destroy", **{name: slot}).exception is ExceptionCode.NO_OBJECT
    assert machine.core.quota.used_bytes - used == 4 * agents


@pytest.mark.parametrize("name", STATEFUL)
def test_hash_is_chosen_by_the_creator_or_the_kernel(machine: Machine, name: str) -> None:
    for wanted in (0xFEED, 0):
        slot = machine.slot()
        result = machine.invoke(f"{name}_create_hash", **{name: slot, "hash": wanted})
        created = machine.found(slot)
        assert result.registers[11] == created.hash
        assert created.hash == wanted if wanted else created.hash != 0
        state = machine.buffer(200)
        machine.invoke(f"{name}_get_state", **{name: slot, "state": state})
        assert machine.word(state) == created.hash


@pytest.mark.parametrize("name", STATEFUL)
def test_hash_is_not_changed_by_set_state(machine: Machine, name: str) -> None:
    target = machine.new(OBJECTS[name])
    hash_ = target.hash
    state = machine.buffer([999] + [0] * 100)
    assert machine.invoke(f"{name}_set_state", **{name: target, "state": state}).exception is None
    assert target.hash == hash_


@pytest.mark.parametrize("name", TYPES)
def test_moved_object_has_its_new_name_only(machine: Machine, name: str) -> None:
    target, slot, taken = machine.new(OBJECTS[name]), machine.slot(), machine.new(Mutex)
    move = f"{name}_move"
    mistake = machine.invoke(move, **{name: target, "new_address": taken})
    assert mistake.exception is ExceptionCode.OBJECT_EXISTS
    old = machine.addresses[target]
    assert machine.invoke(move, **{name: target, "new_address": slot}).status == Status.SUCCESS
    assert machine.found(slot) is target
    assert machine.invoke(f"{name}_destroy", **{name: old}).exception is ExceptionCode.NO_OBJECT
    assert machine.invoke(f"{name}_destroy", **{name: slot}).status == Status.SUCCESS


@pytest.mark.parametrize("name", REFERENCED)
def test_reference_refers_until_its_target_is_gone(machine: Machine, name: str) -> None:
    target, reference = machine.new(OBJECTS[name]), machine.reference()
    machine.invoke(f"{name}_reference", **{name: target, "ref": reference})
    assert machine.invoke("ref_type", ref=reference).status == target.type
    assert machine.invoke("ref_hash", ref=reference).status == target.hash
    copy = machine.reference()
    machine.invoke("ref_copy", source=reference, destination=copy)
    assert copy.target is target
    machine.invoke(f"{name}_move", **{name: target, "new_address": machine.slot()})
    assert machine.invoke("ref_hash", ref=copy).status == target.hash
    machine.core.destroy(target)
    assert machine.invoke("ref_type", ref=reference).status == ObjectType.NULL
    assert machine.invoke("ref_hash", ref=copy).status == 0


TELLS_WHO_IS_GONE = ("thread_schedule",)  # by its status


@pytest.mark.parametrize("entry", OBJECT_CALLS, ids=lambda entry: entry.name)
def test_calls_say_what_is_wrong_with_an_address(entry: EntryPoint) -> None:
    machine = Machine()
    operand = entry.arguments[0].name
    kind = OBJECTS[entry.name.partition("_")[0]]
    fault = ExceptionCode.STORE_FAULT if entry.name.endswith(CHANGES) else ExceptionCode.LOAD_FAULT
    for address, code in (
        (machine.slot(), None if entry.name in TELLS_WHO_IS_GONE else ExceptionCode.NO_OBJECT),
        (machine.new(other_type(entry.name.partition("_")[0])), kind.wrong_type),
        (machine.addresses[machine.new(kind)] + SLOT_SIZE // 2, ExceptionCode.NOT_ALIGNED),
        (UNMAPPED, fault),
        (0, fault),
        (2**64 - SLOT_SIZE, fault),
    ):
        result = machine.invoke(entry.name, **{operand: address})
        assert result.exception is code
        assert result.subcode == (machine.value(address) if code else 0)


@pytest.mark.parametrize("name", TYPES)
def test_create_says_what_is_wrong_with_an_address(machine: Machine, name: str) -> None:
    for address, code in (
        (machine.slot() + 1, ExceptionCode.NOT_ALIGNED),
        (UNMAPPED, ExceptionCode.STORE_FAULT),
        (2**64 - SLOT_SIZE, ExceptionCode.STORE_FAULT),
    ):
        assert machine.invoke(f"{name}_create", **{name: address}).exception is code


@pytest.mark.parametrize(("name", "link"), LINKS)
def test_link_to_another_type_is_refused_before_anything_changes(machine: Machine, name: str, link: str) -> None:
    target = machine.new(OBJECTS[name])
    wrong = machine.reference(machine.new(Reference))
    before = target.export_bits()
    state = machine.buffer([0] * 100)
    result = machine.invoke(f"{name}_set_state", **{name: target, "state": state, f"{link}_ref": wrong})
    (error,) = [each.error for each in OBJECTS[name].links if each.name == link]
    assert result.exception is error
    assert target.export_bits() == before


@pytest.mark.parametrize("name", STATEFUL)
def test_null_pointers_fetch_nothing_and_change_nothing(machine: Machine, name: str) -> None:
    target = machine.new(OBJECTS[name])
    before = target.export_bits()
    assert machine.invoke(f"{name}_get_state", **{name: target}).exception is None
    assert machine.invoke(f"{name}_set_state", **{name: target}).exception is None
    assert target.export_bits() == before


@pytest.mark.parametrize("name", STATEFUL)
def test_state_goes_nowhere_it_cannot(machine: Machine, name: str) -> None:
    """A bad address is found before anything happens: a thread is not even stopped."""
    target = machine.new(OBJECTS[name])
    for call, code in (("get", ExceptionCode.STORE_FAULT), ("set", ExceptionCode.LOAD_FAULT)):
        result = machine.invoke(f"{name}_{call}_state", **{name: target, "state": UNMAPPED})
        assert result.exception is code


def test_thread_is_not_stopped_by_a_get_state_that_fails(machine: Machine) -> None:
    target = machine.spawn(("burn", 1000))
    machine.spawn(machine.call("thread_get_state", thread=target, state=UNMAPPED), priority=20)
    machine.spawn(machine.call("thread_get_state", thread=target, space_ref=machine.slot()), priority=20)
    machine.run()
    assert machine.done(target)


@pytest.mark.parametrize("name", ["thread_destroy", "thread_move", "thread_get_state", "thread_set_state"])
def test_what_a_thread_cannot_do_to_itself(machine: Machine, name: str) -> None:
    operands: dict[str, Any] = {"new_address": machine.slot()} if name == "thread_move" else {}
    thread = machine.spawn(machine.call(name, thread=machine.next_slot, **operands))
    machine.run()
    assert machine.failure(thread) is ExceptionCode.CURRENT_THREAD


@pytest.mark.parametrize(
    "entry", [entry for entry in ENTRY_POINTS if not entry.is_message], ids=lambda entry: entry.name
)
def test_registers_that_are_no_results_keep_their_values(entry: EntryPoint) -> None:
    machine = Machine()
    operands: dict[str, Any] = {}
    for operand in entry.arguments:
        kind = OBJECTS.get(operand.type.name.lower())
        if operand.kind is Kind.OBJECT:
            assert kind is not None
            operands[operand.name] = machine.new(kind)
        elif operand.kind is Kind.NEW_OBJECT:
            operands[operand.name] = machine.slot()
        elif operand.kind is Kind.REFERENCE and operand.name == "ref":
            operands[operand.name] = machine.reference()
        elif operand.kind in (Kind.STATE_IN, Kind.STATE_OUT):
            operands[operand.name] = machine.buffer(100)
    if entry.name == "thread_return_from_exception":
        return  # it reloads them
    marks = [("li", name, 0xA0 + n) for n, name in enumerate(("s1", "t6", "a6", "a5", "a1", "a2", "a3", "a4"))]
    if entry.name in OWN_CALLS:
        operands["thread"] = machine.next_slot
    thread = machine.spawn(marks, machine.call(entry.name, **operands), priority=20, start=False)
    if entry.name in OWNERS_CALLS:
        operands["mutex"].own(machine.core, thread)
    machine.core.start(thread)
    machine.run()
    if entry.name == "cond_wait":
        machine.invoke("cond_signal", cond=operands["cond"])
    assert machine.done(thread)
    results = {operand.register for operand in entry.results} | {STATUS, ENTRY_POINT}
    given = {operand.register for operand in entry.arguments}
    numbers = {"s1": 9, "t6": 31, "a6": 16, "a5": 15, "a1": 11, "a2": 12, "a3": 13, "a4": 14}
    for n, number in enumerate(numbers.values()):
        if number in results:
            continue
        expected = 0xA0 + n
        if number in given:
            (name,) = [each.name for each in entry.arguments if each.register == number]
            expected = machine.value(operands.get(name, 0))
        assert thread.registers[number] == expected, f"x{number}"
    if not any(operand.register == STATUS for operand in entry.results):
        assert thread.registers[STATUS] == 0


def test_object_is_shared_by_whoever_shares_its_page(machine: Machine) -> None:
    mutex = machine.new(Mutex)
    other = machine.new_space()
    first = machine.spawn(machine.call("mutex_lock", mutex=mutex))
    machine.run()
    second = machine.spawn(machine.call("mutex_trylock", mutex=mutex), space=other)
    machine.run()
    assert machine.register(second, "a0") == Status.MUTEX_HELD
    assert mutex.owner is first


def test_object_in_memory_that_can_only_be_read_can_be_used_but_not_changed(machine: Machine) -> None:
    mutex, space = machine.new(Mutex), machine.new(Space)
    machine.map(space, machine.region, MEMORY, PAGE_SIZE, Prot.READ, offset=MEMORY)
    for name, failure in (
        ("mutex_lock", None),
        ("mutex_unlock", ExceptionCode.MUTEX_NOT_OWNED),
        ("mutex_get_state", None),
        ("mutex_set_state", ExceptionCode.STORE_FAULT),
        ("mutex_move", ExceptionCode.STORE_FAULT),
        ("mutex_destroy", ExceptionCode.STORE_FAULT),
    ):
        thread = machine.spawn(machine.call(name, mutex=mutex), space=space)
        machine.run()
        assert machine.failure(thread) is failure


def test_slots_bytes_are_not_the_kernels(machine: Machine) -> None:
    slot = machine.slot()
    machine.write(slot, [111, 222])
    machine.invoke("mutex_create", mutex=slot)
    machine.invoke("mutex_destroy", mutex=slot)
    assert machine.read(slot, 2) == [111, 222]
    assert slot >= MEMORY


def test_name_of_every_call_in_the_table_is_known() -> None:
    assert {entry.name for entry in OBJECT_CALLS} <= BY_NAME.keys()
    assert len(OBJECT_CALLS) > 40
