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
    "checkpoint": ("-n", "2", "-e", "100", "1"),
    "pager": (),
    "memtest": ("256",),
    "cow": (),
    "foreign": ("2",),
    "pingpong": ("2", "3"),
    "pipeline": ("3", "40"),
    "rpc_server": ("2", "2"),
    "fairshare": ("-q", "6", "2", "1"),
    "manager": ("-c", "2", "echo"),
    "usertests": (),
}
FILES: dict[str, tuple[str, ...]] = {"manager": ("echo",)}
"""Programs that a program has in its store."""

SENSITIVE = ("checkpoint", "clock", "foreign", "inversion", "manager", "pingpong", "shared_memory", "usertests")
"""These tell the time, do what they are asked for as often as they are asked, or test what happens when."""


def program(name: str, arguments: tuple[str, ...] | None = None, harts: int = 1, seed: int = 0) -> Program:
    """A program to verify; by default with the arguments of the table, on one hart."""
    if arguments is None:
        arguments = ARGUMENTS.get(name, ())
    is_indifferent = name in ARGUMENTS and name not in SENSITIVE
    files = {file: find_program(file) for file in FILES.get(name, ())}
    return Program(name, find_program(name), arguments, STDIN, is_indifferent, harts, seed, files)


def programs(names: tuple[str, ...], harts: int = 1, seed: int = 0) -> list[Program]:
    """
    The programs named; all of the table if none is.

    Raises:
        FlukeError: a program is named twice.
    """
    if len(set(names)) < len(names):
        raise FlukeError(f"a program is named twice among {', '.join(names)}: name each once")
    return [program(name, harts=harts, seed=seed) for name in names or ARGUMENTS]
