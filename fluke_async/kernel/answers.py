"""What comes of a keeper's answer: the thread that has asked goes on, or it does not."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from fluke_async.abi.codes import WORD_SIZE, ExceptionReply, FaultReply
from fluke_async.abi.entry_points import COMPLETION_COST
from fluke_async.abi.layouts import EXCEPTION_REPLY
from fluke_async.kernel.connection import leave_capture
from fluke_async.kernel.exceptions import ProgramException
from fluke_async.kernel.objects.thread_state import Fault, Mistake
from fluke_async.kernel.space_keepers import deliver, stop_by_exception
from fluke_async.kernel.trace import Event
from fluke_async.kernel.translation import FAULT_OF_ACCESS, resolve

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.thread import Thread

ANSWER_WORDS_MAX = EXCEPTION_REPLY.size // WORD_SIZE


def answer_question(core: Core, thread: Thread, words: tuple[int, ...]) -> None:
    """A keeper has answered what `thread` has asked; of its reply, `ANSWER_WORDS_MAX` words count at most."""
    question = thread.question
    if isinstance(question, Fault):
        _answer_fault(core, thread, question, words[0] if words else FaultReply.RESOLVED)
    elif question is not None:
        _answer_mistake(core, thread, question, words)


def _answer_fault(core: Core, thread: Thread, fault: Fault, reply: int) -> None:
    """The thread tries again, or gets the exception."""
    address, access, in_call = fault
    if core.trace is not None:
        core.trace((core.time, Event.RESOLVED, thread.hash, address, reply))
    core.charge(COMPLETION_COST)
    if reply != FaultReply.RESOLVED:
        if in_call:
            leave_capture(core, thread)
        deliver(core, thread, FAULT_OF_ACCESS[access], address)
        return
    core.wake(thread)
    with suppress(ProgramException):  # where the keeper's word is not true, the thread will find out
        resolve(core, thread, address, access)


def _answer_mistake(core: Core, thread: Thread, mistake: Mistake, words: tuple[int, ...]) -> None:
    """The thread goes on, with other registers if the reply has them all; or it is stopped by its exception."""
    verdict = words[0] if words else ExceptionReply.STOP
    if core.trace is not None:
        core.trace((core.time, Event.ANSWERED, thread.hash, mistake.code, verdict))
    core.charge(COMPLETION_COST)
    if verdict != ExceptionReply.RESUME:
        core.unpark(thread)
        stop_by_exception(core, thread, mistake)
        return
    if len(words) >= ANSWER_WORDS_MAX:
        _, thread.pc, _, *registers = words[:ANSWER_WORDS_MAX]
        for number, word in enumerate(registers, start=1):
            thread.registers[number] = word
    core.wake(thread)
