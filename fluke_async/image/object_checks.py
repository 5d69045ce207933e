"""What must hold for one object of an image: its state is complete, and the kernel would load it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import cast

from fluke_async.abi.codes import (
    FAULT_IN_CALL,
    PAGE_SIZE,
    PRIORITY_MAX,
    USER_END,
    USER_START,
    CondFlags,
    ExceptionCode,
    MutexFlags,
    Prot,
    ThreadFlags,
)
from fluke_async.abi.entry_point import Class
from fluke_async.abi.entry_points import BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.image.kinds import INSIDE_ONLY, KINDS
from fluke_async.image.manifest import ObjectRecord, Target
from fluke_async.image.refusal import brief, refusal

WORD_END = 1 << 64
SIGN = 1 << 63
STAMP_MAX = 1 << 63
QUANTUM_MAX = 1_000_000
EXCEPTIONS = frozenset({0, *ExceptionCode})
FAULT_ACCESSES = frozenset({0, *Prot, *(int(access) | FAULT_IN_CALL for access in Prot)})
THREAD_FLAGS, MUTEX_FLAGS, COND_FLAGS = (
    sum(int(flag) for flag in flags) for flags in (ThreadFlags, MutexFlags, CondFlags)
)
STOPPED, IN_CALL = int(ThreadFlags.STOPPED), int(ThreadFlags.IN_CALL)
BOTH = int(ThreadFlags.IDEMPOTENT | ThreadFlags.SERVER_SENDER)
PAGE_MASK = PAGE_SIZE - 1
NOT_TO_ITSELF = ("waiting_for", *sorted(INSIDE_ONLY))

Numbers = Mapping[str, int]


def where(record: ObjectRecord) -> str:
    """An object in words."""
    return f"the {record.type} at {record.offset:#x}"


def check_object(record: ObjectRecord, types: Mapping[int, str], outside: Mapping[str, str]) -> None:
    """
    Refuse an object that could not be created and loaded among the others, whose types are known by offset.

    Raises:
        ImageError: which word or link is wrong.
    """
    numbers = _check_words(record)
    _check_links(record, types, outside)
    if numbers.get("hash") == 0:
        raise refusal(f"{where(record)} has the hash 0, which no object has")
    for name, is_wrong in RULES.get(record.type, {}).items():
        if is_wrong(numbers):
            raise refusal(f"{where(record)} cannot have {numbers[name]:#x} as {name}")
    if record.type == "thread":
        _check_thread(record, numbers, lambda target: types[target] if isinstance(target, int) else outside[target])
    elif record.type == "mutex" and record.links["owner"] is not None and not numbers["locked"]:
        raise refusal(f"{where(record)} has an owner and is not locked")


def _check_words(record: ObjectRecord) -> Numbers:
    """All words of the state are there and are words; the state, for those that stand alone."""
    layout, state = KINDS[record.type].layout, record.state
    if layout is not None and layout.is_complete(state):
        return cast("Numbers", state)
    fields = () if layout is None else layout.fields
    for field in fields:
        value = state.get(field.name)
        words = (value,) if isinstance(value, int) else value or ()
        if len(words) != field.count or isinstance(value, int) != (field.count == 1):
            raise refusal(f"{where(record)} has {len(words)} words of {field.name}: it must have {field.count}")
        if not all(type(word) is int and 0 <= word < WORD_END for word in words):
            raise refusal(f"{where(record)} has a number in {field.name} that is no word of 64 bits")
    if len(state) != len(fields):
        raise refusal(f"{where(record)} has {len(state)} fields: a {record.type} has {len(fields)}")
    return {}


def _check_links(record: ObjectRecord, types: Mapping[int, str], outside: Mapping[str, str]) -> None:
    links = KINDS[record.type].links
    if record.links.keys() != links.keys():
        raise refusal(f"{where(record)} has {len(record.links)} links: it must have {', '.join(links) or 'none'}")
    for name, permitted in links.items():
        target = record.links[name]
        if target is None:
            continue
        found = types.get(target) if isinstance(target, int) else outside.get(target)
        if found not in permitted:
            raise refusal(f"{where(record)} has a link {name} to {_shown(target)}, where no {_either(permitted)} is")
        if isinstance(target, str) and name in INSIDE_ONLY:
            raise refusal(f"{where(record)} has a link {name} to {_shown(target)}: it cannot lead outside")


def _check_thread(record: ObjectRecord, numbers: Numbers, type_of: Callable[[int | str], str]) -> None:
    """A thread is parked, and stands in the middle of a call, only where its registers or its question say so."""
    registers = record.state["x"]
    assert isinstance(registers, tuple)
    number = registers[ENTRY_POINT]
    entry = BY_NUMBER.get(number)
    waits_for = record.links["waiting_for"]
    asks = bool(numbers["fault_access"]), bool(numbers["exception"])
    if isinstance(waits_for, str) and (any(asks) or type_of(waits_for) != "port"):
        raise refusal(f"{where(record)} waits for {_shown(waits_for)}: outside, only calls to ports are waited for")
    if waits_for is not None:
        if all(asks):
            raise refusal(f"{where(record)} asks about a fault and an exception at once")
        if any(asks):
            may_wait = type_of(waits_for) in ("port", "thread")
        else:
            may_wait = entry is not None and entry.call_class not in (Class.TRIVIAL, Class.SHORT)
        if not may_wait:
            raise refusal(f"{where(record)} waits for {_shown(waits_for)}, and its call {number:#x} does not wait")
    if numbers["flags"] & IN_CALL and (entry is None or not entry.can_be_cut):
        raise refusal(f"{where(record)} is in the middle of its call {number:#x}, which has none")
    for name in NOT_TO_ITSELF:
        if record.links[name] == record.offset:
            raise refusal(f"{where(record)} has a link {name} to itself")


def _signed(word: int) -> int:
    return word - WORD_END if word >= SIGN else word


Rule = Callable[[Numbers], object]
"""Whether a word is wrong, or part of what is wrong, among the words of a state."""

_RANGE: dict[str, Rule] = {
    "start_va": lambda state: state["start_va"] & PAGE_MASK or state["start_va"] + state["size"] > WORD_END,
    "size": lambda state: state["size"] & PAGE_MASK,
    "prot": lambda state: state["prot"] > Prot.ALL,
}
RULES: dict[str, dict[str, Rule]] = {
    "thread": {
        "flags": lambda state: (
            state["flags"] & ~THREAD_FLAGS or not state["flags"] & STOPPED or state["flags"] & BOTH == BOTH
        ),
        "priority": lambda state: state["priority"] > PRIORITY_MAX,
        "wait_order": lambda state: state["wait_order"] > STAMP_MAX,
        "run_order": lambda state: state["run_order"] > STAMP_MAX,
        "quantum_left": lambda state: _signed(state["quantum_left"]) > QUANTUM_MAX,
        "exception": lambda state: state["exception"] not in EXCEPTIONS,
        "exception_subcode": lambda state: state["exception_subcode"] and not state["exception"],
        "fault_access": lambda state: state["fault_access"] not in FAULT_ACCESSES,
        "fault_address": lambda state: state["fault_address"] and not state["fault_access"],
        "fcsr": lambda state: state["fcsr"] > 0xFF,
    },
    "region": _RANGE,
    "mapping": _RANGE
    | {
        "region_off": lambda state: state["region_off"] & PAGE_MASK or state["region_off"] + state["size"] > WORD_END,
        "start_va": lambda state: (
            _RANGE["start_va"](state)
            or (state["size"] and not USER_START <= state["start_va"] <= state["start_va"] + state["size"] <= USER_END)
        ),
    },
    "mutex": {
        "flags": lambda state: state["flags"] & ~MUTEX_FLAGS,
        "locked": lambda state: state["locked"] > 1,
        "ceiling": lambda state: state["ceiling"] > PRIORITY_MAX,
    },
    "cond": {"flags": lambda state: state["flags"] & ~COND_FLAGS},
}


def _shown(target: Target) -> str:
    return f"{target:#x}" if isinstance(target, int) else brief(target)


def _either(permitted: frozenset[str]) -> str:
    return " or ".join(sorted(permitted))
