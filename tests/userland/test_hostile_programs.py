"""Programs that mean harm: they are stopped, it is said what they did, and nobody else notices."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

import fluke_async as fluke
from fluke_async.cpu.protocol import WRITE
from tests.cpu import rv64
from tests.embedding.guest import Part, elf
from tests.embedding.traces import of_both_models

# What each misdeed of `wild` is called, and the address or number that is blamed, where it is known.
MISDEEDS = {
    "null-read": ("load fault", "0x0"),
    "null-write": ("store fault", "0x0"),
    "null-jump": ("fetch fault", "0x0"),
    "data-jump": ("fetch fault", None),
    "code-write": ("store fault", None),
    "constant-write": ("store fault", None),
    "kernel-read": ("load fault", "0xffffffff80000000"),
    "illegal": ("illegal instruction", None),
    "privileged": ("illegal instruction", None),
    "breakpoint": ("breakpoint", None),
    "misaligned-atomic": ("misaligned address", None),
    "foreign-call": ("foreign system call", "0x40"),
    "unknown-call": ("foreign system call", None),
    "stack-overflow": ("store fault", None),
}
WITNESS = ["200", "2"]


def check_end(end: fluke.Exit, misdeed: str) -> None:
    cause, subject = MISDEEDS[misdeed]
    match = re.fullmatch(r"thread (\d+) at pc (0x[0-9a-f]+): ([a-z ]+), (0x[0-9a-f]+) \([^()]+\)", end.message)
    assert match is not None, end
    assert (end.reason, end.status, match[3]) == ("exception", 1, cause)
    if subject is not None:
        assert match[4] == subject
    if misdeed.endswith("jump"):
        assert match[2] == match[4]  # it stands where it must not


async def test_the_list_of_misdeeds_is_whole(model: str, preemption: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("wild")
        names = (await process.stdout.read_all()).decode().split()
    assert set(names) == {*MISDEEDS, "endless-loop"}


@pytest.mark.parametrize("misdeed", MISDEEDS)
async def test_the_guilty_is_stopped_and_others_do_not_notice(model: str, preemption: str, misdeed: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        witness = await kernel.spawn("primes", args=WITNESS)
        guilty = await kernel.spawn("wild", args=[misdeed])
        check_end(await guilty.wait(), misdeed)
        assert await guilty.stdout.read_all() == f"about to commit: {misdeed}\n".encode()
        assert (await witness.stdout.read_all()).endswith(b"46 primes below 200\n")
        assert await witness.wait() == fluke.Exit("exited", 0)
        now = kernel.statistics()
        assert (now.exceptions, now.objects, now.frames, now.memory_used_bytes) == (1, 0, 0, 0)


async def test_the_stack_overflows_below_its_end(model: str, preemption: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        end = await (await kernel.spawn("wild", args=["stack-overflow"])).wait()
        small = kernel.statistics().soft_faults
    address = int(end.message.partition("fault, ")[2].split()[0], 16)
    assert address % (1 << 20)  # in the page without memory below the stack
    assert small > 200  # a megabyte was used before


async def test_an_endless_loop_ends_with_its_budget(model: str, preemption: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        endless = await kernel.spawn("wild", args=["endless-loop"], budget=3_000_000)
        other = await kernel.spawn("hello")
        assert await other.wait() == fluke.Exit("exited", 0)
        assert (await endless.wait()).reason == "budget"
        assert await endless.stdout.read_all() == b"about to commit: endless-loop\n"
        await endless.kill()
        assert kernel.statistics().objects == 0


async def test_bad_pointers_lose_only_the_thread_that_gave_them(model: str, preemption: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("badpointers")
        output = (await process.stdout.read_all()).decode()
        assert await process.wait() == fluke.Exit("exited", 0)
        now = kernel.statistics()
    match = re.search(r"^alive after (\d+) attempts, (\d+) returned$", output, re.MULTILINE)
    assert match is not None
    attempts, returned = map(int, match.groups())
    rows = re.findall(r"^\w+ +(\d+) attempts, +(\d+) returned$", output, re.MULTILINE)
    assert (sum(int(row[0]) for row in rows), sum(int(row[1]) for row in rows)) == (attempts, returned)
    assert attempts > 500
    assert 0 < now.exceptions <= attempts
    assert (now.objects, now.memory_used_bytes) == (0, 0)


async def trace(path: Path, model: str, preemption: str) -> bytes:
    async with fluke.Kernel(model=model, preemption=preemption, trace=path) as kernel:
        for misdeed in MISDEEDS:
            await (await kernel.spawn("wild", args=[misdeed])).wait()
        await (await kernel.spawn("badpointers", args=["ipc_reply_wait_receive"])).wait()
    return path.read_bytes()  # noqa: ASYNC240  # a local file, at the end


async def test_same_seed_same_trace(model: str, preemption: str, tmp_path: Path) -> None:
    first = await trace(tmp_path / "first", model, preemption)
    assert await trace(tmp_path / "second", model, preemption) == first


async def test_both_models_tell_the_same_story(preemption: str, tmp_path: Path) -> None:
    interrupt = await trace(tmp_path / "interrupt", "interrupt", preemption)
    process = await trace(tmp_path / "process", "process", preemption)
    assert of_both_models(interrupt) == of_both_models(process)


async def test_a_flood_of_messages_leaves_the_application_its_event_loop(model: str) -> None:
    async with fluke.Kernel(model=model) as kernel:
        process = await kernel.spawn("greedy", args=["flood"])
        for _ in range(3):
            await anyio.lowlevel.checkpoint()  # would never come back
        await process.kill()
        assert (await process.wait()).reason == "killed"


async def test_requests_without_a_caller_cost_the_host_nothing(model: str) -> None:
    async with fluke.Kernel(model=model) as kernel:
        process = await kernel.spawn("greedy", args=["sleeps"], budget=200_000)
        assert (await process.wait()).reason == "budget"
        assert await kernel.inspect(lambda core: len(core.timeline)) == 0
        await process.kill()
        clock = await kernel.spawn("clock", args=["1", "1"])
        match = re.search(rb"from (\d+) us", await clock.stdout.read_all())
        assert match is not None
        assert int(match[1]) < 10_000


async def test_the_clock_cannot_be_made_to_overflow(model: str) -> None:
    async with fluke.Kernel(model=model) as kernel:
        process = await kernel.spawn("greedy", args=["far-sleep"])
        assert await process.stdout.read_all() == b"the timer answers 1\n"  # DeviceStatus.BAD_REQUEST


async def test_a_budget_covers_the_spaces_that_a_program_makes(model: str, preemption: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("greedy", args=["child-space"], budget=3_000_000)
        assert (await process.wait()).reason == "budget"
        assert await process.stdout.read_all() == b"out of the space\n"
        stopped_at = kernel.statistics().time_ns
        witness = await kernel.spawn("hello")
        await witness.wait()
        assert kernel.statistics().time_ns - stopped_at < 10_000
        assert [thread.condition for thread in process.threads()] == ["out of budget"] * 2
        await process.kill()
        assert kernel.statistics().objects == 0


async def test_a_page_that_can_only_be_written_is_no_page(model: str) -> None:
    data = Part(0x20000, memory_size=4096, access=WRITE)
    program = elf(rv64.lui("a0", 0x20), rv64.amoadd("a1", "a2", "a0"), rv64.EBREAK, parts=(data,))
    async with fluke.Kernel(model=model) as kernel:
        exit_ = await (await kernel.spawn(program, budget=1000)).wait()
        assert exit_.reason == "exception"
        assert "breakpoint" in exit_.message  # the loader makes what can be written readable
