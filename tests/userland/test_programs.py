"""The programs that come with the library, each in every configuration."""

from __future__ import annotations

import re

import pytest

import fluke_async as fluke
from fluke_async.programs import find_program, list_programs

Run = tuple[bytes, fluke.Exit]


async def run(
    model: str, preemption: str, name: str, args: list[str], stdin: bytes = b"", budget: int | None = None
) -> Run:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn(name, args=args, stdin=stdin, budget=budget)
        output = await process.stdout.read_all()
        end = await process.wait()
        await process.kill()
        assert kernel.statistics().memory_used_bytes == 0
        return output, end


def count_primes(first: int, end: int) -> int:
    return sum(all(n % d for d in range(2, int(n**0.5) + 1)) for n in range(max(2, first), end))


def test_every_program_is_there() -> None:
    names = [name for name, _ in list_programs()]
    assert {
        "bounded_buffer",
        "bulk",
        "checkpoint",
        "clock",
        "cow",
        "echo",
        "fairshare",
        "foreign",
        "hello",
        "inversion",
        "manager",
        "memtest",
        "nested",
        "pager",
        "philosophers",
        "pingpong",
        "pipeline",
        "primes",
        "rpc_server",
        "shared_memory",
        "usertests",
    } == set(names)
    for name, description in list_programs():
        assert find_program(name).startswith(b"\x7fELF")
        assert description


@pytest.mark.parametrize(
    ("args", "output"),
    [([], b"Hello, world!\n"), (["you"], b"Hello, you!\n"), (["a", "b"], b"Hello, a!\nHello, b!\n")],
)
async def test_hello(model: str, preemption: str, args: list[str], output: bytes) -> None:
    assert await run(model, preemption, "hello", args) == (output, fluke.Exit("exited", 0))


@pytest.mark.parametrize(
    ("args", "stdin", "output"),
    [
        (["one", "two  three"], b"ignored\n", b"one two  three\n"),
        ([], b"", b""),
        ([], b"\n", b"\n"),
        ([], b"a\nb\n\nc", b"a\nb\n\nc\n"),
        ([], b"x" * 511 + b"\n" + b"y" * 510 + b"\n", b"x" * 511 + b"\n\n" + b"y" * 510 + b"\n"),
        ([], b"\xff\xfe\x01\n", b"\xff\xfe\x01\n"),
    ],
)
async def test_echo(model: str, preemption: str, args: list[str], stdin: bytes, output: bytes) -> None:
    assert await run(model, preemption, "echo", args, stdin) == (output, fluke.Exit("exited", 0))


@pytest.mark.parametrize("lines", [0, 1, 5])
async def test_foreign_calls_are_done_by_the_keeper_of_the_guests_space(
    model: str, preemption: str, lines: int
) -> None:
    output, end = await run(model, preemption, "foreign", [str(lines)])
    assert end == fluke.Exit("exited", 0)
    written = [f"line {number} of process 42" for number in range(1, lines + 1)]
    assert output.decode().splitlines() == [
        *written,
        f"written: {sum(len(line) + 1 for line in written)}; to another file: -9; from nowhere: -14; reboot: -38",
        f"the guest has exited with {lines}, after {lines + 5} calls",
    ]


@pytest.mark.parametrize(("limit", "threads"), [(0, 1), (2, 1), (3, 2), (100, 1), (1000, 4), (500, 16)])
async def test_primes(model: str, preemption: str, limit: int, threads: int) -> None:
    output, end = await run(model, preemption, "primes", [str(limit), str(threads)])
    assert end == fluke.Exit("exited", 0)
    *shares, total = output.decode().splitlines()
    assert total == f"{count_primes(0, limit)} primes below {limit}"
    assert len(shares) == threads
    for index, share in enumerate(shares):
        match = re.fullmatch(r"thread (\d+): (\d+) primes from (\d+) to (\d+)", share)
        assert match is not None
        number, count, first, last = map(int, match.groups())
        assert (number, count) == (index, count_primes(first, last))


@pytest.mark.parametrize("name", ["primes", "clock"])
async def test_wrong_arguments_are_told(model: str, preemption: str, name: str) -> None:
    output, end = await run(model, preemption, name, ["-1"])
    assert output.startswith(b"usage: ")
    assert end == fluke.Exit("exited", 2)


async def test_clock(model: str, preemption: str) -> None:
    output, end = await run(model, preemption, "clock", ["3", "20"])
    assert end == fluke.Exit("exited", 0)
    times = re.findall(rb"sleep (\d): from (\d+) us to (\d+) us\n", output)
    assert [number for number, _, _ in times] == [b"1", b"2", b"3"]
    for _, begin, after in times:
        assert 20_000 <= int(after) - int(begin) < 20_100


@pytest.mark.parametrize("kibibytes", [1, 64, 2048])
async def test_memory(model: str, preemption: str, kibibytes: int) -> None:
    output = f"{kibibytes} KiB hold what was written\n".encode()
    assert await run(model, preemption, "memory", [str(kibibytes)]) == (output, fluke.Exit("exited", 0))


async def test_spin_never_ends(model: str, preemption: str) -> None:
    output, end = await run(model, preemption, "spin", [], budget=3_000_000)
    assert (output, end.reason) == (b"", "budget")


async def test_bulk_comes_back_whole_and_only_preemption_cuts_it(model: str, preemption: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("bulk", args=["16", "1024"])
        output = await process.stdout.read_all()
        counts = kernel.statistics()
    assert output == b"16 messages of 131072 words went there and back, every word whole\n"
    assert (counts.preemptions > 0) == (preemption != "none")
    again = {"interrupt": counts.restarts, "process": counts.resumes}
    assert again.pop(model) == counts.preemptions
    assert list(again.values()) == [0]
