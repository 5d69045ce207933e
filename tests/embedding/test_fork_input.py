"""Copies of a process that waits for input each get their own."""

from __future__ import annotations

from typing import Any

import pytest

import fluke_async as fluke
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import Feed, idle


async def waiting(kernel: fluke.Kernel, feed: Feed, name: str = "echo") -> fluke.Process:
    process = await kernel.spawn(name, stdin=feed)
    await feed.wanted.wait()
    return process


async def output_of(process: fluke.Process) -> bytes:
    output = await process.stdout.read_all()
    assert await process.wait() == fluke.Exit("exited", 0)
    return output


async def test_each_copy_has_its_own_input(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await waiting(kernel, feed, "factors")
        stream = Feed()
        stream.give(b"15\n")
        stream.end()
        branches = await process.fork(4, stdin=[b"12\n", stream, None, b"13\n14\n"])
        outputs = [await output_of(each) for each in branches]
        assert outputs == [b"12 = 2 x 2 x 3\n", b"15 = 3 x 5\n", b"", b"13 = 13\n14 = 2 x 7\n"]
        feed.give(b"16\n")
        feed.end()
        assert await output_of(process) == b"the table is there\n16 = 2 x 2 x 2 x 2\n"


async def test_input_that_was_there_comes_first(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await waiting(kernel, feed)
        feed.give(b"half a ")
        while feed.pieces:
            await idle()
        await feed.wanted.wait()
        (branch,) = await process.fork(1, stdin=[b"line\n"])
        assert await output_of(branch) == b"half a line\n"
        feed.end()


async def test_copies_without_input_are_at_the_end(make_kernel: MakeKernel) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await waiting(kernel, feed)
        assert [await output_of(each) for each in await process.fork(2)] == [b"", b""]
        feed.end()


@pytest.mark.parametrize("stdin", [b"ab", "ab", [b""], [b"", b"", b""], 7, [b"", "text"], [b"", 7]])
async def test_what_is_no_input_for_each_is_refused(make_kernel: MakeKernel, stdin: Any) -> None:
    feed = Feed()
    async with make_kernel() as kernel:
        process = await waiting(kernel, feed)
        with pytest.raises(fluke.FlukeError, match="stdin"):
            await process.fork(2, stdin=stdin)
        assert len(kernel.processes()) == 1
        feed.end()
