"""A child that an ordinary program takes down and creates again, wherever it is, goes on as if nothing had been."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.programs import userland_directory
from fluke_async.toolchain import compile_program
from tests.embedding.guest import Feed
from tests.userland.children import DONE, END_OF_CHILD, run, undisturbed
from tests.userland.running import cut_off, in_use, output_in_steps

one_loop = pytest.mark.asyncio(loop_factories=["asyncio"])  # they are long, and no loop can change what a program does

WAITS = ("mutexes", "conditions", "port sets", "ports", "threads", "outside")


def numbers(line: str) -> list[int]:
    return list(map(int, re.findall(r"\d+", line)))


@one_loop
@pytest.mark.parametrize(
    ("options", "least"),
    [
        (["-n", "1"], 1),
        (["-n", "1000", "-e", "300"], 4),
        (["-n", "1000", "-e", "61"], 10),
        (["-n", "10", "-e", "0"], 10),  # it comes to nothing in between
        (["-n", "8", "-e", "150", "-b", "2"], 8),
    ],
)
async def test_child_that_is_created_again_prints_the_same(
    model: str, preemption: str, options: list[str], least: int
) -> None:
    child, (status, taken, _), end = await run([*options, "3"], model=model, preemption=preemption)
    assert (child, status, end) == (await undisturbed("3"), "0", DONE)
    times, objects, pages = numbers(taken)
    assert least <= times <= int(options[1])
    assert objects >= 5 * times
    assert pages >= times


@one_loop
async def test_child_that_is_only_written_down_prints_the_same(model: str, preemption: str) -> None:
    child, (status, written, *_), end = await run(
        ["-k", "12", "-n", "2", "-e", "100", "3"], model=model, preemption=preemption
    )
    assert (child, status, written, end) == (await undisturbed("3"), "0", "written down 12 times", DONE)


@one_loop
async def test_child_is_met_in_every_kind_of_wait(model: str, preemption: str) -> None:
    _, (_, _, threads), end = await run(["-n", "1000", "-e", "90"], model=model, preemption=preemption)
    assert end == DONE
    assert threads.startswith("threads met: ")
    for name in ("ready", "stopped", *WAITS):
        found = re.search(rf"(\d+) {name}", threads)
        assert found
        assert int(found[1]) > 0, f"none waits for {name}"


@one_loop
@pytest.mark.parametrize(("cpus", "seed"), [(2, 0), (4, 0), (4, 2)])
async def test_harts_that_run_the_child_meanwhile_change_nothing(cpus: int, seed: int) -> None:
    """While some of its threads are stopped, others run on, and its server answers."""
    child, (status, *_), end = await run(["-n", "6", "-e", "170", "3"], cpus=cpus, seed=seed)
    assert (child, status, end) == (await undisturbed("3"), "0", DONE)


@one_loop
async def test_child_that_takes_down_a_child_of_its_own_is_taken_down_in_the_middle(
    model: str, preemption: str
) -> None:
    """All that a checkpoint is made with can be in a checkpoint."""
    child, rest, end = await run(["-d", "2", "-n", "12", "-e", "400", "2"], model=model, preemption=preemption)
    assert (child, end) == (await undisturbed("2"), DONE)
    inner, outer = (numbers(line)[0] for line in rest if line.startswith("taken down"))
    assert inner >= 2
    assert outer == 12
    stopped = numbers(rest[-1])[1]
    assert stopped > outer, "never in the middle of its own procedure"


@one_loop
async def test_input_that_comes_late_reaches_a_child_that_has_been_created_again(model: str, preemption: str) -> None:
    """It was taken down while its request was with its parent's server, and that one's with the console."""
    feed = Feed()
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("checkpoint", args=["-e", "100", "3"], stdin=feed)
        for piece in (b"o", b"ne\nt", b"wo\n"):
            wanted = feed.wanted
            await wanted.wait()
            feed.give(piece)
            while feed.wanted is wanted:  # it has not been taken
                await anyio.lowlevel.checkpoint()
        feed.end()
        output = (await process.stdout.read_all()).decode()
        assert await process.wait() == DONE
    assert output.partition(END_OF_CHILD)[0] == await undisturbed("3")
    taken, threads = output.splitlines()[-2:]
    assert numbers(taken)[0] >= 3
    assert numbers(threads)[-1] >= 3  # waits for what is outside


@one_loop
async def test_nothing_is_left_of_a_program_that_was_cut_off(model: str, preemption: str) -> None:
    for budget in (20_000, 150_000, 400_000, 900_000):
        await cut_off(model, preemption, "checkpoint", ["-e", "100", "2"], budget)


@one_loop
async def test_program_that_gets_its_budget_in_steps_prints_the_same(model: str, preemption: str) -> None:
    output = await output_in_steps(model, preemption, "checkpoint", ["-n", "2", "1"])
    assert b"line" not in output  # it has no input
    assert b"sleeper: 1, right\nthe child exited with 0\ntaken down and created again 2 times" in output


@one_loop
@pytest.mark.parametrize(
    "args", [["0"], ["-n"], ["-n", "-1"], ["-x", "1"], ["-b", "3"], ["-d", "5"], ["1", "2"]], ids=" ".join
)
async def test_wrong_arguments_are_told(args: list[str]) -> None:
    output, _, end = await run(args)
    assert (output[:18], end) == ("usage: checkpoint ", fluke.Exit("exited", 2))


@one_loop
async def test_too_little_memory_is_told() -> None:
    async with fluke.Kernel(memory="1M") as kernel:
        process = await kernel.spawn("checkpoint")
        assert (await process.stdout.read_all()).startswith(b"not enough memory for ")
        assert await process.wait() == fluke.Exit("exited", 1)
        await process.kill()
        assert in_use(kernel) == (0, 0, 0)


# -- With the compiler


def spoiled(directory: Path, right: str, wrong: str) -> list[Path]:
    """The program's sources in another place, one of them changed in one place."""
    found = 0
    for source in (userland_directory() / "programs/checkpoint").iterdir():
        text = source.read_text("utf-8")
        found += text.count(right)
        (directory / source.name).write_text(text.replace(right, wrong))
    assert found == 1
    return sorted(directory.glob("*.c"))


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """What anybody can type."""
    words = [sys.executable, "-m", "fluke_async", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.sdk
def test_program_built_elsewhere_needs_nothing_private(tmp_path: Path) -> None:
    """It is no part of the library, and can be anybody's."""
    sources = spoiled(tmp_path, "the child exited", "my child exited")
    program = tmp_path / "mine.elf"
    assert command("cc", *sources, "-o", program).returncode == 0
    finished = command("run", program, "-n", "5", "-e", "100", "1")
    assert finished.returncode == 0
    assert "sleeper: 1, right\nmy child exited with 0\ntaken down and created again 5 times" in finished.stdout


@one_loop
@pytest.mark.sdk
@pytest.mark.parametrize(
    ("missing", "period", "links"),
    [
        ("space", "1", ("space",)),
        ("timer", "1", ("target",)),
        ("console", "1", ("target",)),
    ],
)
async def test_what_has_no_name_is_refused_and_the_child_goes_on(
    tmp_path: Path, missing: str, period: str, links: tuple[str, ...]
) -> None:
    names = "child.process.names"
    change = f"{names}[FLUKE_CHILD_{missing.upper()}].ref = {names}[FLUKE_CHILD_PARENT].ref;"
    records = "checkpoint.records = malloc(checkpoint.room);"
    sources = spoiled(tmp_path, records, f"{change} {records}")
    compile_program(sources, tmp_path / "spoiled.elf")
    output, rest, end = await run(["-e", period, "3"], program=str(tmp_path / "spoiled.elf"))
    complaint = (
        r"the child was not written down: the link '(\w+)' of the \w+ at offset 0x[0-9a-f]+ leads to .* a name\n"
    )
    found = re.findall(complaint, output)
    assert len(found) == 1
    assert found[0] in links
    assert (re.sub(complaint, "", output), end) == (await undisturbed("3"), fluke.Exit("exited", 1))
    assert rest[:2] == ["0", "taken down and created again 0 times: 0 objects, 0 pages"]


@one_loop
@pytest.mark.sdk
@pytest.mark.parametrize("room", [40, 200, 220, 5_000, 60_000])
async def test_records_without_room_are_none_and_the_child_goes_on(tmp_path: Path, room: int) -> None:
    """Room for nothing, for no names, for no list of threads, for no objects, for no pages."""
    sources = spoiled(tmp_path, ".room = child.process.size + MOST_OBJECTS * RECORD_SIZE", f".room = {room}")
    compile_program(sources, tmp_path / "spoiled.elf")
    output, _, end = await run(["-e", "500", "3"], program=str(tmp_path / "spoiled.elf"))
    complaint = "the child was not written down: there is no room for the records\n"
    assert output.count(complaint) == 1
    assert (output.replace(complaint, ""), end) == (await undisturbed("3"), fluke.Exit("exited", 1))


@one_loop
@pytest.mark.sdk
@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ("checkpoint.name_count = 1", "the records have a name that nobody knows"),
        ("*(uint64_t *)checkpoint.records = 0", "the records are damaged"),
        ("checkpoint.room = 1000", "the records are damaged"),
    ],
)
async def test_records_that_do_not_fit_are_refused(tmp_path: Path, change: str, complaint: str) -> None:
    restore = "    int error = fluke_checkpoint_restore(&checkpoint);"
    compile_program(spoiled(tmp_path, restore, f"    {change};\n{restore}"), tmp_path / "spoiled.elf")
    output, _, end = await run(["3"], program=str(tmp_path / "spoiled.elf"))
    assert output.endswith(f"the child is lost: {complaint}\n")
    assert end == fluke.Exit("exited", 1)
