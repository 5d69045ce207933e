"""A system call as Python makes it: operands by name, what comes back, and what can be wrong."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Self

from fluke_async.abi.codes import EXCEPTION_MEANING, STATUS_MEANING, ExceptionCode, Status
from fluke_async.abi.entry_point import EntryPoint, Kind
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.errors import FlukeError
from fluke_async.kernel.exceptions import ProgramException

WORD_END = 1 << 64
FOR_CODE = ("thread_set_handlers", "thread_return_from_exception")
REMEDIES = {
    ExceptionCode.LOAD_FAULT: "use an address of this host thread's memory",
    ExceptionCode.STORE_FAULT: "use an address of this host thread's memory that can be written",
    ExceptionCode.NO_OBJECT: "use an object that has not been destroyed, where it was made",
    ExceptionCode.OBJECT_EXISTS: "destroy that object first, or choose another place",
    ExceptionCode.NOT_ALIGNED: "place objects at multiples of 16 bytes, mappings and regions at whole pages",
    ExceptionCode.BUFFER_UNALIGNED: "use addresses that are multiples of 8",
    ExceptionCode.MUTEX_LOCKED: "unlock it first, or lock it with another host thread",
    ExceptionCode.MUTEX_NOT_OWNED: "lock it first, with this host thread",
    ExceptionCode.CURRENT_THREAD: "leave a host thread by the end of its `async with` block",
    ExceptionCode.HOST_THREAD: "leave it to that task",
    ExceptionCode.OUT_OF_MEMORY: 'give the kernel more memory, such as memory="128M"',
}


@dataclass(frozen=True, slots=True)
class SystemCallResult:
    """
    How a call ended.

    `status` is a0, `results` holds what the table of system calls names, `registers` are x0 to x31.
    """

    status: int
    results: Mapping[str, int]
    registers: tuple[int, ...]


class SystemCallError(FlukeError):
    """
    A host thread's call was a mistake, or failed.

    `code` and `subcode` are the exception that a program would have got; `status` is what a call returned that failed.
    """

    def __init__(
        self,
        message: str,
        *,
        code: ExceptionCode | None = None,
        subcode: int = 0,
        status: Status | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.subcode = subcode
        self.status = status

    @classmethod
    def of_mistake(cls, what: str, code: ExceptionCode, subcode: int) -> Self:
        """The error for an exception; `what` was being done."""
        cause = f"{code.name}, {subcode:#x}: {EXCEPTION_MEANING[code]}"
        remedy = REMEDIES.get(code, "correct what was asked for")
        return cls(f"{what}: {cause}; {remedy}", code=code, subcode=subcode)

    @classmethod
    def of_exception(cls, what: str, exception: ProgramException) -> Self:
        """The same, where the kernel raised it."""
        return cls.of_mistake(what, exception.code, exception.subcode)

    @classmethod
    def of_status(cls, what: str, status: Status) -> Self:
        """The error for a status that should not have come."""
        remedy = 'give the kernel more memory, such as memory="128M"' if status is Status.NO_MEMORY else "see to it"
        if status in (Status.INVALID_DEST, Status.IPC_CONNECT_INVALID_DEST):
            remedy = "use a port that is there"
        return cls(f"{what}: {status.name}, {STATUS_MEANING[status]}; {remedy}", status=status)


def find_entry_point(name: str) -> EntryPoint:
    """
    The row of the table.

    Raises:
        FlukeError: there is none, or the call makes sense only for threads with code.
    """
    entry = BY_NAME.get(name)
    if entry is None:
        like = get_close_matches(str(name), BY_NAME, n=1)
        raise FlukeError(f"system call {name!r} does not exist: use " + (like[0] if like else "a name of the table"))
    if name in FOR_CODE:
        raise FlukeError(f"{name} is for threads with code: a host thread gets its exceptions as SystemCallError")
    return entry


def argument_registers(entry: EntryPoint, operands: Mapping[str, object]) -> dict[int, int]:
    """
    The argument registers of a call; an operand that is not given is 0.

    Raises:
        FlukeError: the call has no such operand, or a value is no 64-bit word.
    """
    registers = {operand.name: operand.register for operand in entry.arguments}
    words = dict.fromkeys(registers.values(), 0)
    for name, value in operands.items():
        if name not in registers:
            raise FlukeError(f"{entry.name} has no operand {name!r}: it has {', '.join(registers) or 'none'}")
        if not isinstance(value, int) or not 0 <= value < WORD_END:
            raise FlukeError(
                f"{entry.name}: {name}={value!r} is no word: give a number from 0 to 2**64 - 1, or an object"
            )
        words[registers[name]] = value
    return words


def result_of(entry: EntryPoint, registers: tuple[int, ...]) -> SystemCallResult:
    """What a call returned."""
    results = {operand.name: registers[operand.register] for operand in entry.results}
    return SystemCallResult(registers[10], results, registers)


def has_status(entry: EntryPoint) -> bool:
    """Whether a call returns a status."""
    return any(operand.kind is Kind.STATUS for operand in entry.results)
