"""The tables of the interface agree with themselves and with what they promise."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fluke_async.abi import devices, registers
from fluke_async.abi.codes import (
    COPY_CHUNK_WORDS,
    EXCEPTION_MEANING,
    HARDWARE_EXCEPTIONS,
    PAGE_SIZE,
    SLOT_SIZE,
    STATUS_MEANING,
    WORD_SIZE,
    CondFlags,
    ExceptionCode,
    MutexFlags,
    ObjectType,
    Prot,
    Status,
    ThreadFlags,
)
from fluke_async.abi.entry_point import Class, EntryPoint, Kind
from fluke_async.abi.entry_points import BY_NAME, BY_NUMBER, ENTRY_POINTS
from fluke_async.abi.layout import Layout
from fluke_async.abi.layouts import IPC_PARAMS, LAYOUTS, START_BLOCK, THREAD_STATE

LINUX_LAST_CALL = 0xFFF  # its numbers are below 500 and grow by a few each year

each_entry = pytest.mark.parametrize("entry", ENTRY_POINTS, ids=lambda entry: entry.name)
each_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)


def test_numbers_and_names_are_unique() -> None:
    assert len(BY_NUMBER) == len(BY_NAME) == len(ENTRY_POINTS)


@each_entry
def test_numbers_lie_above_those_of_linux(entry: EntryPoint) -> None:
    assert entry.number > LINUX_LAST_CALL


@each_entry
def test_operands_have_a_register_each(entry: EntryPoint) -> None:
    for operands in (entry.arguments, entry.results):
        assert len({operand.register for operand in operands}) == len(operands)
        assert all(registers.ABI_NAMES[operand.register][0] in "at" for operand in operands)
        assert all(operand.register != registers.ENTRY_POINT for operand in operands)


@each_entry
def test_a_call_restarts_as_calls_that_exist_and_first_as_itself(entry: EntryPoint) -> None:
    assert entry.restarts_as[0] == entry.name
    assert set(entry.restarts_as) <= BY_NAME.keys()
    assert (len(entry.restarts_as) > 1 or entry.goes_in_steps) == (entry.call_class is Class.MULTI_STAGE)


@each_entry
def test_a_stage_finds_its_arguments_where_the_call_before_left_them(entry: EntryPoint) -> None:
    at_entry = {operand.register: operand.name for operand in entry.arguments}
    if entry.name == "cond_wait":  # unlocking puts its mutex where `mutex_lock` takes it
        at_entry[registers.A0] = at_entry[registers.A1]
    for name in entry.restarts_as[1:]:
        for operand in BY_NAME[name].arguments:
            assert at_entry[operand.register] == operand.name


@each_entry
def test_progress_is_kept_in_registers_that_were_arguments(entry: EntryPoint) -> None:
    """What is left to receive is written where the room to receive was named."""
    arguments = {operand.name: operand.register for operand in entry.arguments}
    for result in entry.results:
        assert arguments.get(result.name, result.register) == result.register


@each_entry
def test_calls_that_take_a_state_name_its_structure(entry: EntryPoint) -> None:
    takes_state = any(operand.kind in (Kind.STATE_IN, Kind.STATE_OUT) for operand in entry.arguments)
    assert not takes_state or entry.state in LAYOUTS


@pytest.mark.parametrize("kind", [kind for kind in ObjectType if kind is not ObjectType.NULL])
def test_every_object_can_be_created_destroyed_and_moved(kind: ObjectType) -> None:
    for operation in ("create", "destroy", "move"):
        assert BY_NAME[f"{kind.name.lower()}_{operation}"].object_type is kind


@pytest.mark.parametrize(
    ("prefix", "others"),
    [
        ("mutex", {"reference", "get_state", "set_state", "create_hash", "lock", "trylock", "unlock"}),
        ("cond", {"reference", "get_state", "set_state", "create_hash", "wait", "signal", "broadcast"}),
        ("ref", {"check", "compare", "copy", "hash", "type"}),
        ("port", {"reference", "get_state", "set_state", "create_hash"}),
        ("portset", {"reference", "get_state", "set_state", "create_hash"}),
        ("space", {"reference", "get_state", "set_state", "create_hash"}),
    ],
)
def test_calls_of_a_type_are_those_of_the_manual(prefix: str, others: set[str]) -> None:
    names = {entry.name.partition("_")[2] for entry in ENTRY_POINTS if entry.name.partition("_")[0] == prefix}
    assert names == {"create", "destroy", "move"} | others


@each_entry
def test_only_calls_that_may_sleep_are_waited_in(entry: EntryPoint) -> None:
    """And each of those waits somewhere, in one of its stages, or passes marked points on its way."""
    sleeps = entry.call_class in (Class.LONG, Class.MULTI_STAGE) and not entry.goes_in_steps
    stages = [BY_NAME[name] for name in entry.restarts_as]
    assert sleeps or not entry.waits_on
    assert sleeps == any(stage.waits_on for stage in stages) or entry.has_points


@pytest.mark.parametrize("flags", [ThreadFlags, MutexFlags, CondFlags, Prot], ids=lambda flags: flags.__name__)
def test_flags_are_single_bits_without_gaps(flags: type[ThreadFlags | MutexFlags | CondFlags | Prot]) -> None:
    single = sorted(int(flag) for flag in flags if int(flag).bit_count() == 1)
    assert single == [1 << number for number in range(len(single))]


@each_layout
def test_fields_follow_each_other_without_gaps(layout: Layout) -> None:
    offsets = [layout.offset_of(field.name) for field in layout.fields]
    for (offset, after), field in zip(pairwise([*offsets, layout.size]), layout.fields, strict=True):
        assert after - offset == field.count * WORD_SIZE


def test_an_unknown_field_has_no_offset() -> None:
    with pytest.raises(KeyError):
        START_BLOCK.offset_of("nothing")


def field_values(layout: Layout) -> st.SearchStrategy[dict[str, int | tuple[int, ...]]]:
    word = st.integers(0, 2**64 - 1)
    return st.fixed_dictionaries(
        {field.name: word if field.count == 1 else st.tuples(*[word] * field.count) for field in layout.fields}
    )


@given(data=st.data(), layout=st.sampled_from(LAYOUTS))
def test_what_is_packed_is_unpacked(data: st.DataObject, layout: Layout) -> None:
    values = data.draw(field_values(layout))
    packed = layout.pack(values)
    assert len(packed) == layout.size
    assert layout.unpack(packed) == values
    assert layout.is_complete(values)


def test_what_is_missing_too_much_or_no_word_is_not_complete() -> None:
    values = THREAD_STATE.unpack(bytes(THREAD_STATE.size))
    assert THREAD_STATE.is_complete(dict(reversed(values.items())))
    for name, wrong in (
        ("pc", -1),
        ("pc", 1 << 64),
        ("pc", True),
        ("pc", "1"),
        ("pc", (0,)),
        ("x", 0),
        ("x", (0,) * 31),
        ("x", [0] * 32),
        ("x", (*(0,) * 31, 1 << 64)),
        ("more", 0),
    ):
        assert not THREAD_STATE.is_complete(values | {name: wrong}), (name, wrong)
    assert not THREAD_STATE.is_complete(values | {"x": (0,) * 31, "f": (0,) * 33})
    del values["pc"]
    assert not THREAD_STATE.is_complete(values)
    assert not THREAD_STATE.is_complete(values | {"more": 0})


def test_fields_are_little_endian_words_at_their_offsets() -> None:
    packed = THREAD_STATE.pack({"pc": 0x1234, "x": tuple(range(32))})
    assert struct.unpack_from("<Q", packed, THREAD_STATE.offset_of("pc")) == (0x1234,)
    assert struct.unpack_from("<32Q", packed, THREAD_STATE.offset_of("x")) == tuple(range(32))
    assert struct.unpack_from("<Q", packed, THREAD_STATE.offset_of("fcsr")) == (0,)


def test_message_roles_are_fields_of_the_parameters() -> None:
    fields = {field.name for field in IPC_PARAMS.fields}
    others = {"destination_ref", "portset", "progress_words", "status", "port_alias"}
    for entry in ENTRY_POINTS:
        if entry.is_message:
            assert {operand.name for operand in (*entry.arguments, *entry.results)} <= fields | others


def test_hardware_exceptions_are_causes_of_the_processor() -> None:
    assert all(code < 16 for code in HARDWARE_EXCEPTIONS)  # the standard causes of RISC-V
    assert set(ExceptionCode) - HARDWARE_EXCEPTIONS == {code for code in ExceptionCode if code >= 0x100}


def test_access_rights_are_distinct_bits() -> None:
    assert (Prot.READ, Prot.WRITE, Prot.EXECUTE) == (1, 2, 4)
    assert Prot.ALL == Prot.READ | Prot.WRITE | Prot.EXECUTE


def test_sizes_divide_each_other() -> None:
    assert PAGE_SIZE % SLOT_SIZE == SLOT_SIZE % WORD_SIZE == 0


def test_a_console_message_is_one_copy_chunk() -> None:
    header_words = 3
    assert header_words * WORD_SIZE + devices.CONSOLE_MAX_BYTES <= COPY_CHUNK_WORDS * WORD_SIZE


def test_every_code_has_a_meaning_of_its_own() -> None:
    assert set(STATUS_MEANING) == set(Status)
    assert set(EXCEPTION_MEANING) == set(ExceptionCode)
    assert STATUS_MEANING[Status.MUTEX_HELD] == "somebody owns the mutex"
