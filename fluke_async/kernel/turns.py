"""
Whose turn it is, where more than one thread runs at a time.

As many threads run as there are harts: the first of the ready queue, in whose order they have their run positions. One
processor executes them in turns, which end at exact counts of instructions, so every run can be repeated. Whose turn it
is follows from the clock, the queue and a seed. So there is nothing about it in a thread's state, and nothing is lost
where that is created again; and a thread that is not on its turn is between two instructions, or at a marked point: who
stops it, or takes its pages away, has done so for all harts when the call returns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.kernel.params import SHORT_TURN_INSTRUCTIONS, TURN_INSTRUCTIONS

if TYPE_CHECKING:
    from fluke_async.kernel.objects.thread import Thread
    from fluke_async.kernel.scheduler import Scheduler

_WORD = 2**64 - 1
EARLY_ENDS = 4  # with a seed, a thread that runs alone loses its time slice in one of so many turns


class Turns:
    """
    The turns of `harts` run positions.

    Without a seed, which is 0, they come round. With one, turns are short and drawn; so another seed is another
    interleaving, on a single hart too, where time slices end early.
    """

    def __init__(self, harts: int, seed: int = 0) -> None:
        assert harts > 0, "somebody has to run"
        self.harts = harts
        self.seed = seed
        self.length = SHORT_TURN_INSTRUCTIONS if seed else TURN_INSTRUCTIONS
        self._number = 0  # of the turn in which somebody was last chosen: the kernel's, like the clock, and no thread's

    def choose(self, scheduler: Scheduler) -> Thread | None:
        """The thread whose turn it is; None if none is ready."""
        number = scheduler.time // self.length
        drawn = self._draw(number) if self.seed else number
        if number != self._number:
            self._number = number
            if self.seed and drawn // self.harts % EARLY_ENDS == 0:
                head = scheduler.ready.head()
                if head is not None and not head.interruptible:
                    scheduler.end_quantum(head)
        running = scheduler.ready.first(self.harts)
        return running[drawn % len(running)] if running else None

    def left(self, time: int) -> int:
        """How many instructions a turn goes on."""
        return self.length - time % self.length

    def _draw(self, number: int) -> int:
        """A number for a turn, which follows from the seed: the mixer of SplitMix64 (Steele et al., OOPSLA '14)."""
        mixed = (self.seed * 0x9E37_79B9_7F4A_7C15 + number * 0xD1B5_4A32_D192_ED03) & _WORD
        mixed = (mixed ^ mixed >> 30) * 0xBF58_476D_1CE4_E5B9 & _WORD
        mixed = (mixed ^ mixed >> 27) * 0x94D0_49BB_1331_11EB & _WORD
        return mixed ^ mixed >> 31


def turns_of(harts: int, seed: int) -> Turns | None:
    """None for one hart without a seed: whoever is first runs, for as long as it is."""
    return Turns(harts, seed) if harts > 1 or seed else None
