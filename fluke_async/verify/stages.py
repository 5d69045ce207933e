"""
Two calls followed through all their stages: the page `stages.md`, made by running them.

`python -m fluke_async.verify.stages` writes the page; `--check` says if it is stale. A small program makes the calls. A
probe looks at its first thread at every point, which is where it could be exported; what is shown is what its
registers say there, wherever that has changed. Addresses are shown as what they are in the call.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from fluke_async.abi.entry_point import EntryPoint, Kind
from fluke_async.abi.entry_points import BY_NAME, BY_NUMBER
from fluke_async.abi.generated import run_generator
from fluke_async.abi.markdown import NOTICE
from fluke_async.abi.pages import DIRECTORY
from fluke_async.abi.registers import A0, ABI_NAMES, ENTRY_POINT
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.probe import Point
from fluke_async.programs import find_program
from fluke_async.verify.closed_run import ClosedRun, Program

CALLS = ("cond_wait", "ipc_client_connect_send_over_receive")
PROGRAM = "stages"
OFFSET_MAX = 1 << 16  # how far a register moves along what it points to
POINTERS = (Kind.OBJECT, Kind.ADDRESS)
INTRODUCTION = """\
What the registers of a thread say in the middle of two calls: each row is a state in which it can be stopped and read
out, as it was seen in a run of [stages.c](../tests/stages.c); what has changed is in bold. Until the call is done its
program counter is on the `ecall`, so each row is a call that does what is left."""


class Stage(NamedTuple):
    """A thread's state at a point: its registers, what it waits for, and whether its call is over."""

    registers: tuple[int, ...]
    waits_for: str
    is_over: bool


class Follower:
    """A probe that notes how the states of a program's first thread follow each other in the calls."""

    def __init__(self, thread: Thread) -> None:
        self.thread = thread
        self.stages: dict[str, list[Stage]] = {}
        self._call = ""
        self._pc = 0

    def __call__(self, point: Point, subject: Thread) -> bool:
        thread = self.thread
        name = BY_NUMBER[thread.registers[ENTRY_POINT]].name if thread.registers[ENTRY_POINT] in BY_NUMBER else ""
        if point is Point.TRAP and subject is thread and name in CALLS and name not in self.stages:
            self._call, self._pc, self.stages[name] = name, thread.pc, []
        if self._call:
            waits_for = "" if thread.waiting_for is None else thread.waiting_for.type.name.lower()
            stage = Stage(tuple(thread.registers), waits_for, thread.pc != self._pc)
            seen = self.stages[self._call]
            if not seen or seen[-1] != stage:
                seen.append(stage)
            if stage.is_over:
                self._call = ""
        return False


def stages_of(model: str = "interrupt", preemption: str = "partial") -> dict[str, list[Stage]]:
    """The stages of each call, from a run."""
    run = ClosedRun(Program(PROGRAM, find_program(PROGRAM)), model, preemption)
    follower = Follower(run.threads[0])
    try:
        run.run(follower)
    finally:
        run.close()
    return follower.stages


def _shown(entry: EntryPoint, first: Stage, stage: Stage, register: int) -> str:
    """A register's value; an address is told by which argument it was when the call was made."""
    value = stage.registers[register]
    if register == ENTRY_POINT:
        return f"`{BY_NUMBER[value].name}`"
    if register == A0 and stage.is_over:
        return str(value)
    for argument in entry.arguments:
        offset = value - first.registers[argument.register]
        points = argument.kind in POINTERS and first.registers[argument.register] != 0
        moved = register == argument.register and 0 < offset < OFFSET_MAX
        if points and (offset == 0 or moved):
            return f"`{argument.name}`" + f" + {offset}" * moved
    return str(value)


def _section(name: str, stages: list[Stage]) -> Iterator[str]:
    entry, first = BY_NAME[name], stages[0]
    used = [argument.register for argument in entry.arguments]
    columns = [ENTRY_POINT, *(each for each in used if any(stage.registers[each] for stage in stages))]
    yield from (f"## {name}", "", entry.summary, "")
    yield "| waits for | " + " | ".join(f"`{ABI_NAMES[register]}`" for register in columns) + " |"
    yield "|---" * (1 + len(columns)) + "|"
    before: list[str] = []
    for stage in stages:
        cells = [_shown(entry, first, stage, register) for register in columns]
        state = "*done*" if stage.is_over else stage.waits_for or "nothing: it runs"
        marked = [
            f"**{new}**" if before and new != old else new for new, old in zip(cells, before or cells, strict=True)
        ]
        yield f"| {state} | " + " | ".join(marked) + " |"
        before = cells
    yield ""


def files() -> dict[Path, str]:
    """The page and its text."""
    lines = [
        "# Two calls, stage by stage",
        "",
        NOTICE.replace("fluke_async.abi.pages", "fluke_async.verify.stages"),
        "",
        INTRODUCTION,
        "",
        *(line for name, stages in stages_of().items() for line in _section(name, stages)),
    ]
    return {DIRECTORY / "stages.md": "\n".join(lines).rstrip() + "\n"}


if __name__ == "__main__":
    sys.exit(run_generator(files(), sys.argv[1:]))
