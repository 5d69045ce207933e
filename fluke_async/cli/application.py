"""The commands of `fluke`, and what becomes of errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import get_args

from cyclopts import App, CycloptsError

from fluke_async.cli.usage import CommandFailed, UsageError
from fluke_async.errors import FlukeError, KernelBug

INTERRUPTED = 130
BROKEN_PIPE = 141


def build_application() -> App:
    """Every command by the place of its function, so that only the one that runs is imported."""
    application = App(
        name="fluke",
        help="The Fluke kernel: run RV64 programs whose every system call can be interrupted and restarted.",
        result_action="return_value",
        exit_on_error=False,
        print_error=False,
        suppress_keyboard_interrupt=False,
    )
    application.command("fluke_async.cli.run:run", name="run", help="Run a user program.")
    application.command("fluke_async.cli.run:restore", name="restore", help="Let a program go on from an image.")
    application.command("fluke_async.cli.checkpoint:checkpoint", name="checkpoint", help="Make an image of a run.")
    application.command("fluke_async.cli.ps:ps", name="ps", help="Show the processes and threads of a run.")
    application.command("fluke_async.cli.ps:suspend", name="suspend", help="Hold a process of a run.")
    application.command("fluke_async.cli.ps:resume", name="resume", help="Let a suspended process go on.")
    application.command(
        "fluke_async.cli.built_programs:list_programs",
        name="list",
        help="List the built-in programs.",
    )
    application.command(
        "fluke_async.cli.built_programs:compile_program",
        name="cc",
        help="Compile C for the kernel.",
    )
    application.command(
        "fluke_async.cli.verify:verify",
        name="verify",
        help="Export, destroy and re-create everything at every point.",
    )
    application.command("fluke_async.cli.demo:demo", name="demo", help="A tour of the kernel.")
    trace = App(name="trace", help="Look at a trace that `fluke run --trace` has written.")
    trace.command("fluke_async.cli.trace:summary", name="summary", help="Count what happened.")
    trace.command("fluke_async.cli.trace:show", name="show", help="Print the events, one a line.")
    application.command(trace)
    image = App(name="image", help="Look at images: processes that were saved.")
    image.command("fluke_async.cli.image:show", name="show", help="Show threads, objects, pages.")
    image.command("fluke_async.cli.image:verify", name="verify", help="Check that images could be restored.")
    image.command("fluke_async.cli.image:diff", name="diff", help="Show what differs between two.")
    application.command(image)
    bench = App(name="bench", help="Measure this kernel on this machine.")
    bench.command("fluke_async.cli.bench:syscalls", name="syscalls", help="The system calls by their classes.")
    bench.command("fluke_async.cli.bench:operations", name="operations", help="What operations cost.")
    application.command(bench)
    return application


def execute(arguments: Sequence[str]) -> int:
    """Do what the arguments say and return the exit status."""
    replace_closed_streams()
    try:
        status = dispatch(build_application(), list(arguments))
        sys.stdout.flush()
    except CommandFailed as error:
        return complain(str(error), 1)
    except (UsageError, FlukeError) as error:
        return complain(str(error), 2)
    except CycloptsError as error:
        return complain(f"{error} {help_hint(error)}", 2)
    except KernelBug as error:
        return complain(f"a mistake in the kernel itself, please report it: {error}", 1)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # What is still in the buffer would complain once more when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return BROKEN_PIPE
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return complain(f"the output cannot be written: {error.strerror}", 1)
    return status


def replace_closed_streams() -> None:
    """Put the null device where we were started without a standard stream: no other file may take its number."""
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def dispatch(application: App, arguments: list[str]) -> int:
    """Call the command named by the arguments."""
    if not arguments or arguments in (["trace"], ["image"]):
        command = " ".join(["fluke", *arguments])
        raise UsageError(f"'{command}' needs a command; '{command} --help' lists them")
    if arguments[0] == "run":
        arguments = ["run", *separate_program(arguments[1:], value_options(application["run"]))]
    status: int | None = application(arguments)
    return status or 0


def value_options(command: App) -> set[str]:
    """The options of a command that are followed by a value."""
    collection = command.assemble_argument_collection()
    valued = (each for each in collection if each.token_count()[0] and bool not in (each.hint, *get_args(each.hint)))
    return {name for argument in valued for name in argument.names}


def separate_program(arguments: list[str], valued: set[str]) -> list[str]:
    """Put `--` before the program: what follows is the program's, even if it looks like options."""
    position = 0
    while position < len(arguments) and arguments[position].startswith("-"):
        if arguments[position] == "--":
            return arguments
        position += 2 if arguments[position] in valued else 1
    return [*arguments[:position], "--", *arguments[position:]]


def help_hint(error: CycloptsError) -> str:
    """Where the options of the command in question are listed."""
    command = " ".join(["fluke", *(error.command_chain or [])])
    return f"See '{command} --help'."


def complain(message: str, status: int) -> int:
    """Say in one line what is wrong."""
    print(f"fluke: {' '.join(message.split())}", file=sys.stderr)
    return status
