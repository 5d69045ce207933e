"""What task groups make of an exception: a group with one member, or a group of such groups."""

from __future__ import annotations


def unwrapped(error: BaseException, whole: BaseException | None) -> BaseException:
    """The one exception that was wrapped, where it is one; `whole` is taken for one."""
    while error is not whole and isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
