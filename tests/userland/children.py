"""Running `checkpoint`: what its child prints, and what it says itself."""

from __future__ import annotations

from collections.abc import Sequence

import fluke_async as fluke
from tests.userland.running import in_use

STDIN = b"one\ntwo\n"
END_OF_CHILD = "the child exited with "
DONE = fluke.Exit("exited", 0)


async def run(
    args: Sequence[str], *, model: str = "interrupt", preemption: str = "partial", cpus: int = 1, seed: int = 0,
    program: str = "checkpoint",
) -> tuple[str, list[str], fluke.Exit]:  # fmt: skip
    """What the child printed, the lines that its parent printed after it, and how that one ended."""
    async with fluke.Kernel(model=model, preemption=preemption, cpus=cpus, seed=seed) as kernel:
        process = await kernel.spawn(program, args=args, stdin=STDIN)
        output = (await process.stdout.read_all()).decode()
        end = await process.wait()
        await process.kill()
        assert in_use(kernel) == (0, 0, 0)
    child, _, rest = output.partition(END_OF_CHILD)
    return child, rest.splitlines(), end


async def undisturbed(work: str) -> str:
    """What a child prints that is left alone."""
    child, rest, end = await run(["-n", "0", work])
    assert (rest, end) == (["0"], DONE)
    assert child.startswith("line 1: one\nline 2: two\nitems: ")
    return child
