"""The programs about mutexes and conditions, each in every configuration."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fluke_async as fluke
from fluke_async.execution.configuration import CONFIGURATIONS
from fluke_async.programs import userland_directory
from fluke_async.toolchain import compile_program
from tests.embedding.guest import Feed
from tests.userland.test_programs import run


@pytest.mark.parametrize(("philosophers", "meals"), [(2, 7), (3, 4), (5, 10), (100, 3)])
async def test_philosophers_eat_together_and_neighbours_do_not(
    model: str, preemption: str, philosophers: int, meals: int
) -> None:
    output, end = await run(model, preemption, "philosophers", [str(philosophers), str(meals)])
    assert end == fluke.Exit("exited", 0)
    match = re.fullmatch(
        rf"{philosophers} philosophers: each had {meals} meals, at most (\d+) ate at once, "
        r"no neighbours shared a fork\n",
        output.decode(),
    )
    assert match is not None, output
    assert min(2, philosophers // 2) <= int(match[1]) <= philosophers // 2


@pytest.mark.parametrize(
    ("producers", "consumers", "items", "slots"),
    [
        (3, 3, 100, 8),
        (1, 1, 30, 1),
        (20, 1, 5, 3),  # producers wait
        (1, 20, 5, 3),  # consumers wait, to the end and in vain
        (2, 3, 0, 1),
        (2, 2, 50, 1000),
    ],
)
async def test_what_producers_put_in_consumers_take_out(
    model: str, preemption: str, producers: int, consumers: int, items: int, slots: int
) -> None:
    args = [str(number) for number in (producers, consumers, items, slots)]
    output, end = await run(model, preemption, "bounded_buffer", args)
    count = producers * items
    tally = f"{count} items, sum {count * (count + 1) // 2}"
    assert output.decode() == f"produced: {tally}\nconsumed: {tally}\n"
    assert end == fluke.Exit("exited", 0)


async def test_a_mutex_that_lends_priority_ends_the_inversion(model: str, preemption: str) -> None:
    output, end = await run(model, preemption, "inversion", [])
    assert end == fluke.Exit("exited", 0)
    lines = re.findall(r"(.*): the high thread waited (\d+) us, (also|but not) for the middle one\n", output.decode())
    assert [(protocol, whom) for protocol, _, whom in lines] == [
        ("plain mutex", "also"),
        ("priority inheritance", "but not"),
        ("priority ceiling", "but not"),
    ]
    plain_us, inheritance_us, ceiling_us = (int(waited_us) for _, waited_us, _ in lines)
    assert plain_us - inheritance_us > 4000  # the middle one computes about 5 ms
    assert max(inheritance_us, ceiling_us) < 2000  # the low one owns the mutex for 2 ms


async def test_the_high_thread_waits_as_long_in_every_configuration() -> None:
    assert len({await run(*configuration, "inversion", []) for configuration in CONFIGURATIONS}) == 1


@pytest.mark.parametrize(
    "command",
    [
        "philosophers 1",
        "philosophers 101",
        "philosophers 5 -1",
        "philosophers many",
        "bounded_buffer 0",
        "bounded_buffer 101",
        "bounded_buffer 1 0",
        "bounded_buffer 1 1 -1",
        "bounded_buffer 1 1 1 0",
        "locks_bench",
        "locks_bench everything",
        "locks_bench crowd -1",
    ],
)
async def test_wrong_arguments_are_told(model: str, preemption: str, command: str) -> None:
    name, *args = command.split()
    output, end = await run(model, preemption, name, args)
    assert output.startswith(f"usage: {name} ".encode())
    assert end == fluke.Exit("exited", 2)


async def test_a_buffer_that_does_not_fit_is_told(model: str, preemption: str) -> None:
    output, end = await run(model, preemption, "bounded_buffer", ["1", "1", "1", "2000000000"])
    assert (output, end) == (b"not enough memory for the buffer\n", fluke.Exit("exited", 1))


@pytest.mark.parametrize(
    ("operation", "phases"), [("mutex", b""), ("cond", b""), ("crowd", b"blocked\nwoken in order\n")]
)
@pytest.mark.parametrize("count", [0, 1, 200])
async def test_locks_bench(model: str, preemption: str, operation: str, phases: bytes, count: int) -> None:
    output, end = await run(model, preemption, "locks_bench", [operation, str(count)])
    assert output == phases + f"{operation}: {count} times\n".encode()
    assert end == fluke.Exit("exited", 0)


async def test_a_crowd_waits_in_order_until_somebody_has_looked(model: str, preemption: str) -> None:
    feed = Feed()
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("locks_bench", args=["crowd", "50"], stdin=feed)
        await feed.wanted.wait()
        waiting = [thread.continuation for thread in process.threads() if thread.entry_point == "mutex_lock"]
        orders = [record.wait_order for record in waiting if record is not None]
        assert len(orders) == 50
        assert orders == sorted(orders)
        feed.end()
        assert (await process.stdout.read_all()).startswith(b"blocked\nwoken in order\n")


async def test_a_crowd_that_does_not_fit_is_told(model: str, preemption: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption, memory="4M") as kernel:
        process = await kernel.spawn("locks_bench", args=["crowd", "3000"])
        assert await process.stdout.read_all() == b"not enough memory for the threads\n"
        assert await process.wait() == fluke.Exit("exited", 1)


@pytest.mark.sdk
@pytest.mark.asyncio(loop_factories=["asyncio"])
@pytest.mark.parametrize(
    ("name", "right", "wrong", "complaint"),
    [
        ("philosophers", " || table[right_of(i)].state == EATING", "", b"neighbours shared a fork"),
        ("philosophers", "while (present > 0)", "while (false)", b"not each had 10 meals"),
        ("bounded_buffer", "while (used == size)", "while (false)", b"consumed: 300 items"),
        ("inversion", ".flags = flags", ".flags = 0", b"priority inheritance: the high thread waited 6"),
    ],
)
async def test_the_programs_notice_what_goes_wrong(
    tmp_path: Path, name: str, right: str, wrong: str, complaint: bytes
) -> None:
    source = (userland_directory() / f"programs/{name}.c").read_text("utf-8")
    assert source.count(right) == 1
    spoiled = tmp_path / "spoiled.c"
    spoiled.write_text(source.replace(right, wrong))
    compile_program([spoiled], tmp_path / "spoiled.elf")
    output, end = await run("interrupt", "none", str(tmp_path / "spoiled.elf"), [])
    assert complaint in output
    assert end == fluke.Exit("exited", 1)
