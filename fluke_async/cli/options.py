"""The options that `fluke run` and `fluke restore` share: the kernel, and what is done beside the program."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from fluke_async.cli.usage import UsageError, at_least, writable

Model = Literal["interrupt", "process"]
Preemption = Literal["none", "partial", "full"]

PERIOD = re.compile(r"([0-9]{1,18})(ms|s|)")
SECONDS = {"ms": 0.001, "s": 1.0}


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


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Course:
    """What is done while the program runs, and after it."""

    budget: int | None = None
    """Stop after exactly this many instructions, with exit status 1."""
    stats: Annotated[bool, Parameter(negative="")] = False
    """Print a table of what happened on standard error."""
    json: Annotated[bool, Parameter(negative="")] = False
    """Print one JSON object, with output, exit and statistics, at the end, instead of the output."""
    uvloop: bool | None = None
    """Use the event loop of uvloop; the default is to use it where it is installed."""
    control: Path | None = None
    """Make a Unix socket for `fluke ps`, `checkpoint`, `suspend` and `resume`, while the program runs."""
    checkpoint_every: str | None = None
    """Make an image after so many instructions, exactly, again and again; or after host time, as 500ms or 10s."""
    image: Path | None = None
    """Keep the newest of these images in this file."""


@dataclass(frozen=True, slots=True)
class Period:
    """How long it is from one image to the next: instructions, or seconds of host time."""

    instructions: int | None = None
    seconds: float = 0.0


def period_of(text: str) -> Period:
    """
    What `--checkpoint-every` says.

    Raises:
        UsageError: it is neither a number of instructions nor a time, or nothing.
    """
    found = PERIOD.fullmatch(text)
    if found is None or int(found[1]) == 0:
        raise UsageError(
            f"--checkpoint-every {text} is neither instructions nor time; give a number from 1 up, or one with ms or s"
        )
    number, unit = int(found[1]), found[2]
    return Period(seconds=number * SECONDS[unit]) if unit else Period(instructions=number)


def check(machine: Machine, course: Course) -> None:
    """
    Look at what can be told before anything is begun.

    Raises:
        UsageError: a number is too small, a file cannot be written, or an option needs another one.
    """
    at_least(1, "--budget", course.budget)
    if machine.trace is not None:
        writable("--trace", machine.trace)
    if course.checkpoint_every is not None:
        if course.image is None:
            raise UsageError("--checkpoint-every needs a file to keep images in; give it with --image FILE")
        period_of(course.checkpoint_every)
    if course.image is not None:
        if course.checkpoint_every is None:
            raise UsageError("--image needs to know when; give --checkpoint-every with instructions, or 500ms or 10s")
        if course.image.exists() and not course.image.is_file():
            raise UsageError(f"--image {course.image} is no file; give a file in a folder of yours")
        writable("--image", course.image)
