"""The procedure of the first law: everything of a program is read out as bytes, destroyed, and created again."""

from __future__ import annotations

from dataclasses import astuple

from fluke_async.kernel.recreation import capture, closed_set, destroy, restore, without_waits
from fluke_async.verify.closed_run import ClosedRun


def recreate(run: ClosedRun, *, parked: bool) -> str:
    """
    Carry the procedure out, at a point of a run; with what threads wait for, if `parked`, else all calls are made anew.

    Returns what was wrong about the export itself, or nothing.
    """
    core = run.core
    run.hart.park_resident()
    core.current = None
    objects = closed_set(core)
    before = (core.time, astuple(core.statistics))
    records = capture(core, objects)
    after = (core.time, astuple(core.statistics))
    destroy(core, objects)
    restore(core, records if parked else without_waits(records))
    return (
        "" if after == before else f"the export ran the kernel: its time and its counts went from {before} to {after}"
    )
