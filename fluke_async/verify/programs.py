"""The programs that are verified, with arguments that keep them short and make them pass through all that they can."""

from __future__ import annotations

from fluke_async.errors import FlukeError
from fluke_async.programs import find_program
from fluke_async.verify.closed_run import Program

STDIN = b"one\ntwo\n"
ARGUMENTS: dict[str, tuple[str, ...]] = {
    "hello": ("you",),
    "echo": (),
    "primes": ("300", "3"),
    "clock": ("3", "1"),
    "bulk": ("2", "64"),
    "wild": (),
    "philosophers": ("4", "3"),
    "bounded_buffer": ("3", "2", "12", "3"),
    "inversion": (),
    "shared_memory": ("6",),
    "nested": (),
    "pager": (),
    "memtest": ("256",),
    "cow": (),
    "foreign": ("2",),
    "pingpong": ("2", "3"),
    "pipeline": ("3", "40"),
    "rpc_server": ("2", "2"),
    "fairshare": ("-q", "6", "2", "1"),
    "usertests": (),
}
SENSITIVE = ("clock", "foreign", "inversion", "pingpong", "shared_memory", "usertests")
"""These tell the time, do what they are asked for as often as they are asked, or test what happens when."""


def program(name: str, arguments: tuple[str, ...] | None = None) -> Program:
    """A program to verify; by default with the arguments of the table."""
    if arguments is None:
        arguments = ARGUMENTS.get(name, ())
    return Program(name, find_program(name), arguments, STDIN, name in ARGUMENTS and name not in SENSITIVE)


def all_programs() -> list[Program]:
    """Every program of the table."""
    return [program(name) for name in ARGUMENTS]


def programs(names: tuple[str, ...]) -> list[Program]:
    """
    The programs named; all of the table if none is.

    Raises:
        FlukeError: a program is named twice.
    """
    if len(set(names)) < len(names):
        raise FlukeError(f"a program is named twice among {', '.join(names)}: name each once")
    return [program(name) for name in names] or all_programs()
