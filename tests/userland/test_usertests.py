"""`usertests`: each of its cases passes alone, in every configuration, and leaves the kernel as it found it."""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

import fluke_async as fluke
from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_points import ENTRY_POINTS
from fluke_async.embedding.snapshot import KernelStatistics
from fluke_async.kernel.core import Core

one_loop = pytest.mark.asyncio(loop_factories=["asyncio"])  # there are many cases, and the loop plays no part in them


async def run(*args: str, **options: str | int | Path) -> tuple[list[str], fluke.Exit, KernelStatistics]:
    """The lines of a run, how it ended, and the kernel's counts then."""
    async with fluke.Kernel(**options) as kernel:  # type: ignore[arg-type]
        process = await kernel.spawn("usertests", args=args)
        output = await process.stdout.read_all()
        return output.decode().splitlines(), await process.wait(), kernel.statistics()


LIST = [line.split(maxsplit=1) for line in asyncio.run(run("-l"))[0]]
NAMES = [name for name, _ in LIST]

# What no program can meet yet, or only after it has used up all memory.
UNMET = {
    ExceptionCode.INVALID_OBJECT,
    ExceptionCode.RACE_CONDITION,
    ExceptionCode.OUT_OF_MEMORY,
    ExceptionCode.HOST_THREAD,
}


class Use(NamedTuple):
    """What of a kernel is in use: objects by their types, frames, and bytes of the quota."""

    objects: dict[str, int]
    frames: int
    memory_bytes: int


class Observer:
    """Input for `usertests -w`: looks at the kernel whenever the program waits for a line, then gives it one."""

    def __init__(self, kernel: fluke.Kernel) -> None:
        self.kernel = kernel
        self.seen: list[Use] = []

    async def receive(self) -> bytes:
        self.seen.append(await self.kernel.inspect(self.look))
        return b"\n"

    @staticmethod
    def look(core: Core) -> Use:
        objects = Counter(each.type.name for each in core.objects.values())
        return Use(dict(objects), core.frames.in_use, core.quota.used_bytes)


async def uses(name: str, model: str, preemption: str, cpus: int = 1) -> list[Use]:
    """What is in use before a case, and after each of three runs of it."""
    async with fluke.Kernel(model=model, preemption=preemption, cpus=cpus) as kernel:
        observer = Observer(kernel)
        process = await kernel.spawn("usertests", args=["-w", name, name, name], stdin=observer)
        output = await process.stdout.read_all()
        assert output.decode().splitlines() == ["usertests:", *[f"ok {name}"] * 3, "3 passed, 0 failed"]
        assert (await process.wait()) == fluke.Exit("exited", 0)
        return observer.seen


@one_loop
@pytest.mark.parametrize("name", NAMES)
async def test_a_case_passes_alone_and_leaves_nothing_behind(name: str, model: str, preemption: str) -> None:
    """The first run may touch pages for the first time; beyond that, all is as it was."""
    before, first, second, third = await uses(name, model, preemption)
    assert before.objects == first.objects
    assert first == second == third


@one_loop
@pytest.mark.parametrize("cpus", [2, 4])
@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("harts_")])
async def test_a_case_about_several_harts_leaves_nothing_behind(name: str, cpus: int) -> None:
    before, first, second, third = await uses(name, "interrupt", "partial", cpus)
    assert before.objects == first.objects
    assert first == second == third


async def test_an_object_that_is_left_behind_is_seen(model: str, preemption: str) -> None:
    """The case `leak`, which is not in the list, leaves one reference each time and does not notice."""
    seen = await uses("leak", model, preemption)
    references = [use.objects["REF"] for use in seen]
    assert references == list(range(references[0], references[0] + 4))
    assert seen[1] != seen[2] != seen[3]


@one_loop
@pytest.mark.parametrize("cpus", [1, 2, 4])
async def test_all_cases_pass_one_after_the_other(model: str, preemption: str, cpus: int) -> None:
    lines, end, _ = await run(model=model, preemption=preemption, cpus=cpus)
    assert lines == ["usertests:", *(f"ok {name}" for name in NAMES), f"{len(NAMES)} passed, 0 failed"]
    assert end == fluke.Exit("exited", 0)


async def test_a_run_takes_the_same_time_in_both_models(preemption: str) -> None:
    _, _, interrupt = await run(model="interrupt", preemption=preemption)
    _, _, process = await run(model="process", preemption=preemption)
    assert (interrupt.time_ns, interrupt.system_calls) == (process.time_ns, process.system_calls)
    assert process.resumes > 0


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("leak_memory", "memory was not freed"),
        ("make_a_mistake", r"an unexpected mistake, 0x100 of 0x[0-9a-f]+"),
        ("expect_another_mistake", r".*fluke_mutex_lock\(&mutex\): 1 mistakes, the last 0x100 of .*, not one 0x126 .*"),
        ("make_no_mistake", r".*fluke_mutex_unlock\(&mutex\): 0 mistakes, .*"),
        ("leave_a_thread", "threads were left: 1"),
        ("fail", r"hidden\.c:\d+: 1 \+ 1 == 3"),
    ],
)
async def test_what_goes_wrong_is_told(name: str, reason: str) -> None:
    lines, end, _ = await run("mutex_new", name, "mutex_lock")
    assert end == fluke.Exit("exited", 1)
    _, before, failure, after, count = lines
    assert (before, after, count) == ("ok mutex_new", "ok mutex_lock", "2 passed, 1 failed")
    assert re.fullmatch(f"FAIL {name}: {reason}", failure)


async def test_wrong_arguments_are_told() -> None:
    for args in (["nonesuch"], ["mutex_new", "nonesuch"]):
        lines, end, _ = await run(*args)
        assert (lines, end.status) == (["there is no case nonesuch; usertests -l lists them"], 2)
    lines, end, _ = await run("-x")
    assert lines[0].startswith("usage: ")
    assert end.status == 2


def test_every_case_has_a_name_of_its_own_and_asks_a_question() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 100
    assert all(question.endswith("?") for _, question in LIST)
    assert len({question for _, question in LIST}) == len(LIST)


@one_loop
async def test_every_call_is_made_and_every_mistake(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    await run(trace=trace)
    events = [json.loads(line) for line in trace.read_bytes().splitlines()]
    called = {event["entry"] for event in events if event["event"] == "trap"}
    assert called == {entry.name for entry in ENTRY_POINTS}
    made = {ExceptionCode(event["code"]) for event in events if event["event"] == "exception"}
    assert made == set(ExceptionCode) - UNMET
