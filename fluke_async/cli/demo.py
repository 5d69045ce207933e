"""
`fluke demo`: a tour of what this kernel is about, in four steps.

One program runs in both execution models; one system call of it is followed through the trace; one
blocked call is looked at from the outside, before, while it waits, and after; one program is frozen in the middle, and
thawed in another kernel.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.abc

from fluke_async.abi.entry_points import BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT, STATUS
from fluke_async.cli.event_loop import run_async
from fluke_async.cli.tables import print_table
from fluke_async.cli.trace_file import EventFields, read_trace
from fluke_async.cli.trace_text import CALL_ENDS, describe

if TYPE_CHECKING:
    from fluke_async.embedding.snapshot import ThreadInfo

MODELS = ("interrupt", "process")
PROGRAM, ARGUMENTS = "primes", ("20000", "3")
FREEZE_AFTER, THAWED_BUDGET = 1_000_000, 100_000_000  # instructions
LONG = ("bulk", "24", "1024")
COUNTED = {
    "trap": "system calls",
    "wait": "calls that had to wait",
    "switch": "switches between threads",
    "preempt": "calls cut off in the middle",
    "continuation_saved": "continuation records kept instead of stacks",
    "restarted": "calls restarted from the registers",
    "stack_kept": "kernel stacks kept",
    "resumed": "kernel stacks resumed",
}


def demo() -> None:
    """A tour of the kernel: what it is, in four steps."""
    run_async(tour)


async def tour() -> None:
    """The four steps, in order."""
    with tempfile.TemporaryDirectory() as folder:
        runs = [await trace_run(model, Path(folder) / f"{model}.jsonl") for model in MODELS]
        long_runs = [await trace_run(model, Path(folder) / f"{model}.jsonl", *LONG) for model in MODELS]
    show_models(runs)
    show_preempted(long_runs)
    show_one_call(runs)
    show_blocked_call([await watch_blocked_call(model) for model in MODELS])
    await show_frozen(runs[0].output)


# One program, two execution models


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: the model, the program's output, and the trace."""

    model: str
    output: str
    events: list[EventFields]


async def trace_run(model: str, path: Path, program: str = PROGRAM, *arguments: str) -> Run:
    """Run a program in one model and read its trace."""
    import fluke_async as fluke  # noqa: PLC0415  (start-up time)

    async with fluke.Kernel(model=model, trace=path) as kernel:
        process = await kernel.spawn(program, args=arguments or ARGUMENTS)
        output = await process.stdout.read_all()
    return Run(model, output.decode(), list(read_trace(path)))


def show_models(runs: list[Run]) -> None:
    """The same program and the same kernel source, twice; only what is kept of a waiting call differs."""
    title("1. One program, one kernel source, two execution models")
    print(
        f"'{PROGRAM}' is RV64 machine code. Its threads count, and report to the first one by messages.\n"
        "A call that waits keeps its stack in the process model; in the interrupt model it keeps none:\n"
        "everything that remains to be done stands in the thread's registers.\n"
    )
    for run in runs:
        print(f"{run.model} model:")
        print("".join(f"    {line}\n" for line in run.output.splitlines()))
    show_counts(runs)
    print("Nothing was restarted or resumed: who was waited for completed each call on the spot.")


def show_preempted(runs: list[Run]) -> None:
    """Calls that are cut off in the middle: restarted in one model, resumed in the other."""
    print(
        f"\n'{LONG[0]}' sends messages of a megabyte while another thread computes, so that time slices end in the\n"
        "middle of a call. Cut off, the call goes on where it was: from its registers, or from its stack.\n"
    )
    print(f"    {runs[0].output}")
    show_counts(runs)


def show_counts(runs: list[Run]) -> None:
    """What happened in each model, and whether it was the same."""
    counts = [Counter(event["event"] for event in run.events) for run in runs]
    print_table(("", *MODELS), [(text, *(count[name] for count in counts)) for name, text in COUNTED.items()])
    common = [[event for event in run.events if "model" not in event] for run in runs]
    verdict = "equal" if common[0] == common[1] and runs[0].output == runs[1].output else "NOT equal"
    print(f"\nWithout the lines that only one model has, the traces are {verdict}: ", end="")
    print(f"{len(common[0])} events each.")


# One call, followed through the trace


def show_one_call(runs: list[Run]) -> None:
    """The first call that goes through several stages, from its trap to its completion, in each model."""
    title(f"2. One call of '{PROGRAM}', from the trace: virtual time, thread, what happened")
    for run in runs:
        print(f"{run.model} model:")
        for event in first_staged_call(run.events):
            print(describe(event))
        print()
    print("'stage' and 'advance' write a smaller call into the registers: always just what remains.")


def first_staged_call(events: list[EventFields]) -> list[EventFields]:
    """The events of a thread, from the trap before its first stage to the completion."""
    stage = next(at for at, event in enumerate(events) if event["event"] == "stage")
    thread = events[stage]["thread"]
    call = []
    for event in events[stage - 1 :]:
        if event["thread"] == thread:
            call.append(event)
            if event["event"] in CALL_ENDS:
                break
    return call


# One blocked call, seen from the outside


class Keyboard(anyio.abc.ByteReceiveStream):
    """Input that is typed only when the program waits for it."""

    def __init__(self) -> None:
        self.asked = anyio.Event()
        self._typed = anyio.Event()
        self._line = b""

    def type(self, line: bytes) -> None:
        self._line = line
        self._typed.set()

    async def receive(self, max_bytes: int = 65536) -> bytes:
        self.asked.set()
        await self._typed.wait()
        line, self._line = self._line, b""
        if not line:
            raise anyio.EndOfStream
        return line

    async def aclose(self) -> None:
        """Nothing to release."""


@dataclass(frozen=True, slots=True)
class BlockedCall:
    """A thread on its `ecall`, in the middle of the call, and one instruction after it."""

    before: ThreadInfo
    waiting: ThreadInfo
    after: ThreadInfo
    output: str


async def watch_blocked_call(model: str) -> BlockedCall:
    """Step `echo`, one instruction at a time, into the call that reads a line, and out of it."""
    import fluke_async as fluke  # noqa: PLC0415  (start-up time)

    keyboard = Keyboard()
    async with fluke.Kernel(model=model) as kernel:
        process = await kernel.spawn("echo", stdin=keyboard, budget=1)
        await process.wait()
        while not keyboard.asked.is_set():
            (before,) = process.threads()
            process.add_budget(1)
            await first_of(process.wait, keyboard.asked.wait)
        (waiting,) = process.threads()
        keyboard.type(b"typed while the call was blocked\n")
        await process.wait()
        (after,) = process.threads()
        process.add_budget(1_000_000)
        output = await process.stdout.read_all()
    return BlockedCall(before, waiting, after, output.decode())


async def first_of(*waits: Callable[[], Awaitable[object]]) -> None:
    """Wait until one of several things has happened."""
    async with anyio.create_task_group() as group:

        async def wait_and_cancel(wait: Callable[[], Awaitable[object]]) -> None:
            await wait()
            group.cancel_scope.cancel()

        for wait in waits:
            group.start_soon(wait_and_cancel, wait)


def show_blocked_call(calls: list[BlockedCall]) -> None:
    """Registers, and what the kernel keeps beside them."""
    title("3. A blocked call from the outside: 'echo' waits for a line that nobody has typed yet")
    print("A budget of one instruction at a time leads up to the call, and out of it.\n")
    call = calls[0]
    moments = (call.before, call.waiting, call.after)
    rows = [("state", *(thread.condition for thread in moments))]
    rows.append(("pc", *(hex(thread.pc) for thread in moments)))
    rows.append(("a7, the call", *(entry_name(thread) for thread in moments)))
    rows.append(("a0, the result", *(hex(thread.registers[STATUS]) for thread in moments)))
    print_table(("", "before", "while it waits", "one instruction later"), rows)
    others = set(range(32)) - {ENTRY_POINT, STATUS}
    changed = [at for at in others if call.before.registers[at] != call.waiting.registers[at]]
    print(
        f"\nFrom before to waiting, {len(changed)} of the other 30 registers have changed, and pc is still"
        "\non the call: the thread can be stopped, stored and re-created from what can be seen here.\n"
    )
    for model, blocked in zip(MODELS, calls, strict=True):
        record = blocked.waiting.continuation
        assert record is not None
        print(f"{model} model, kept while it waits:")
        print(f"    record: {record.entry_point} waits for {record.waiting_for}", end="")
        print(f", priority {record.priority}, order {record.wait_order}")
        print(f"    stack:  {blocked.waiting.stack or 'none'}")
    print(f"\nThen the line is typed, and the program prints: {calls[0].output}", end="")


def entry_name(thread: ThreadInfo) -> str:
    """The call that a thread's registers speak of."""
    entry = BY_NUMBER.get(thread.registers[ENTRY_POINT])
    return "-" if entry is None else entry.name


# A program that is frozen and thawed


async def show_frozen(undisturbed: str) -> None:
    """The same program again: stopped in the middle, made an image, and gone on from there in the other model."""
    import fluke_async as fluke  # noqa: PLC0415  (start-up time)

    title("4. A program frozen in the middle, and thawed in another kernel")
    async with fluke.Kernel(model=MODELS[0]) as kernel:
        process = await kernel.spawn(PROGRAM, args=ARGUMENTS, budget=FREEZE_AFTER)
        await process.wait()
        image = await process.checkpoint()
    manifest = image.manifest
    kinds = Counter(each.type for each in manifest.objects)
    print(f"Stopped after {FREEZE_AFTER:,} instructions in the {MODELS[0]} model. The image holds")
    print(f"    objects: {', '.join(f'{count} {kind}' for kind, count in sorted(kinds.items()))}")
    print(f"    memory:  {len(image.offsets())} pages that are not zero, {len(image.contents)} different ones")
    print(f"    outside: only names: {', '.join(manifest.outside)}\n")
    async with fluke.Kernel(model=MODELS[1]) as other:
        copies = [await other.restore(image, budget=THAWED_BUDGET) for _ in range(2)]
        outputs = [(await copy.stdout.read_all()).decode() for copy in copies]
    print(f"Thawed in the {MODELS[1]} model, twice; each prints:")
    print("".join(f"    {line}\n" for line in outputs[0].splitlines()), end="")
    verdict = "as undisturbed" if outputs == [undisturbed] * 2 else "NOT as undisturbed"
    print(f"which is {verdict}.")


def title(text: str) -> None:
    """A heading."""
    print(f"\n{text}\n{'-' * len(text)}\n")
