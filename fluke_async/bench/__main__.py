"""Prints the table of figures; exit status 1 if a median is above its bound."""

from __future__ import annotations

import argparse
import subprocess
import sys
from functools import partial

import anyio

from fluke_async.bench.guest import operation_us
from fluke_async.bench.host import guest_code_percent, lag_ms, wall_s
from fluke_async.bench.images import image_figures
from fluke_async.bench.measure import Figure, figure
from fluke_async.bench.memory import memory_figures, spaces_figure
from fluke_async.bench.messages import crowd_figure, long_message_figures, models_figure, round_trip_figures
from fluke_async.bench.threads import PROGRAM, crowd_figures, recreation_us

TRACE_PAIRS = 5


def trace_off_percent(name: str, bound: float) -> Figure:
    """Percent that trace points add to the null call while nobody listens; pairs of fresh processes."""
    command = [sys.executable, "-m", "fluke_async.bench.without_trace"]
    samples = []
    for _ in range(TRACE_PAIRS):
        stripped, whole = (
            float(subprocess.run([*command, *option], check=True, capture_output=True, text=True).stdout)
            for option in (["--strip"], [])
        )
        samples.append((whole / stripped - 1) * 100)
    return figure(name, "%", samples, bound)


def main() -> int:
    """The command line."""
    argparse.ArgumentParser(prog="python -m fluke_async.bench", description=__doc__).parse_args()
    return measure()


def measure() -> int:
    """Measure everything, printing as it comes; the exit status."""
    results: list[Figure] = []

    def show(result: Figure) -> None:
        results.append(result)
        sys.stdout.write(f"{result}\n")
        sys.stdout.flush()

    for model in ("interrupt", "process"):
        show(anyio.run(operation_us, "null", model, f"thread_self, {model} model", 5))
        show(anyio.run(operation_us, "switch", model, f"switch between two threads, {model} model", 12, 2))
        for operation, name, bound in (("mutex", "mutex pair", 15), ("cond", "condition ping-pong", 40)):
            show(anyio.run(partial(operation_us, program=PROGRAM), operation, model, f"{name}, {model} model", bound))
        show(anyio.run(recreation_us, model, f"export, destroy, re-create a thread, {model} model", 80))
        for messages in (round_trip_figures, long_message_figures):
            for each in anyio.run(messages, model):
                show(each)
        show(anyio.run(crowd_figure, model))
    show(anyio.run(models_figure))
    for model in ("interrupt", "process"):
        for each in anyio.run(memory_figures, model):
            show(each)
        show(anyio.run(spaces_figure, model))
    for each in anyio.run(image_figures):
        show(each)
    for model in ("interrupt", "process"):
        for each in crowd_figures(model):
            show(each)
    show(trace_off_percent("trace points of the null call, tracing off", 2))
    show(guest_code_percent("CPU-bound guest code, beside the bare engine", 5))
    show(anyio.run(lag_ms, "event-loop lag p99 beside primes, asyncio", 5))
    try:
        import uvloop  # noqa: PLC0415  # it need not be installed
    except ImportError:
        sys.stdout.write("uvloop is not installed: its lag is not measured\n")
    else:
        options = {"loop_factory": uvloop.new_event_loop}
        show(anyio.run(lag_ms, "event-loop lag p99 beside primes, uvloop", 5, backend_options=options))
    show(wall_s("fluke run hello, whole process", ["-m", "fluke_async", "run", "hello"], 0.6))
    show(wall_s("import fluke_async, whole process", ["-c", "import fluke_async"], 0.25))
    return 0 if all(result.is_met for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
