"""`fluke run`: one program on a kernel of its own."""

from __future__ import annotations

import dataclasses
import sys
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from fluke_async.cli.event_loop import run_async
from fluke_async.cli.host_input import host_input
from fluke_async.cli.usage import at_least, writable

Model = Literal["interrupt", "process"]
Preemption = Literal["none", "partial", "full"]


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Machine:
    """The kernel that a program runs on."""

    model: Model = "interrupt"
    """Execution model: what is kept of a system call that waits."""
    preemption: Preemption = "partial"
    """Where a system call may be preempted; "full" needs the process model."""
    cpus: int = 1
    """Number of harts: so many threads run at a time."""
    memory: str = "64M"
    """Size of the kernel's memory, in bytes or as 64K, 64M, 1G."""
    clock: Literal["virtual", "real"] = "virtual"
    """Virtual time counts instructions and skips idle time."""
    seed: int = 0
    """Draws the turns of several harts: each seed is another interleaving; 0 draws nothing."""
    trace: Path | None = None
    """Write the trace to this file, as JSON lines."""


def run(
    program: str,
    /,
    *arguments: str,
    machine: Machine | None = None,
    budget: int | None = None,
    stats: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
    uvloop: bool | None = None,
    control: Path | None = None,
) -> int:
    """
    Run a user program; the exit status is the program's.

    What the program writes goes to standard output as it comes.

    Args:
        program: A name from `fluke list`, or the path of an RV64 ELF file.
        arguments: The program's arguments; everything after PROGRAM is the program's.
        machine: The kernel that it runs on.
        budget: Stop after exactly this many instructions, with exit status 1.
        stats: Print a table of what happened on standard error.
        json: Print one JSON object, with output, exit and statistics, instead of the output.
        uvloop: Use the event loop of uvloop; the default is to use it where it is installed.
        control: Make a Unix socket for `fluke ps`, `suspend` and `resume`, while the program runs.
    """
    machine = machine or Machine()
    at_least(1, "--budget", budget)
    if machine.trace is not None:
        writable("--trace", machine.trace)
    outcome = run_async(partial(run_program, machine, program, list(arguments), budget, control, collect=json), uvloop)
    if json:
        sys.stdout.buffer.write(outcome.as_json())
    if stats and not json:
        outcome.print_statistics()
    if outcome.message:
        print(f"fluke: {outcome.message}", file=sys.stderr)
    return outcome.status & 0xFF if outcome.reason == "exited" else 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run came to."""

    status: int
    reason: str
    message: str
    output: str
    statistics: dict[str, Any]

    def as_json(self) -> bytes:
        import orjson  # noqa: PLC0415  (start-up time)

        return orjson.dumps(self, option=orjson.OPT_APPEND_NEWLINE)

    def print_statistics(self) -> None:
        from fluke_async.cli.tables import print_table  # noqa: PLC0415  (start-up time)

        rows = [(name.replace("_", " "), value) for name, value in self.statistics.items()]
        print_table(("what happened", "count"), rows, file=sys.stderr)


def note_exception(message: str) -> None:
    """Say at once that a thread has stopped: the program may go on without it for ever."""
    print(f"fluke: {message}; its other threads go on", file=sys.stderr, flush=True)


async def run_program(
    machine: Machine, program: str, arguments: list[str], budget: int | None, control: Path | None, *, collect: bool
) -> Outcome:
    """Run the program to its end, printing what it writes, or collecting it."""
    import fluke_async as fluke  # noqa: PLC0415  (wrong usage is told without it)

    settings = {field.name: getattr(machine, field.name) for field in dataclasses.fields(machine)}
    collected = bytearray()
    async with AsyncExitStack() as stack:
        kernel = await stack.enter_async_context(fluke.Kernel(**settings))
        if control is not None:
            await stack.enter_async_context(kernel.control(control))
        process = await kernel.spawn(program, args=arguments, stdin=host_input(), budget=budget)
        process.on_thread_exception = note_exception
        async for chunk in process.stdout:
            if collect:
                collected += chunk
            else:
                sys.stdout.buffer.write(chunk)
                sys.stdout.buffer.flush()
        end = await process.wait()
        statistics = dataclasses.asdict(kernel.statistics())
    output = collected.decode("utf-8", "replace")
    return Outcome(end.status, end.reason, end.message, output, statistics)
