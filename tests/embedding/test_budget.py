"""Budgets are exact: so many instructions and not one more, and nobody can tell that there was a stop."""

from __future__ import annotations

import anyio
import pytest

import fluke_async as fluke
from fluke_async.abi.entry_points import BY_NAME
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.errors import FlukeError
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from tests.cpu import rv64
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import CODE_ADDRESS, LOOP, elf

A1 = 11


@pytest.mark.parametrize("budget", [1, 2, 3, 1000, 1_000_001, 2_345_678])
async def test_the_budget_is_exact(make_kernel: MakeKernel, budget: int) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=budget)
        end = await process.wait()
        assert (end.reason, end.status) == ("budget", 1)
        assert kernel.statistics().time_ns == budget  # the program makes no system calls: the clock counts it alone
        (thread,) = process.threads()
        assert thread.registers[A1] == (budget + 1) // 2


async def test_more_budget_goes_on_exactly(make_kernel: MakeKernel) -> None:
    total = 0
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=1)
        for more in (1, 1, 5, 100_000, 333_333):
            assert (await process.wait()).reason == "budget"
            total = kernel.statistics().time_ns
            process.add_budget(more)
            assert not process.has_ended
            assert (await process.wait()).reason == "budget"
            assert kernel.statistics().time_ns == total + more
            (thread,) = process.threads()
            assert thread.registers[A1] == (total + more + 1) // 2


async def test_budget_added_in_time_is_one_budget(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=1)
        await process.wait()
        process.add_budget(10)
        process.add_budget(100)
        await process.wait()
        assert kernel.statistics().time_ns == 111


async def run(kernel: fluke.Kernel, name: str, args: list[str], step: int | None) -> tuple[fluke.Exit, bytes, int, int]:
    """The end of a program that is given its budget in steps, its output, when it ended, and how often it stopped."""
    process = await kernel.spawn(name, args=args, stdin=b"one\ntwo\n", budget=step)
    stops = 0
    while (end := await process.wait()).reason == "budget":
        assert step is not None
        process.add_budget(step)
        stops += 1
    return end, await process.stdout.read_all(), kernel.statistics().time_ns, stops


@pytest.mark.parametrize(
    ("name", "args", "step"),
    [
        ("hello", [], 1),
        ("hello", [], 7),
        ("echo", [], 61),
        ("primes", ["200", "3"], 97),
        ("primes", ["200", "3"], 1009),
        ("clock", ["2", "50"], 101),
    ],
)
async def test_a_stopped_program_goes_on_as_if_nothing_had_been(
    make_kernel: MakeKernel, name: str, args: list[str], step: int
) -> None:
    async with make_kernel() as kernel:
        end, output, time, _ = await run(kernel, name, args, None)
        assert end == fluke.Exit("exited", 0)
    async with make_kernel() as kernel:
        *in_steps, stops = await run(kernel, name, args, step)
    assert stops > 5
    assert in_steps == [end, output, time]


async def test_a_system_call_is_not_counted_but_needs_budget_to_be_made(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        *_, needed = await run(kernel, "hello", [], 1)
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello", budget=needed)
        assert (await process.wait()).reason == "budget"  # it stands on the call that exits
        assert await process.stdout.read_all() == b"Hello, world!\n"
        process.add_budget(1)
        assert await process.wait() == fluke.Exit("exited", 0)
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello", budget=needed + 1)
        assert await process.wait() == fluke.Exit("exited", 0)


async def test_output_ends_with_a_budget_and_opens_again(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello", budget=10)
        assert await process.stdout.read_all() == b""
        process.add_budget(100_000)
        assert await process.stdout.read_all() == b"Hello, world!\n"


async def test_one_process_stops_while_another_goes_on(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        stopped = await kernel.spawn("spin", budget=1000)
        other = await kernel.spawn("primes", args=["300", "2"])
        assert (await stopped.wait()).reason == "budget"
        assert (await other.wait()).reason == "exited"
        await stopped.kill()
        assert (await stopped.wait()).reason == "killed"
        assert kernel.statistics().objects == 0


async def test_what_cannot_be_added(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        free = await kernel.spawn("spin")
        with pytest.raises(FlukeError, match="has no budget: give one to spawn"):
            free.add_budget(1)
        gone = await kernel.spawn("hello", budget=100_000)
        await gone.wait()
        with pytest.raises(FlukeError, match="has ended"):
            gone.add_budget(1)
        stopped = await kernel.spawn("spin", budget=10)
        for number in (0, -5):
            with pytest.raises(FlukeError, match="give a positive number"):
                stopped.add_budget(number)
        await stopped.wait()
    with pytest.raises(FlukeError, match="kernel has stopped"):
        stopped.add_budget(1)
    assert (await stopped.wait()).reason == "budget"


async def test_budget_bounds_a_handler_that_returns_to_its_own_return(make_kernel: MakeKernel) -> None:
    """A thread whose saved pc is on the call that returns from exceptions retires nothing; yet it comes to an end."""

    def go_round(core: Core) -> None:
        (thread,) = [target for target in core.objects.values() if isinstance(target, Thread)]
        thread.pc = CODE_ADDRESS + 4
        number = BY_NAME["thread_return_from_exception"].number
        thread.registers[ENTRY_POINT] = number
        thread.saved = (0, 0, 0, number, CODE_ADDRESS + 4)

    async with make_kernel() as kernel:
        process = await kernel.spawn(elf(rv64.addi("a0", "a0", 1), rv64.ECALL), budget=1)
        assert (await process.wait()).reason == "budget"
        await kernel.inspect(go_round)
        process.add_budget(1000)
        with anyio.fail_after(10):
            assert (await process.wait()).reason == "budget"


async def test_restored_process_has_what_was_left_or_what_it_is_given(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("primes", args=["20000", "2"], budget=1_000_000)
        assert (await process.wait()).reason == "budget"
        image = await process.checkpoint()
        assert image.manifest.budget == 0
        assert (await (await kernel.restore(image)).wait()).reason == "budget"
        given = await kernel.restore(image, budget=100_000_000)
        assert await given.wait() == fluke.Exit("exited", 0)
