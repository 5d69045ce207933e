"""A request that a thread has made of a device by calling its port."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fluke_async.kernel.buffers import gather
from fluke_async.kernel.questions import question_to

if TYPE_CHECKING:
    from fluke_async.kernel.core import Core
    from fluke_async.kernel.objects.port import Port
    from fluke_async.kernel.objects.thread import Thread


class DeviceRequest:
    """What was asked, by whom; `words` are the message. An answer counts only while the thread waits for this one."""

    __slots__ = ("port", "thread", "words")

    def __init__(self, port: Port, thread: Thread, words: tuple[int, ...]) -> None:
        self.port = port
        self.thread = thread
        self.words = words

    @property
    def is_open(self) -> bool:
        """Whether somebody still waits for the answer."""
        return self.thread.request is self

    @property
    def is_awaited(self) -> bool:
        """Whether that thread could go on with it: neither it nor its program is stopped."""
        thread = self.thread
        return self.is_open and not thread.stopped and thread.space is not None and not thread.space.account.is_halted


def device_request(core: Core, thread: Thread, port: Port) -> DeviceRequest:
    """A thread's message as a device gets it, at most one chunk; or its question, if the device is the keeper."""
    if thread.question is not None:
        question = question_to(thread, port)
        return DeviceRequest(port, thread, () if question is None else question.words)
    return DeviceRequest(port, thread, tuple(memoryview(gather(core, thread)).cast("Q")))
