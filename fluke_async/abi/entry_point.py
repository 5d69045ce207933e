"""What a row of the table of system calls says, and how rows are numbered."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from fluke_async.abi.codes import ObjectType
from fluke_async.abi.layout import Layout

FIRST_NUMBER = 0x1000
BLOCK_SIZE = 0x40  # numbers reserved for each object type


class Class(Enum):
    """How a call can block (OSDI '99)."""

    TRIVIAL = "trivial"
    SHORT = "short"
    LONG = "long"
    MULTI_STAGE = "multi-stage"


class Kind(Enum):
    """What an argument or a result is; tells the tracer how to print it and C how to declare it."""

    OBJECT = "address of an object"
    NEW_OBJECT = "address where an object is to be"
    REFERENCE = "address of a reference, or null"
    STATE_IN = "address of a state structure to read, or null"
    STATE_OUT = "address of a state structure to write, or null"
    SELF = "address of the calling thread's object"
    VALUE = "number"
    ADDRESS = "address"
    WORDS_OUT = "address of words to write"
    PROGRESS = "how far the call has come"
    WORDS = "number of words"
    COUNT = "number of items"
    STATUS = "status code"


@dataclass(frozen=True, slots=True)
class Operand:
    """An argument or a result: its name, what it is, and the register that holds it."""

    name: str
    kind: Kind
    register: int
    type: ObjectType = ObjectType.NULL


@dataclass(frozen=True, slots=True)
class EntryPoint:
    """One row of the table."""

    number: int
    name: str
    call_class: Class
    object_type: ObjectType
    arguments: tuple[Operand, ...]
    results: tuple[Operand, ...]
    restarts_as: tuple[str, ...]
    cost: int
    summary: str
    state: Layout | None = None
    is_message: bool = False
    waits_on: tuple[ObjectType, ...] = ()
    has_points: bool = False

    @property
    def can_be_cut(self) -> bool:
        """Whether a thread can be stopped in the middle of the call's work, after a part of it was committed."""
        return self.has_points or (self.call_class in (Class.LONG, Class.MULTI_STAGE) and not self.goes_in_steps)

    @property
    def goes_in_steps(self) -> bool:
        """Whether the call does a part of its work at a time, and is as good as called anew for the next."""
        return any(result.kind is Kind.PROGRESS for result in self.results)

    @property
    def touches_memory(self) -> bool:
        """Whether the call looks at the memory behind its arguments, and so may fault."""
        kinds = (Kind.OBJECT, Kind.NEW_OBJECT, Kind.STATE_IN, Kind.STATE_OUT)
        return self.is_message or any(argument.kind in kinds for argument in self.arguments)


class Table:
    """Collects rows; numbers run on within an object's block, in the order of definition."""

    def __init__(self) -> None:
        self.rows: list[EntryPoint] = []

    def add(
        self,
        name: str,
        call_class: Class,
        object_type: ObjectType,
        arguments: tuple[Operand, ...],
        cost: int,
        summary: str,
        *,
        number: int,
        block: int | None = None,
        results: tuple[Operand, ...] = (),
        restarts_as: tuple[str, ...] = (),
        state: Layout | None = None,
        is_message: bool = False,
        waits_on: tuple[ObjectType, ...] = (),
        has_points: bool = False,
    ) -> None:
        base = FIRST_NUMBER + BLOCK_SIZE * (object_type if block is None else block)
        self.rows.append(
            EntryPoint(
                base + number,
                name,
                call_class,
                object_type,
                arguments,
                results,
                restarts_as or (name,),
                cost,
                summary,
                state,
                is_message,
                waits_on,
                has_points,
            )
        )
