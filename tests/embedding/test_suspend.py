"""A suspended process stands still, and cannot tell afterwards."""

from __future__ import annotations

import asyncio
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.embedding.snapshot import ThreadInfo
from fluke_async.kernel.consistency import check
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from tests.embedding import traces
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import LOOP, RECEIVES_FROM_NOBODY, Feed, idle, pass_time

A1 = 11
OF_THE_HOST = {"suspend_process", "resume_process"}
PROGRAMS: list[tuple[str, list[str]]] = [
    ("primes", ["300", "3"]),
    ("echo", []),
    ("clock", ["3", "50"]),
    ("bulk", ["2", "256"]),
    ("badpointers", ["ipc_call"]),
]


async def hold_again_and_again(process: fluke.Process) -> list[ThreadInfo]:
    """Suspend a process and let it go on, until it ends; the threads that were held."""
    held = []
    while not process.has_ended:
        await process.suspend()
        before = [thread for thread in process.threads() if thread.condition == "suspended"]
        await idle()
        assert set(before) <= set(process.threads())
        held += before
        await process.resume()
        await anyio.lowlevel.checkpoint()  # only now it runs
    return held


async def run(kernel: fluke.Kernel, name: str, args: list[str], *, held: bool) -> tuple[fluke.Exit, bytes, int]:
    """The end of a program, its output, and when it ended."""
    process = await kernel.spawn(name, args=args, stdin=b"one\ntwo\n")
    if held:
        assert await hold_again_and_again(process)
    return await process.wait(), await process.stdout.read_all(), kernel.statistics().time_ns


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize(("name", "args"), PROGRAMS)
async def test_output_and_trace_are_those_of_an_undisturbed_run(
    make_kernel: MakeKernel, name: str, args: list[str], tmp_path: Path
) -> None:
    runs = []
    for held in (False, True):
        async with make_kernel(trace=tmp_path / str(held)) as kernel:
            runs.append(await run(kernel, name, args, held=held))
    assert runs[0] == runs[1]
    assert runs[0][0] == fluke.Exit("exited", 0)
    undisturbed, held_up = (traces.lines((tmp_path / str(held)).read_bytes()) for held in (False, True))
    assert [line for line in held_up if line["event"] not in OF_THE_HOST] == undisturbed
    kinds = [line["event"] for line in held_up if line["event"] in OF_THE_HOST]
    assert kinds.count("suspend_process") > 3
    assert set(kinds[::2]) == {"suspend_process"}
    assert set(kinds[1::2]) == {"resume_process"}


async def test_a_message_is_held_in_the_middle(model: str) -> None:
    """Between two chunks a thread is in its call still, and goes on with it where it was."""
    async with fluke.Kernel(model=model, preemption="partial") as kernel:
        process = await kernel.spawn("bulk", args=["4", "1024"])
        held = await hold_again_and_again(process)
        assert await process.stdout.read_all() == (
            b"4 messages of 131072 words went there and back, every word whole\n"
        )
    inside = [thread for thread in held if thread.entry_point is not None]
    assert inside
    assert all((thread.stack is None) == (model == "interrupt") for thread in inside)


async def test_others_go_on_while_a_process_stands_still(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=1 << 40)
        await pass_time(kernel)
        await process.suspend()
        assert process.state == "suspended"
        assert "suspended" in repr(process)
        assert process.loaded is not None
        before, left = process.threads(), process.loaded.account.instructions_left
        assert [thread.condition for thread in before] == ["suspended"]
        await pass_time(kernel)
        assert (await (await kernel.spawn("hello")).wait()).reason == "exited"
        assert (process.threads(), process.loaded.account.instructions_left) == (before, left)
        await kernel.inspect(check)
        await process.resume()
        assert process.state == "running"
        await pass_time(kernel)
        assert process.threads()[0].registers[A1] > before[0].registers[A1]


@pytest.mark.usefixtures("small_slices")
@pytest.mark.parametrize("budget", [1, 3001, 50_001])
async def test_a_budget_is_exact_whatever_comes_between(make_kernel: MakeKernel, budget: int) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=budget)
        await hold_again_and_again(process)
        assert (await process.wait()).reason == "budget"
        assert kernel.statistics().time_ns == budget
        assert process.threads()[0].registers[A1] == (budget + 1) // 2


@pytest.mark.parametrize("resumed_first", [False, True])
async def test_spent_and_suspended_both_have_to_be_lifted(make_kernel: MakeKernel, resumed_first: bool) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=1000)
        assert (await process.wait()).reason == "budget"
        await process.suspend()
        assert process.state == "budget"
        if resumed_first:
            await process.resume()
            await idle()
            assert process.has_ended
            process.add_budget(500)
        else:
            process.add_budget(500)
            await idle()
            assert process.state == "suspended"
            assert [thread.condition for thread in process.threads()] == ["suspended"]
            assert kernel.statistics().time_ns == 1000
            await process.resume()
        assert (await process.wait()).reason == "budget"
        assert kernel.statistics().time_ns == 1500


async def test_twice_is_once(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=3_000_000)
        await process.resume()
        await process.suspend()
        await process.suspend()
        await process.resume()
        assert (await process.wait()).reason == "budget"
        assert kernel.statistics().time_ns == 3_000_000


async def test_nothing_happens_after_the_end(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello")
        end = await process.wait()
        await process.suspend()
        await process.resume()
        assert (await process.wait(), process.state, process.is_suspended) == (end, "exited", False)
        stopped = await kernel.spawn("spin", budget=10)
        await stopped.wait()
    await process.suspend()
    with pytest.raises(fluke.FlukeError, match="kernel has stopped"):
        await stopped.suspend()


async def test_who_waits_for_a_suspended_process_waits(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP, budget=3_000_000)
        await process.suspend()
        waiting = asyncio.create_task(process.wait())
        await idle()
        assert not waiting.done()
        await process.resume()
        assert (await waiting).reason == "budget"


async def test_what_a_thread_waits_for_comes_while_it_is_suspended(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        await process.suspend()
        assert [thread.condition for thread in process.threads()] == ["waiting"]
        feed.give(b"typed meanwhile\n")
        await idle()
        (thread,) = process.threads()
        assert (thread.condition, thread.waiting_for) == ("suspended", None)
        await process.resume()
        assert await process.stdout.receive() == b"typed meanwhile\n"


async def test_an_open_request_of_a_suspended_process_does_not_keep_the_clock(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        asks = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        sleeps = await kernel.spawn("clock", args=["1", "1000"])
        await idle()
        assert not sleeps.has_ended  # the virtual clock waits for the input
        await asks.suspend()
        with anyio.fail_after(5):
            assert (await sleeps.wait()).reason == "exited"
        await asks.resume()
        feed.give(b"still there\n")
        assert await asks.stdout.receive() == b"still there\n"


async def test_the_virtual_clock_does_not_jump_for_who_is_suspended(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        asks = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        sleeps = await kernel.spawn("clock", args=["1", "1000"])
        await idle()
        assert [thread.condition for thread in sleeps.threads()] == ["waiting"]
        await sleeps.suspend()
        await asks.kill()  # nobody else keeps the clock any more
        await idle()
        assert kernel.statistics().time_ns < 1_000_000_000
        longer = await kernel.spawn("clock", args=["1", "5000"])
        await longer.wait()  # now it has, and the shorter sleep is over too
        assert kernel.statistics().time_ns > 5_000_000_000
        assert [thread.waiting_for for thread in sleeps.threads()] == [None]
        await sleeps.resume()
        assert (await sleeps.wait()).reason == "exited"


async def test_nothing_is_a_deadlock_while_a_process_is_suspended(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        suspended = await kernel.spawn(LOOP)
        await suspended.suspend()
        waits = await kernel.spawn(RECEIVES_FROM_NOBODY)
        await idle()
        assert not waits.has_ended
        await suspended.kill()
        assert (await waits.wait()).reason == "deadlock"


async def test_a_deadlock_is_told_when_the_process_goes_on(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        spins = await kernel.spawn("spin")
        waits = await kernel.spawn(RECEIVES_FROM_NOBODY)
        await waits.suspend()
        await spins.kill()
        await idle()
        assert not waits.has_ended
        await waits.resume()
        assert (await waits.wait()).reason == "deadlock"


async def test_a_suspended_process_can_be_killed(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("spin")
        await process.suspend()
        await process.kill()
        assert (await process.wait()).reason == "killed"
        assert (kernel.processes(), kernel.statistics().objects) == ((), 0)


async def test_a_kernel_with_a_suspended_process_can_be_left(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("spin")
        await process.suspend()
    assert (await process.wait()).reason == "killed"


async def test_processes_are_listed_until_they_are_gone(make_kernel: MakeKernel) -> None:
    with pytest.raises(fluke.FlukeError, match="has not been started"):
        make_kernel().processes()
    async with make_kernel() as kernel:
        held, stopped, gone = [await kernel.spawn("spin", budget=10) for _ in range(3)]
        await stopped.wait()
        await gone.kill()
        held.add_budget(1 << 40)
        await held.suspend()
        assert kernel.processes() == (held, stopped)
        assert [process.state for process in kernel.processes()] == ["suspended", "budget"]
    with pytest.raises(fluke.FlukeError, match="has stopped"):
        kernel.processes()


async def test_restarts_are_counted_for_each_thread(model: str) -> None:
    async with fluke.Kernel(model=model, preemption="partial") as kernel:
        process = await kernel.spawn("bulk", args=["24", "1024"], budget=20_000_000)
        assert (await process.wait()).reason == "budget"
        restarts = [thread.restarts for thread in process.threads()]
        assert sum(restarts) == kernel.statistics().restarts
        assert any(restarts) == (model == "interrupt")


async def test_a_priority_that_is_lent_is_shown_beside_the_own(make_kernel: MakeKernel) -> None:
    def lend(core: Core) -> None:
        (thread,) = [target for target in core.objects.values() if isinstance(target, Thread)]
        core.rank(thread, thread.priority + 3)

    async with make_kernel() as kernel:
        process = await kernel.spawn("spin")
        await kernel.inspect(lend)
        (thread,) = process.threads()
        assert thread.effective_priority == thread.priority + 3
