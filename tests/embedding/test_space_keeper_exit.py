"""How a process ends whose threads ask a keeper about their mistakes: who still asks has not been stopped."""

from __future__ import annotations

import fluke_async as fluke


async def test_process_ends_well_though_its_guest_made_nothing_but_mistakes(model: str, preemption: str) -> None:
    async with fluke.Kernel(model=model, preemption=preemption) as kernel:
        process = await kernel.spawn("foreign", args=["2"])
        assert await process.wait() == fluke.Exit("exited", 0)
        counts = kernel.statistics()
        assert counts.exceptions_asked == 8  # two lines, five other calls, the exit
        assert counts.exceptions == 0
