"""References: whether what they refer to is there, and whether it is the same."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import ExceptionCode, ObjectType, Status
from fluke_async.kernel.handlers import OBJECTS, UNREFERENCED
from fluke_async.kernel.objects.base import KernelObject
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.reference import Reference
from tests.kernel.machine import UNMAPPED, Machine

REFERENCED = [name for name in OBJECTS if name not in UNREFERENCED]


def check_of(machine: Machine, reference: Reference) -> int:
    result = machine.invoke("ref_check", ref=reference)
    assert result.exception is None
    return result.status


def same(machine: Machine, one: Reference, other: Reference) -> int:
    """What comparing says, either way round."""
    results = [machine.invoke("ref_compare", ref=a, other=b) for a, b in ((one, other), (other, one))]
    assert [result.exception for result in results] == [None, None]
    assert results[0].status == results[1].status
    return results[0].status


@pytest.mark.parametrize("name", REFERENCED)
def test_reference_is_good_until_its_target_is_destroyed(machine: Machine, name: str) -> None:
    target, reference = machine.new(OBJECTS[name]), machine.reference()
    assert check_of(machine, reference) == 0
    machine.invoke(f"{name}_reference", **{name: target, "ref": reference})
    assert check_of(machine, reference) == 1
    machine.invoke(f"{name}_move", **{name: target, "new_address": machine.slot()})
    assert check_of(machine, reference) == 1
    slot = machine.slot()
    machine.invoke("ref_move", ref=reference, new_address=slot)
    assert machine.found(slot) is reference
    assert check_of(machine, reference) == 1
    machine.core.destroy(target)
    assert check_of(machine, reference) == 0


def test_references_are_the_same_if_they_refer_to_one_object(machine: Machine) -> None:
    first, second = machine.new(Mutex), machine.new(Mutex)
    one, again, other, null = (machine.reference(target) for target in (first, first, second, None))
    assert same(machine, one, again) == 1
    assert same(machine, one, one) == 1
    assert same(machine, one, other) == 0
    assert same(machine, one, null) == 0
    assert same(machine, null, machine.reference()) == 1


def test_reference_to_what_is_gone_is_like_one_to_nothing(machine: Machine) -> None:
    first, second = machine.new(Mutex), machine.new(Mutex)
    one, other, null = machine.reference(first), machine.reference(second), machine.reference()
    machine.invoke("mutex_destroy", mutex=first)
    assert (check_of(machine, one), same(machine, one, other), same(machine, one, null)) == (0, 0, 1)
    machine.invoke("mutex_destroy", mutex=second)
    assert same(machine, one, other) == 1


def test_new_object_with_the_name_and_the_hash_of_the_old_one_is_another(machine: Machine) -> None:
    slot = machine.slot()
    old, new = machine.reference(), machine.reference()
    for reference in (old, new):
        machine.invoke("mutex_create_hash", mutex=slot, hash=77)
        machine.invoke("mutex_reference", mutex=slot, ref=reference)
        if reference is old:
            machine.invoke("mutex_destroy", mutex=slot)
    assert (check_of(machine, old), check_of(machine, new)) == (0, 1)
    assert same(machine, old, new) == 0
    assert machine.invoke("ref_hash", ref=new).status == 77
    assert machine.invoke("ref_hash", ref=old).status == 0


def test_copy_refers_to_the_same_and_lives_on_by_itself(machine: Machine) -> None:
    target = machine.new(Mutex)
    one, copy = machine.reference(target), machine.reference(machine.new(Mutex))
    assert machine.invoke("ref_copy", source=one, destination=copy).status == Status.SUCCESS
    assert same(machine, one, copy) == 1
    machine.invoke("ref_destroy", ref=one)
    assert check_of(machine, copy) == 1
    assert target.active


def test_copy_of_a_reference_to_what_is_gone_is_null(machine: Machine) -> None:
    gone = machine.new(Mutex)
    one, copy = machine.reference(gone), machine.reference(machine.new(Mutex))
    machine.core.destroy(gone)
    machine.invoke("ref_copy", source=one, destination=copy)
    assert check_of(machine, copy) == 0
    assert machine.invoke("ref_type", ref=copy).status == ObjectType.NULL


@pytest.mark.parametrize(
    ("call", "names"), [("ref_compare", ("ref", "other")), ("ref_copy", ("source", "destination"))]
)
def test_each_operand_is_looked_at(machine: Machine, call: str, names: tuple[str, str]) -> None:
    target = machine.new(Mutex)
    good = machine.reference(target)
    wrong: tuple[tuple[int | KernelObject, ExceptionCode], ...] = (
        (target, ExceptionCode.NOT_REF),
        (machine.slot(), ExceptionCode.NO_OBJECT),
        (UNMAPPED, ExceptionCode.LOAD_FAULT),
        (0, ExceptionCode.LOAD_FAULT),
        (1, ExceptionCode.NOT_ALIGNED),
    )
    for bad, code in wrong:
        for number, name in enumerate(names):
            operands = {name: bad, names[1 - number]: good}
            result = machine.invoke(call, **operands)
            assert (result.exception, result.subcode) == (code, machine.value(bad))
    assert good.target is target
