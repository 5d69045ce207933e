"""Programs of several spaces that send each other messages: right and alike in every configuration, nothing left."""

from __future__ import annotations

import re

import pytest

import fluke_async as fluke
from fluke_async.execution.configuration import CONFIGURATIONS
from tests.userland.running import cut_off, in_use, output_in_steps, output_of

PROGRAMS = {"pingpong": ["20", "5"], "pipeline": ["4", "64"], "rpc_server": ["3", "5"]}
WORD_MASK = (1 << 64) - 1
XOR, COUNT, SUM = range(3)
each_program = pytest.mark.parametrize("name", PROGRAMS)


async def lines_of(model: str, preemption: str, name: str, *args: str) -> list[str]:
    """The lines of a program that ends well; nothing is in use then."""
    return (await output_of(model, preemption, name, args)).decode().splitlines()


@pytest.mark.parametrize(("rounds", "words"), [(1, 1), (100, 8), (7, 1025), (2, 16384)])
async def test_pingpong_makes_all_rounds_in_each_way(model: str, preemption: str, rounds: int, words: int) -> None:
    lines = await lines_of(model, preemption, "pingpong", str(rounds), str(words))
    found = [re.fullmatch(r"([a-z ]+): +(\d+) round trips, (\d+) bytes right, (\d+) ns each", line) for line in lines]
    rows = [match.groups() for match in found if match is not None]
    assert [name for name, *_ in rows] == ["call", "kept connection", "connection for each"]
    assert all((int(made), int(right)) == (rounds, 2 * 8 * rounds * words) for _, made, right, _ in rows)
    assert all(int(time_ns) > 0 for *_, time_ns in rows)


async def test_pingpong_finds_that_a_connection_for_each_round_takes_longer(model: str, preemption: str) -> None:
    lines = await lines_of(model, preemption, "pingpong", "50", "1")
    _, kept_ns, each_ns = [int(line.split()[-3]) for line in lines]
    assert kept_ns < each_ns


def filtered(stages: int, kib: int) -> list[int]:
    """What the stages of a pipeline find out: a key, a number of zero bytes, or a sum."""
    words = [(i + 1) * 0x9E3779B97F4A7C15 & WORD_MASK for i in range(kib * 128)]
    found = []
    for stage in range(stages):
        if stage % 3 == XOR:
            key = 0x0123456789ABCDEF * (2 * stage + 1) & WORD_MASK
            words = [word ^ key for word in words]
            found.append(key)
        elif stage % 3 == COUNT:
            found.append(sum(word.to_bytes(8, "little").count(0) for word in words))
        else:
            total = 0
            for word in words:
                total = (total * 31 + word) & WORD_MASK
            found.append(total)
    return found


@pytest.mark.parametrize(("stages", "kib"), [(1, 1), (3, 100), (8, 64), (2, 1024)])
async def test_pipeline_loses_and_changes_nothing(model: str, preemption: str, stages: int, kib: int) -> None:
    *found, last = await lines_of(model, preemption, "pipeline", str(stages), str(kib))
    pieces = 4 * -(-kib * 32 // 1024)
    assert last == (
        f"{kib * 1024} bytes in 4 messages of {pieces} pieces came through {stages} spaces, every one right"
    )
    told = [(line.split(":")[0], int(line.split()[3], 0)) for line in found]
    names = [f"stage {stage + 1}, {('xor', 'count', 'sum')[stage % 3]}" for stage in range(stages)]
    assert told == list(zip(names, filtered(stages, kib), strict=True))


@pytest.mark.parametrize(("clients", "requests"), [(1, 0), (4, 10), (16, 20)])
async def test_rpc_server_goes_on_whatever_its_clients_do(
    model: str, preemption: str, clients: int, requests: int
) -> None:
    lines = await lines_of(model, preemption, "rpc_server", str(clients), str(requests))
    counted = f"the sum of 1 to {requests} is {requests * (requests + 1) // 2}, its counter is closed"
    assert lines == [
        *(f"client {number}: {counted}" for number in range(1, clients + 1)),
        f"client {clients + 1} is destroyed in the middle of its call",
        f"client {clients + 2} is refused 3 references, and stopped by a mistake of its own: there was none",
        f"client {clients + 3}: {counted}",
        f"{clients + 2} counters were opened, {clients + 1} closed, and 1 taken back from who was gone",
        "0 objects are left, and 0 bytes",
    ]


@each_program
async def test_output_is_the_same_in_every_configuration(name: str) -> None:
    outputs = [await lines_of(model, preemption, name, *PROGRAMS[name]) for model, preemption in CONFIGURATIONS]
    assert outputs[0]
    assert outputs == [outputs[0]] * len(CONFIGURATIONS)


@each_program
@pytest.mark.parametrize("budget", [1_000, 9_000, 30_000, 80_000, 200_000])
async def test_nothing_is_left_of_a_program_that_was_cut_off(
    model: str, preemption: str, name: str, budget: int
) -> None:
    await cut_off(model, preemption, name, PROGRAMS[name], budget)


@each_program
async def test_program_that_gets_its_budget_in_steps_ends_well(model: str, preemption: str, name: str) -> None:
    """It stops at instants that it cannot choose, in the middle of its messages."""
    args = PROGRAMS[name]
    assert await output_in_steps(model, preemption, name, args) == await output_of(model, preemption, name, args)


@pytest.mark.parametrize(
    "args",
    [["0"], ["-1"], ["x"], ["1x"], [""], ["1", "0x1"], ["1", "-"], ["1", "1", "1"], ["99999999999999999999"]],
)
@each_program
async def test_wrong_arguments_are_told(model: str, name: str, args: list[str]) -> None:
    async with fluke.Kernel(model=model) as kernel:
        process = await kernel.spawn(name, args=args)
        output = await process.stdout.read_all()
        assert output.startswith(f"usage: {name} [".encode())
        assert output.count(b"\n") == 1
        assert await process.wait() == fluke.Exit("exited", 2)


@pytest.mark.parametrize(
    ("name", "args"), [("pingpong", ["3", "10000"]), ("pipeline", ["8", "64"]), ("rpc_server", ["16", "1"])]
)
async def test_too_little_memory_is_told_and_nothing_is_left(model: str, name: str, args: list[str]) -> None:
    """In a crowd that has not room for all: who has none says so. There is room for one then."""
    async with fluke.Kernel(model=model, memory="1M") as kernel:
        crowd = [await kernel.spawn(name, args=args) for _ in range(12)]
        ends = []
        for process in crowd:
            output = await process.stdout.read_all()
            end = await process.wait()
            if end.reason == "exited":
                assert end.status == 0 or output.startswith(b"not enough memory for the ")
            else:
                assert end.reason == "exception"
                assert "out of memory" in end.message
            ends.append(end)
            await process.kill()
        assert any(end != fluke.Exit("exited", 0) for end in ends)
        assert in_use(kernel) == (0, 0, 0)
        process = await kernel.spawn(name, args=args)
        assert await process.wait() == fluke.Exit("exited", 0)
