"""`fairshare`: a scheduler in user mode gives its threads what they were promised, in every configuration."""

from __future__ import annotations

import re

import pytest

import fluke_async as fluke
from fluke_async.execution.configuration import CONFIGURATIONS
from tests.userland.running import in_use

LINE = re.compile(r"thread (\d+): (\d+) of (\d+) shares, (\d+\.\d) % of the time, (\d+\.\d) % of the rounds")
WITHIN_PERCENT = 2.0


async def run(model: str, preemption: str, *args: str) -> tuple[fluke.Exit, list[str]]:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("fairshare", args=args)
        output = await process.stdout.read_all()
        exit_ = await process.wait()
        assert in_use(kernel) == (0, 0, 0)
    return exit_, output.decode().splitlines()


@pytest.mark.parametrize("shares", [(1, 2, 3), (5, 3, 2), (1, 1, 8), (1, 1, 1), (7, 2, 1), (100, 50, 1), (4,)])
async def test_threads_get_their_shares_of_time(model: str, preemption: str, shares: tuple[int, ...]) -> None:
    exit_, lines = await run(model, preemption, "-q", "400", *map(str, shares))
    assert exit_ == fluke.Exit("exited", 0)
    assert len(lines) == len(shares)
    for number, (line, share) in enumerate(zip(lines, shares, strict=True), 1):
        match = LINE.fullmatch(line)
        assert match is not None, line
        assert [int(match[1]), int(match[2]), int(match[3])] == [number, share, sum(shares)]
        promised = 100 * share / sum(shares)
        assert abs(float(match[4]) - promised) <= WITHIN_PERCENT
        assert abs(float(match[5]) - promised) <= WITHIN_PERCENT


async def test_shares_are_the_same_in_every_configuration() -> None:
    outputs = [(await run(model, preemption, "3", "5", "1"))[1] for model, preemption in CONFIGURATIONS]
    assert outputs == [outputs[0]] * len(CONFIGURATIONS)


@pytest.mark.parametrize("args", [("0",), ("x",), ("-q",), ("-q", "0", "1"), ("1001",), ("1",) * 9])
async def test_bad_arguments_are_told(args: tuple[str, ...]) -> None:
    exit_, lines = await run("interrupt", "partial", *args)
    assert exit_.status == 2
    assert lines == ["usage: fairshare [-q QUANTA] [SHARE...], of at most 8 threads"]
