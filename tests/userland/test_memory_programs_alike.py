"""Programs with memory of their own making: alike in every configuration, and nothing is left however they end."""

from __future__ import annotations

import pytest

import fluke_async as fluke
from fluke_async.execution.configuration import CONFIGURATIONS
from tests.userland.running import cut_off, in_use, output_in_steps

PROGRAMS = {
    "cow": [],
    "memtest": ["64"],
    "nested": ["3"],
    "pager": ["16"],
    "shared_memory": ["20"],
}
BUDGETS = (1_000, 20_000, 60_000, 150_000, 400_000)
each_program = pytest.mark.parametrize("name", PROGRAMS)


async def output_of(model: str, preemption: str, name: str, *, beside: str = "") -> bytes:
    """What a program prints that ends well, alone or beside another; what was in use before is all that is after."""
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        before = in_use(kernel)
        other = await kernel.spawn(beside, args=PROGRAMS[beside]) if beside else None
        process = await kernel.spawn(name, args=PROGRAMS[name])
        output = await process.stdout.read_all()
        assert await process.wait() == fluke.Exit("exited", 0), output
        if other is not None:
            await other.stdout.read_all()
            assert await other.wait() == fluke.Exit("exited", 0)
        assert in_use(kernel) == before == (0, 0, 0)
        assert (kernel.statistics().hard_faults > 0) == ({name, beside} & {"cow", "memtest", "pager"} != set())
    return output


@each_program
async def test_output_is_the_same_in_every_configuration(name: str) -> None:
    outputs = [await output_of(model, preemption, name) for model, preemption in CONFIGURATIONS]
    assert outputs[0]
    assert outputs == [outputs[0]] * len(CONFIGURATIONS)


@each_program
@pytest.mark.parametrize("beside", ["pager", "nested"])
async def test_programs_page_beside_each_other(model: str, preemption: str, name: str, beside: str) -> None:
    """Each has its own pager, and its own memory."""
    assert await output_of(model, preemption, name, beside=beside)


@each_program
@pytest.mark.parametrize("budget", BUDGETS)
async def test_nothing_is_left_of_a_program_that_was_cut_off(
    model: str, preemption: str, name: str, budget: int
) -> None:
    """In the middle of its faults, its searches, its messages."""
    await cut_off(model, preemption, name, PROGRAMS[name], budget)


@each_program
async def test_program_that_gets_its_budget_in_steps_prints_the_same(model: str, preemption: str, name: str) -> None:
    """It stops at instants that it cannot choose, many of them in the middle of a fault."""
    assert await output_in_steps(model, preemption, name, PROGRAMS[name]) == await output_of(model, preemption, name)


@pytest.mark.parametrize(
    ("name", "args"), [("memtest", ["0"]), ("pager", ["1"]), ("nested", ["0"]), ("shared_memory", ["-1"])]
)
async def test_wrong_arguments_are_told(model: str, preemption: str, name: str, args: list[str]) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn(name, args=args)
        assert (await process.stdout.read_all()).startswith(b"usage: " + name.encode())
        assert await process.wait() == fluke.Exit("exited", 2)


@pytest.mark.parametrize(
    ("name", "size"), [("memtest", "2000"), ("memtest", "900"), ("pager", "150"), ("pager", "400"), ("nested", "14")]
)
async def test_too_little_memory_is_told_and_nothing_is_left(model: str, preemption: str, name: str, size: str) -> None:
    """By the program, or by the exception of a thread of it: it does not hang, and takes nobody with it."""
    async with fluke.Kernel(model=model, preemption=preemption, memory="1M") as kernel:
        process = await kernel.spawn(name, args=[size])
        end = await process.wait()
        output = await process.stdout.read_all()
        if end.reason == "exited":
            assert end.status == 1
            assert output.splitlines()[-1].endswith((b"another", b"memory", b"memory for the pages"))
        else:
            assert end.reason == "exception"
            assert "out of memory" in end.message
        await process.kill()
        assert in_use(kernel) == (0, 0, 0)
        bystander = await kernel.spawn("hello")
        assert await bystander.wait() == fluke.Exit("exited", 0)
