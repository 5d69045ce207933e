"""Checks of what a program hands in as a state; each raises the program exception that says what was wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.abi.codes import PAGE_SIZE, ExceptionCode, Prot
from fluke_async.errors import KernelBug
from fluke_async.kernel.exceptions import ProgramException

if TYPE_CHECKING:
    from fluke_async.kernel.objects.base import StateBits
    from fluke_async.kernel.objects.thread import Thread

ADDRESS_END = 1 << 64


def mistake(by: Thread | None, code: ExceptionCode, subcode: int) -> Exception:
    """The exception of the thread that called, or a bug of ours if the host did."""
    if by is None:
        return KernelBug(f"the host loaded an invalid state: {code.name} {subcode:#x}")
    return ProgramException(by, code, subcode)


def number(bits: StateBits, name: str) -> int:
    """A field that is one word."""
    value = bits[name]
    assert isinstance(value, int)
    return value


def page_range(by: Thread | None, bits: StateBits, start_name: str, size_name: str) -> tuple[int, int]:
    """A page-aligned range that does not wrap."""
    start, size = number(bits, start_name), number(bits, size_name)
    if start % PAGE_SIZE or size % PAGE_SIZE:
        raise mistake(by, ExceptionCode.NOT_ALIGNED, start if start % PAGE_SIZE else size)
    if start + size > ADDRESS_END:
        raise mistake(by, ExceptionCode.INVALID_ADDRESS, start)
    return start, size


def protection(by: Thread | None, bits: StateBits) -> int:
    """Access rights in a state."""
    return check_protection(by, number(bits, "prot"))


def check_protection(by: Thread | None, prot: int) -> int:
    """Access rights."""
    if prot & ~int(Prot.ALL):
        raise mistake(by, ExceptionCode.INVALID_PROT, prot)
    return prot
