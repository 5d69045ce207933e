"""
What a thread asks a keeper: a region's for an access that the region does not give, its space's about a mistake.

A question has no state of its own but what the thread's state says: `fault` or `exception`, and that the thread waits.
What the keeper is told follows from that, at the moment when a server takes the question.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from fluke_async.abi.codes import ExceptionCode, MessageKind
from fluke_async.kernel import translation
from fluke_async.kernel.exceptions import PageFault
from fluke_async.kernel.objects.thread_state import Mistake

if TYPE_CHECKING:
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.thread import Thread


@dataclass(frozen=True, slots=True)
class ExceptionQuestion:
    """How is `thread` to go on, which has made a mistake?"""

    kind: ClassVar[MessageKind] = MessageKind.EXCEPTION
    thread: Thread
    keeper: Port
    code: ExceptionCode
    subcode: int

    @property
    def words(self) -> tuple[int, ...]:
        """The message to the keeper: the fields of `struct fluke_exception_message`."""
        thread = self.thread
        return self.code, self.subcode, thread.hash, thread.pc, *thread.registers


def space_keeper(thread: Thread) -> Port | None:
    """The port to which the mistakes of a thread go that it does not handle itself; None if there is nobody to ask."""
    keeper = None if thread.space is None else thread.space.keeper
    return keeper if keeper is not None and keeper.active else None


def pending_question(thread: Thread) -> PageFault | ExceptionQuestion | None:
    """What a thread that waits for a keeper asks now, and whom; None if there is nothing left to ask."""
    if not isinstance(thread.question, Mistake):
        return translation.pending_fault(thread)
    keeper = space_keeper(thread)
    return None if keeper is None else ExceptionQuestion(thread, keeper, *thread.question)


def question_to(thread: Thread, keeper: Port) -> PageFault | ExceptionQuestion | None:
    """What a thread has asked a keeper that answers in its own time, and would ask it anew."""
    if not isinstance(thread.question, Mistake):
        return translation.question_to(thread, keeper)
    question = pending_question(thread)
    return question if question is not None and question.keeper is keeper else None
