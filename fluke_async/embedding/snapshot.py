"""Frozen views of what is going on; taking one stops nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from fluke_async.abi.codes import EXCEPTION_MEANING
from fluke_async.abi.entry_points import BY_NUMBER
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.kernel.core import Core
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.kernel.objects.thread_state import Mistake


@dataclass(frozen=True, slots=True)
class ContinuationInfo:
    """A continuation record: the call that remains, what it waits for, its place in the order."""

    entry_point: str
    waiting_for: str
    priority: int
    wait_order: int


@dataclass(frozen=True, slots=True)
class ThreadInfo:
    """
    A thread: its registers are x0 to x31; `stack` names the kept operation in the process model.

    `effective_priority` is the thread's own or a greater one that it is lent; `restarts` says how often an operation of
    the thread was dispatched again from its registers.
    """

    hash: int
    condition: str
    priority: int
    effective_priority: int
    pc: int
    registers: tuple[int, ...]
    entry_point: str | None
    waiting_for: str | None
    continuation: ContinuationInfo | None
    restarts: int
    stack: str | None
    exception: str | None


@dataclass(frozen=True, slots=True)
class KernelStatistics:
    """Counts since the kernel started, what is in use now, and how much memory programs can have in all."""

    time_ns: int
    system_calls: int
    switches: int
    quanta_ended: int
    waits: int
    completions: int
    restarts: int
    resumes: int
    stacks_dropped: int
    preemptions: int
    soft_faults: int
    hard_faults: int
    exceptions: int
    exceptions_asked: int
    interrupts: int
    device_requests: int
    words_copied: int
    processes: int
    objects: int
    frames: int
    memory_used_bytes: int
    memory_limit_bytes: int


def describe_thread(thread: Thread) -> ThreadInfo:
    """A thread as it is now."""
    record = thread.continuation
    inside = thread.condition is Condition.WAITING or thread.in_kernel or thread.stack is not None
    entry_point = _name_of_call(thread) if inside else None
    return ThreadInfo(
        hash=thread.hash,
        condition=thread.condition.value,
        priority=thread.priority,
        effective_priority=thread.effective_priority,
        pc=thread.pc,
        registers=tuple(thread.registers),
        entry_point=entry_point,
        waiting_for=None if thread.waiting_for is None else repr(thread.waiting_for),
        continuation=None
        if record is None
        else ContinuationInfo(
            _name_of_call(thread) or "?",
            repr(record.waiting_for),
            -record.negative_priority,
            record.wait_order,
        ),
        restarts=thread.restarts,
        stack=None if thread.stack is None else describe_stack(thread),
        exception=None if thread.exception is None else describe_exception(thread),
    )


def _name_of_call(thread: Thread) -> str | None:
    """The entry point that a thread is in; "fault" or "exception" while a keeper is asked."""
    if thread.question is not None:
        return "exception" if thread.fault is None else "fault"
    entry = BY_NUMBER.get(thread.registers[ENTRY_POINT])
    return None if entry is None else entry.name


def describe_stack(thread: Thread) -> str:
    """The kept operation of a thread: its function and where it stands."""
    stack = thread.stack
    assert stack is not None
    frame: FrameType = stack.cr_frame  # type: ignore[attr-defined]  # it is a native coroutine
    code = frame.f_code
    return f"{code.co_qualname} suspended at line {frame.f_lineno} of {Path(code.co_filename).name}"


def describe_exception(thread: Thread) -> str:
    """Thread, place and cause of an exception that nobody handled."""
    mistake = thread.exception or thread.question
    assert isinstance(mistake, Mistake)
    code, subcode = mistake
    cause = code.name.lower().replace("_", " ")
    return f"thread {thread.hash} at pc {thread.pc:#x}: {cause}, {subcode:#x} ({EXCEPTION_MEANING[code]})"


def describe_wait(thread: Thread) -> str:
    """What a thread that is not ready waits for."""
    if thread.exception is not None:
        return describe_exception(thread)
    if thread.fault is not None:
        return f"thread {thread.hash} waits for {thread.waiting_for} to give it the page of {thread.fault.address:#x}"
    if thread.question is not None:
        return f"{describe_exception(thread)}, waits for {thread.waiting_for} to say how it goes on"
    if thread.condition is Condition.ASKING:
        return f"thread {thread.hash} waits for {thread.scheduler} to give it the processor"
    name = _name_of_call(thread) or "?"
    return f"thread {thread.hash} in {name} waits for {thread.waiting_for or 'nothing'}"


def kernel_statistics(core: Core, processes: int) -> KernelStatistics:
    """Everything that is counted, now."""
    counters = core.statistics
    return KernelStatistics(
        time_ns=core.time,
        **{name: getattr(counters, name) for name in counters.__slots__},
        processes=processes,
        objects=len(core.objects),
        frames=core.frames.in_use,
        memory_used_bytes=core.quota.used_bytes,
        memory_limit_bytes=core.quota.limit_bytes,
    )
