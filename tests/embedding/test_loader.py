"""Loading: what is no program is refused and leaves nothing; memory has a limit; nothing is left after an end."""

from __future__ import annotations

import random

import pytest

import fluke_async as fluke
from fluke_async.cpu.protocol import EXECUTE, READ, WRITE
from fluke_async.embedding.loader import STACK_START, START_BLOCK_VA
from fluke_async.programs import find_program
from tests.cpu import rv64
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import LOOP, RECEIVES_FROM_NOBODY, Feed, Part, elf

HELLO = find_program("hello")
REFUSED = {
    "nothing": (b"", "not an ELF file"),
    "text": (b"#!/bin/sh\n", "not an ELF file"),
    "a magic number alone": (b"\x7fELF", "not a sound ELF file"),
    "a truncated program": (HELLO[:200], "truncated"),
    "another machine": (HELLO[:18] + b"\x3e\0" + HELLO[20:], "build it for RV64"),
    "entry nowhere": (elf(rv64.EBREAK, entry=0x5000_0000), "is not in an executable segment"),
    "entry in data": (
        elf(rv64.EBREAK, parts=(Part(0x20000, bytes(8)),), entry=0x20000),
        "not in an executable segment",
    ),
    "two segments on a page": (elf(rv64.EBREAK, parts=(Part(0x10800, b"x"),)), "shares a page"),
    "the null page": (elf(rv64.EBREAK, parts=(Part(0, b"x"),)), "link it to other addresses"),
    "beyond user memory": (elf(rv64.EBREAK, parts=(Part(1 << 38, b"x"),)), "link it to other addresses"),
    "around the end of addresses": (elf(rv64.EBREAK, parts=(Part(2**64 - 8, b"x" * 16),)), "link it to other"),
    "the stack": (elf(rv64.EBREAK, parts=(Part(STACK_START, b"x"),)), "reaches into the stack"),
    "the start block": (elf(rv64.EBREAK, parts=(Part(START_BLOCK_VA, b"x"),)), "reaches into the stack"),
    "up to the stack": (elf(rv64.EBREAK, parts=(Part(STACK_START - 4096, b"x" * 4096),)), "reaches into the stack"),
    "more than there is": (elf(rv64.EBREAK, parts=(Part(0x20000, memory_size=1 << 30),)), "give the kernel more"),
    "all addresses": (
        elf(rv64.EBREAK, parts=(Part(0x20000, memory_size=(1 << 38) - 0x20000),)),
        "give the kernel more",
    ),
}


def check_nothing_left(kernel: fluke.Kernel) -> None:
    now = kernel.statistics()
    assert (now.processes, now.objects, now.frames, now.memory_used_bytes) == (0, 0, 0, 0)


@pytest.mark.parametrize("case", REFUSED)
async def test_what_is_no_program_is_refused(make_kernel: MakeKernel, case: str) -> None:
    data, reason = REFUSED[case]
    async with make_kernel() as kernel:
        with pytest.raises(fluke.ProgramError) as caught:
            await kernel.spawn(data)
        assert reason in str(caught.value)
        assert "\n" not in str(caught.value)
        check_nothing_left(kernel)
        assert (await (await kernel.spawn("hello")).wait()).reason == "exited"


async def test_damaged_programs_harm_nobody(make_kernel: MakeKernel) -> None:
    chance = random.Random(1)
    async with make_kernel() as kernel:
        for _ in range(40):
            data = bytearray(HELLO)
            for _ in range(chance.choice((1, 3, 20))):
                data[chance.randrange(chance.choice((64, 400, len(data))))] = chance.randrange(256)
            try:
                process = await kernel.spawn(bytes(data), budget=20_000)
            except fluke.ProgramError:
                check_nothing_left(kernel)
                continue
            await process.wait()
            await process.kill()
            check_nothing_left(kernel)


async def test_a_segment_just_below_the_stack_is_loaded(make_kernel: MakeKernel) -> None:
    program = elf(rv64.EBREAK, parts=(Part(STACK_START - 2 * 4096, b"x" * 4096),))
    async with make_kernel() as kernel:
        end = await (await kernel.spawn(program)).wait()
        assert "breakpoint" in end.message
        check_nothing_left(kernel)


async def test_a_segment_has_the_access_that_it_asks_for(make_kernel: MakeKernel) -> None:
    address = 0x20000
    store = (rv64.lui("a0", address >> 12), rv64.store("a0", "a0"), rv64.EBREAK)
    jump = (rv64.lui("a0", address >> 12), rv64.jalr("a0"))
    code = rv64.code(rv64.EBREAK)
    cases = [
        (store, READ, f"store fault, {address:#x}"),
        (store, READ | WRITE, "breakpoint"),
        (jump, READ | WRITE, f"fetch fault, {address:#x}"),
        (jump, READ | EXECUTE, f"breakpoint, {address:#x}"),
    ]
    async with make_kernel() as kernel:
        for instructions, access, message in cases:
            process = await kernel.spawn(elf(*instructions, parts=(Part(address, code, access=access),)))
            assert message in (await process.wait()).message


async def test_zeros_follow_what_the_file_has_of_a_segment(make_kernel: MakeKernel) -> None:
    program = elf(
        rv64.lui("a0", 0x20),
        rv64.load("a1", "a0"),
        rv64.load("a2", "a0", 8),
        rv64.jal(0),
        parts=(Part(0x20000, b"\x07" * 4, memory_size=0x3000),),
    )
    async with make_kernel() as kernel:
        process = await kernel.spawn(program, budget=10)
        await process.wait()
        (thread,) = process.threads()
        assert thread.registers[11:13] == (0x07070707, 0)


async def test_memory_comes_when_it_is_touched_and_ends_at_the_quota(make_kernel: MakeKernel) -> None:
    async with make_kernel(memory="1M") as kernel:
        fits = await kernel.spawn("memory", args=["800"])
        assert await fits.stdout.read_all() == b"800 KiB hold what was written\n"
        check_nothing_left(kernel)
        refused = await kernel.spawn("memory", args=["4000"])
        assert await refused.stdout.read_all() == b"no memory for 4000 KiB\n"
        too_much = await kernel.spawn("memory", args=["960"])
        end = await too_much.wait()
        assert end.reason == "exception"
        assert "out of memory" in end.message
        check_nothing_left(kernel)


async def test_data_beyond_the_quota_is_refused(make_kernel: MakeKernel) -> None:
    program = elf(rv64.EBREAK, parts=(Part(0x20000, b"x" * (970 << 10)),))
    async with make_kernel(memory="1M") as kernel:
        with pytest.raises(fluke.ProgramError, match='memory="128M"'):
            await kernel.spawn(program)
        check_nothing_left(kernel)


async def test_processes_fill_the_memory_and_give_it_back(make_kernel: MakeKernel) -> None:
    async with make_kernel(memory="1M") as kernel:
        for _ in range(2):
            processes = []
            with pytest.raises(fluke.ProgramError, match="give"):
                while True:
                    processes.append(await kernel.spawn("spin"))
            assert len(processes) > 10
            for process in processes:
                await process.kill()
            check_nothing_left(kernel)


async def test_nothing_is_left_however_a_process_ends(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        for program in ("hello", "primes", "clock", elf(rv64.EBREAK), RECEIVES_FROM_NOBODY):
            await (await kernel.spawn(program)).wait()
            check_nothing_left(kernel)
        stopped = await kernel.spawn(LOOP, budget=10)
        await stopped.wait()
        await stopped.kill()
        check_nothing_left(kernel)
        feed = Feed()
        blocked = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        await blocked.kill()
        check_nothing_left(kernel)
