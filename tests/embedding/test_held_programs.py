"""Programs whose memory is held again and again while they run notice nothing, and each hold has its own moment."""

from __future__ import annotations

import pytest

from fluke_async.abi.codes import USER_END
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.invariants import check
from fluke_async.verify.onlooker import Onlooker
from fluke_async.verify.programs import program

PAUSES = 40
PROGRAMS = ("bulk", "checkpoint", "cow", "nested", "pager", "philosophers", "pingpong", "primes", "shared_memory")


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_that_is_held_again_and_again_notices_nothing(name: str, model: str, preemption: str) -> None:
    undisturbed = ClosedRun(program(name), model, preemption)
    undisturbed.run()
    interval = undisturbed.core.time // PAUSES + 1
    run = ClosedRun(program(name), model, preemption)
    onlooker = Onlooker(run.core, run.loaded.slab.start, USER_END)

    def pause() -> None:
        run.hart.park_resident()
        onlooker.look()
        check(run.core)
        run.pause_at(run.core.time + interval)

    run.on_pause = pause
    run.pause_at(interval)
    run.run()
    onlooker.end()
    assert (run.exit, run.core.time) == (undisturbed.exit, undisturbed.core.time)
    assert run.output.data == undisturbed.output.data
    assert run.completed == undisturbed.completed
    assert onlooker.looks > PAUSES // 4
    assert onlooker.told > 0
    assert run.core.quota.used_bytes == undisturbed.core.quota.used_bytes
    run.close()
    undisturbed.close()
