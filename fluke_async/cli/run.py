"""`fluke run` and `fluke restore`: one program on a kernel of its own, from its start or from an image."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from fluke_async.cli.event_loop import run_async
from fluke_async.cli.host_input import host_input
from fluke_async.cli.options import Course, Machine, Period, check, period_of
from fluke_async.cli.printed_output import PrintedOutput
from fluke_async.cli.usage import CommandFailed, readable
from fluke_async.errors import FlukeError

if TYPE_CHECKING:
    from fluke_async.embedding.kernel import Kernel
    from fluke_async.embedding.process import Process
    from fluke_async.image.image import Image

Begin = Callable[["Kernel"], Awaitable["Process"]]


def run(program: str, /, *arguments: str, machine: Machine | None = None, course: Course | None = None) -> int:
    """
    Run a user program; the exit status is the program's.

    What the program writes goes to standard output as it comes.

    Args:
        program: A name from `fluke list`, or the path of an RV64 ELF file.
        arguments: The program's arguments; everything after PROGRAM is the program's.
        machine: The kernel that it runs on.
        course: What is done beside.
    """
    machine, course = machine or Machine(), course or Course()
    check(machine, course)

    async def begin(kernel: Kernel) -> Process:
        return await kernel.spawn(program, args=arguments, stdin=host_input(), budget=course.budget)

    return carry_out(machine, course, begin)


def restore(image: Path, /, *, machine: Machine | None = None, course: Course | None = None) -> int:
    """
    Let a program go on from an image; the exit status is the program's.

    Its output continues where the image has it. Its input is first what the image has of it and then standard input,
    from its beginning: give </dev/null where nothing is to come. A budget is by default what was left of its own.

    Args:
        image: A file that `fluke run --image`, `fluke checkpoint` or `Image.save` has written.
        machine: The kernel that it goes on in, which need not be like the one that it comes from.
        course: What is done beside.
    """
    machine, course = machine or Machine(), course or Course()
    check(machine, course)
    loaded = load(image)

    async def begin(kernel: Kernel) -> Process:
        try:
            return await kernel.restore(loaded, stdin=host_input(), budget=course.budget)
        except FlukeError as error:
            raise CommandFailed(f"{image} cannot be restored: {error}") from None

    return carry_out(machine, course, begin, loaded.manifest.devices["console"].state["written"])


def load(path: Path) -> Image:
    """An image from a file."""
    from fluke_async.errors import ImageError  # noqa: PLC0415  (start-up time)
    from fluke_async.image.image import Image  # noqa: PLC0415  (start-up time)

    readable(path)
    try:
        return Image.load(path)
    except ImageError as error:
        raise CommandFailed(str(error)) from None


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


def carry_out(machine: Machine, course: Course, begin: Begin, written: int = 0) -> int:
    """Run what `begin` makes, whose output continues at `written`, say what it came to, and return its status."""
    outcome = run_async(partial(see_through, machine, course, begin, written), course.uvloop)
    if course.json:
        sys.stdout.buffer.write(outcome.as_json())
    if course.stats and not course.json:
        outcome.print_statistics()
    if outcome.message:
        print(f"fluke: {outcome.message}", file=sys.stderr)
    return outcome.status & 0xFF if outcome.reason == "exited" else 1


def note_exception(message: str) -> None:
    """Say at once that a thread has stopped: the program may go on without it for ever."""
    print(f"fluke: {message}; its other threads go on", file=sys.stderr, flush=True)


async def see_through(machine: Machine, course: Course, begin: Begin, written: int) -> Outcome:
    """Run a program to its end, printing what it writes, or collecting it."""
    import fluke_async as fluke  # noqa: PLC0415  (wrong usage is told without it)

    settings = {field.name: getattr(machine, field.name) for field in dataclasses.fields(machine)}
    output = PrintedOutput(written, collect=course.json)
    async with AsyncExitStack() as stack:
        kernel = await stack.enter_async_context(fluke.Kernel(**settings))
        if course.control is not None:
            await stack.enter_async_context(kernel.control(course.control))
        process = await begin(kernel)
        process.on_thread_exception = note_exception
        if course.checkpoint_every is None or course.image is None:
            await output.pass_on(process.stdout)
        else:
            await pass_on_with_images(process, output, course.image, period_of(course.checkpoint_every))
        end = await process.wait()
        statistics = dataclasses.asdict(kernel.statistics())
    text = output.collected.decode("utf-8", "replace")
    return Outcome(end.status, end.reason, end.message, text, statistics)


async def pass_on_with_images(process: Process, output: PrintedOutput, path: Path, period: Period) -> None:
    """Print what the program writes, and keep the newest image in a file meanwhile."""
    from fluke_async.cli.image_keeper import ImageKeeper  # noqa: PLC0415  (start-up time)
    from fluke_async.embedding.exception_group import unwrapped  # noqa: PLC0415  (start-up time)

    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ImageKeeper(path, period, output).run, process)
            await output.pass_on(process.stdout)
    except BaseExceptionGroup as group:
        raise unwrapped(group, None) from None
