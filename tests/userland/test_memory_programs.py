"""Programs with memory of their own making: what they print is right in every configuration, and nothing is left."""

from __future__ import annotations

import re

import pytest

import fluke_async as fluke

PAGE_KIB = 4


async def lines_of(model: str, preemption: str, name: str, *args: str) -> list[str]:
    """The lines of a program that ends well; frames and objects are then what they were before."""
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        before = kernel.statistics()
        process = await kernel.spawn(name, args=args)
        output = await process.stdout.read_all()
        assert await process.wait() == fluke.Exit("exited", 0), output
        after = kernel.statistics()
    for count in ("objects", "frames", "memory_used_bytes"):
        assert getattr(after, count) == getattr(before, count) == 0
    return output.decode().splitlines()


@pytest.mark.parametrize("kib", [1, 256, 1000])
async def test_memtest_faults_once_for_each_page(model: str, preemption: str, kib: int) -> None:
    (line,) = await lines_of(model, preemption, "memtest", str(kib))
    size, faults = map(int, re.findall(r"\d+", line))
    assert size == kib * 1024
    assert faults == -(-kib // PAGE_KIB)


@pytest.mark.parametrize("pages", [4, 64])
async def test_pager_loses_no_word_of_what_it_has_put_away(model: str, preemption: str, pages: int) -> None:
    lines = await lines_of(model, preemption, "pager", str(pages))
    assert lines[-1] == "every word was right"
    rows = [tuple(map(int, re.findall(r"(\d+) (?:faults|zeroed|out|in)", line))) for line in lines if "faults" in line]
    assert rows[0] == (pages, pages, 0, 0)  # every page is zero at its first touch
    assert rows[1] == (0, 0, 0, 0)
    assert rows[2] == (pages, pages, pages // 2, 0)  # half of them have no frame any more
    assert all(read_back <= faults for faults, _, _, read_back in rows)
    assert rows[-1][3] > 0


async def test_cow_copies_the_pages_that_are_written_and_no_others(model: str, preemption: str) -> None:
    lines = await lines_of(model, preemption, "cow")
    copied = [re.fullmatch(r"view (\d): (\d) of 8 pages copied, .*every word is right", line) for line in lines]
    assert [match and match.groups() for match in copied] == [("0", "4"), ("1", "3"), ("2", "2")]


@pytest.mark.parametrize("depth", [1, 3, 5])
async def test_nested_processes_print_through_all_levels_above(model: str, preemption: str, depth: int) -> None:
    lines = await lines_of(model, preemption, "nested", str(depth))
    assert max(line.count("| ") for line in lines) == depth - 1
    for level in range(2, depth + 1):
        prefix = "".join(f"{number}| " for number in range(2, level))
        assert any(line.startswith(f"{prefix}level {level} exited with 0, its answer is whole") for line in lines)
        assert any(line.startswith(f"{prefix}level {level} is gone") for line in lines)


@pytest.mark.parametrize("rounds", [1, 200])
async def test_shared_memory_passes_every_number_through_three_spaces(model: str, preemption: str, rounds: int) -> None:
    lines = await lines_of(model, preemption, "shared_memory", str(rounds))
    total = sum(number * number for number in range(1, rounds + 1))
    assert f"{rounds} numbers went through three spaces, the sum of their squares is {total}" in lines
    assert "a store to it was refused" in lines[-1]
