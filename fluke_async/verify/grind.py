"""
The kernel under random calls: `python -m fluke_async.verify.grind [--seed N] [--configuration NAME] [--calls M]`.

Each seed is a world of its own: a kernel, made anew and ground by some ten thousand calls. After each batch of calls
all invariants are looked at, and that nothing of the bystanders has changed; at the end everything is destroyed, and
nothing may be left. Nothing but a program's exception may come out of the kernel. A seed and a configuration say what
happens, on any machine; so a failure is said with the command that shows it again. Exit status 1 if there is one.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from zlib import crc32

from fluke_async.execution.configuration import CONFIGURATIONS, Configuration
from fluke_async.verify.grinding.bystanders import Bystanders
from fluke_async.verify.grinding.tally import Tally
from fluke_async.verify.grinding.world import PARENT, World
from fluke_async.verify.invariants import check
from fluke_async.verify.onlooker import Onlooker

BATCH_CALLS = {False: 200, True: 40}  # more often where everything is created again
WORLD_CALLS = 10_000
DEFAULT_CALLS = 20_000  # of each configuration
COMMAND = "python -m fluke_async.verify.grind"


class Mode(Enum):
    """What is done between two batches: nothing; nothing, in a world that can be repeated; that it is created again."""

    PLAIN = "plain"
    REPEATABLE = "repeatable"
    AGAIN = "again"


@dataclass
class Ground:
    """What came of it: calls made, digests of all that programs saw, counts; `failure` is empty if all was well."""

    calls: int = 0
    digests: list[int] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    failure: str = ""

    @property
    def digest(self) -> int:
        """One of all."""
        return crc32(repr(self.digests).encode())


def grind_world(seed: int, configuration: Configuration, calls: int = WORLD_CALLS, mode: Mode = Mode.PLAIN) -> Ground:
    """Grind one world."""
    ground = Ground()
    try:
        world = World(seed, configuration, repeatable=mode is not Mode.PLAIN)
        cpu, core = world.cpu, world.core
        bystanders = Bystanders(world)
        onlooker = Onlooker(core, world.slab, PARENT)
        core.trace = ground.tally.note
        while cpu.calls < calls:
            world.grind(min(BATCH_CALLS[world.repeatable], calls - cpu.calls))
            if mode is Mode.AGAIN:
                bystanders.follow(world.recreate())
            check(core, forged=True)
            bystanders.compare()
            onlooker.look()
            ground.digests.append(cpu.digest)
            ground.calls = cpu.calls
            world.mend(0.3)
            check(core, forged=True)
        onlooker.end()
        world.destroy_everything(bystanders.slab)
        check_nothing_left(world)
    except Exception:  # noqa: BLE001 - whatever comes out of the kernel
        ground.failure = f"{traceback.format_exc()}in batch {len(ground.digests)}"
    return ground


def grind_again(seed: int, configuration: Configuration, calls: int = WORLD_CALLS) -> Ground:
    """Grind a world left alone, and one that is created again after each batch: programs must not see a difference."""
    alone = grind_world(seed, configuration, calls, Mode.REPEATABLE)
    if alone.failure:
        return alone
    again = grind_world(seed, configuration, calls, Mode.AGAIN)
    if not again.failure and again.digests != alone.digests:
        pairs = zip(alone.digests, again.digests, strict=True)
        batch = next(number for number, (one, other) in enumerate(pairs) if one != other)
        again.failure = f"programs see that everything was created again: in batch {batch}"
    again.calls += alone.calls
    again.tally.add(alone.tally)
    return again


def check_nothing_left(world: World) -> None:
    """After the end of everything, everything is as it was at the start."""
    core = world.core
    left = {
        "objects": len(core.objects),
        "bytes of the quota": core.quota.used_bytes,
        "frames": core.frames.in_use,
        "frames shared": len(core.frames.sharers),
        "frames watched": len(core.changes.written),
        "translations": core.tables.used,
        "ready threads": len(core.ready),
        "donors": len(core.sensitive),
    }
    assert not any(left.values()), f"left over: {left}"
    assert core.unfinished is None


def grind(seed: int, configuration: Configuration, calls: int, *, again: bool = False) -> Ground:
    """Grind worlds, one seed after the other, until so many calls have been made or one has failed."""
    total = Ground()
    while total.calls < calls and not total.failure:
        some = min(WORLD_CALLS, calls - total.calls)
        ground = grind_again(seed, configuration, some) if again else grind_world(seed, configuration, some)
        total.calls += ground.calls
        total.digests += ground.digests
        total.tally.add(ground.tally)
        if ground.failure:
            replay = f"{COMMAND} --seed {seed} --configuration {name_of(configuration)} --calls {some}"
            total.failure = f"{ground.failure}; again: {replay}{' --again' * again}"
        seed += 1
    return total


def name_of(configuration: Configuration) -> str:
    """A configuration as the command line names it."""
    return "-".join(configuration)


def main(arguments: Sequence[str]) -> int:
    """The command; returns its exit status."""
    by_name = {name_of(each): each for each in CONFIGURATIONS}
    parser = argparse.ArgumentParser(prog=COMMAND, description="Grind the kernel with random calls.")
    parser.add_argument("--seed", type=int, default=0, help="the first world's seed")
    parser.add_argument("--configuration", choices=by_name, help="one alone; all if it is not given")
    parser.add_argument("--calls", type=int, default=DEFAULT_CALLS, help="how many, in each configuration")
    parser.add_argument("--again", action="store_true", help="create everything again after each batch, and compare")
    parser.add_argument("--table", action="store_true", help="print what became of the calls")
    options = parser.parse_args(arguments)
    if not __debug__:
        parser.error("without assertions (python -O) nothing would be found")
    tally, status = Tally(), 0
    for name, configuration in by_name.items():
        if options.configuration in (None, name):
            began = time.perf_counter()
            ground = grind(options.seed, configuration, options.calls, again=options.again)
            took = time.perf_counter() - began
            tally.add(ground.tally)
            result = f"FAILED\n{ground.failure}" if ground.failure else f"nothing wrong, digest {ground.digest:08x}"
            sys.stdout.write(f"{name}: {ground.calls:,} calls, {ground.calls / took:,.0f} a second: {result}\n")
            status |= bool(ground.failure)
    if options.table:
        sys.stdout.write("\n".join(tally.lines()) + "\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
