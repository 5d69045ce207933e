"""Mistakes that a library of checkpoints could have are noticed by the child; pauses in its procedure are not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio
import pytest

import fluke_async as fluke
from fluke_async.toolchain import compile_program
from tests.userland.children import DONE, END_OF_CHILD, STDIN, undisturbed

one_loop = pytest.mark.asyncio(loop_factories=["asyncio"])  # they are long, and no loop can change what a program does

Change = tuple[str, str, str]  # a file of the library, what is there once, and what is put in its place


def pauses(length_us: int) -> tuple[Change, ...]:
    """Where others run while threads are stopped, and while they are started, one by one."""
    pause = f"fluke_sleep_us({length_us})"
    return (
        ("list", "fluke_thread_get_state(found->ob,", f"{pause}, fluke_thread_get_state(found->ob,"),
        ("records", "        state.flags &=", f"        {pause};\n        state.flags &="),
    )


LATE = """
        static unsigned round;
        struct fluke_image *image = checkpoint->records;
        if (round++ % 3 != 2 && image->running_count > 0)
            fluke_checkpoint_start(checkpoint, fluke_image_running(image), 1);
        error = read_objects(checkpoint);"""
"""Twice out of three times somebody starts a thread when all have been stopped."""

MISTAKES: dict[str, tuple[Change, ...]] = {
    "memory is not taken away": (
        *pauses(100),
        ("capture", "freeze(checkpoint);", "FLUKE_PROT_READ | FLUKE_PROT_WRITE;"),
    ),
    "threads run while others are started": (
        *pauses(20),
        ("records", "fluke_ref_type(scheduler) == FLUKE_NULL", "count == 0"),
    ),
    "threads that were stopped are started": (("list", "if (!(state->flags & FLUKE_THREAD_STOPPED) && ", "if ("),),
    "pages are not filled": (("restore", "i < count; i++)", "i < count / 2; i++)"),),
    "pages are not cleared": (("restore", "memset(", "if (false) memset("),),
    "hashes are others": (("restore", "kind->state_size == 0 ? 0 :", "kind->state_size != 0 ? 0 :"),),
    "spaces are forgotten": (("links", "if (find_inside(", "if (fluke_ref_type(ref) != FLUKE_SPACE && find_inside("),),
}


ONE_LEVEL = (("-n", "20", "-e", "61", "4"),)
TWO_LEVELS = tuple(("-d", "2", "-n", "6", "-e", period, "2") for period in ("250", "400", "500"))
"""What is run, each with other instants at which the child is taken down."""

MOST_S = 0.3  # of the kernel's time, several times what a run takes that ends


def build_with(userland: Path, changes: Sequence[Change]) -> str:
    """The program, where the library is another."""
    for name, right, wrong in changes:
        source = userland / f"lib/checkpoint_{name}.c"
        text = source.read_text("utf-8")
        assert text.count(right) == 1
        source.write_text(text.replace(right, wrong))
    compile_program(sorted((userland / "programs/checkpoint").glob("*.c")), userland / "other.elf")
    return str(userland / "other.elf")


async def run(program: str, args: Sequence[str]) -> tuple[str, fluke.Exit]:
    """What a child prints, and how its parent ends; one that hangs is killed."""
    async with fluke.Kernel() as kernel, kernel.host_thread() as clock, anyio.create_task_group() as tasks:
        process = await kernel.spawn(program, args=args, stdin=STDIN)

        async def end_it() -> None:
            await clock.sleep(MOST_S)
            await process.kill()

        tasks.start_soon(end_it)
        output = (await process.stdout.read_all()).decode()
        end = await process.wait()
        tasks.cancel_scope.cancel()
    return output.partition(END_OF_CHILD)[0], end


@one_loop
@pytest.mark.sdk
@pytest.mark.parametrize("args", [*ONE_LEVEL, *TWO_LEVELS], ids=" ".join)
@pytest.mark.parametrize("length_us", [20, 100])
async def test_what_runs_in_the_middle_of_the_procedure_changes_nothing(
    userland_copy: Path, length_us: int, args: tuple[str, ...]
) -> None:
    program = build_with(userland_copy, pauses(length_us))
    assert await run(program, args) == (await undisturbed(args[-1]), DONE)


@one_loop
@pytest.mark.sdk
async def test_a_thread_that_is_started_late_is_stopped_too(userland_copy: Path) -> None:
    program = build_with(userland_copy, [("capture", "        error = read_objects(checkpoint);", LATE)])
    for args in (*ONE_LEVEL, TWO_LEVELS[0]):
        assert await run(program, args) == (await undisturbed(args[-1]), DONE)


@one_loop
@pytest.mark.sdk
@pytest.mark.parametrize("mistake", MISTAKES)
async def test_child_notices_what_goes_wrong(userland_copy: Path, mistake: str) -> None:
    runs = TWO_LEVELS if mistake == "memory is not taken away" else ONE_LEVEL  # there threads of a child's are stopped
    expected = await undisturbed(runs[0][-1]), DONE
    program = build_with(userland_copy, MISTAKES[mistake])
    assert any([await run(program, args) != expected for args in runs])
