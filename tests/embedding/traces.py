"""Traces as tests look at them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fluke_async as fluke

Line = dict[str, Any]

# Programs with threads, messages, faults, sleep, input and output; closed runs, so their traces are determined.
RUNS: list[tuple[str, list[str], bytes]] = [
    ("primes", ["300", "3"], b""),
    ("echo", [], b"one\ntwo\n"),
    ("clock", ["2", "5"], b""),
    ("badpointers", ["ipc_call"], b""),
]


async def write(path: Path, **options: Any) -> bytes:
    """
    The trace of a kernel that runs `RUNS`, each when the one before has ended.

    A program that is started while another runs comes at a time of the host's choosing; such a run is not closed.
    """
    async with fluke.Kernel(trace=path, **options) as kernel:
        for name, args, stdin in RUNS:
            process = await kernel.spawn(name, args=args, stdin=stdin)
            assert (await process.wait()).reason == "exited"
    return path.read_bytes()  # noqa: ASYNC240  # a local file, at the end


def lines(trace: bytes) -> list[Line]:
    return [json.loads(line) for line in trace.decode().splitlines()]


def of_both_models(trace: bytes) -> list[Line]:
    """The lines that do not depend on the execution model."""
    return [line for line in lines(trace) if not line.get("model")]
