"""Programs whose memory is held again and again while they run notice nothing, and each hold has its own moment."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from fluke_async.abi.codes import PAGE_SIZE, USER_END
from fluke_async.kernel.hold import Hold
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.invariants import check
from fluke_async.verify.programs import program

PAUSES = 40
KEPT = 3  # holds at a time
PROGRAMS = ("bulk", "checkpoint", "cow", "nested", "pager", "philosophers", "pingpong", "primes", "shared_memory")


@dataclass
class Held:
    """A hold, a full copy of its moment, and what has been taken of it."""

    hold: Hold
    copy: dict[int, bytes]
    taken: dict[int, bytes] = field(default_factory=dict)


class Holder:
    """Somebody who holds a program's memory at every pause, and takes a few pages of all holds that there are."""

    def __init__(self, run: ClosedRun, interval: int) -> None:
        self.run, self.interval = run, interval
        self.all_held: list[Held] = []
        self.changed = self.pauses = 0
        run.on_pause = self.pause
        run.pause_at(run.core.time + interval)

    def pause(self) -> None:
        run = self.run
        run.hart.park_resident()
        for held in self.all_held:
            held.taken |= held.hold.take(run.core, 1 + self.pauses % 3)
            assert held.taken.items() <= held.copy.items()
        copy, start = self.contents(), run.loaded.slab.start
        self.all_held.append(Held(run.core.root.hold(run.core, start, USER_END), copy))
        check(run.core)
        if len(self.all_held) > 1:
            self.compare(*self.all_held[-2:])
        if len(self.all_held) > KEPT:
            self.finish(self.all_held.pop(0))
        self.pauses += 1
        run.pause_at(run.core.time + self.interval)

    def contents(self) -> dict[int, bytes]:
        """What the program's memory holds, by offset."""
        core, start = self.run.core, self.run.loaded.slab.start
        return {
            address - start: bytes(core.hardware.ram[frame : frame + PAGE_SIZE])
            for address, frame in core.root.frames()
            if start <= address < start + USER_END
        }

    def compare(self, earlier: Held, later: Held) -> None:
        """All changes are told."""
        told = later.hold.changed_since(earlier.hold)
        assert told is not None
        assert told >= {offset for offset, content in later.copy.items() if earlier.copy.get(offset) != content}
        self.changed += len(told)

    def finish(self, held: Held) -> None:
        """Take what is left."""
        while not held.hold.is_done:
            held.taken |= held.hold.take(self.run.core, 16)
        assert held.taken == held.copy
        held.hold.end(self.run.core)


@pytest.mark.parametrize("name", PROGRAMS)
def test_program_that_is_held_again_and_again_notices_nothing(name: str, model: str, preemption: str) -> None:
    undisturbed = ClosedRun(program(name), model, preemption)
    undisturbed.run()
    run = ClosedRun(program(name), model, preemption)
    holder = Holder(run, undisturbed.core.time // PAUSES + 1)
    run.run()
    for held in holder.all_held:
        holder.finish(held)
    assert (run.exit, run.output.data, run.core.time) == (
        undisturbed.exit,
        undisturbed.output.data,
        undisturbed.core.time,
    )
    assert run.completed == undisturbed.completed
    assert holder.pauses > PAUSES // 4
    assert holder.changed > 0
    assert run.core.quota.used_bytes == undisturbed.core.quota.used_bytes
    run.close()
    undisturbed.close()
