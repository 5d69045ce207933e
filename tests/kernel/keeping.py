"""
A space with a keeper, and threads that serve as that: they learn of the mistakes of the threads in the space.

A thread in the space is *done* when it rests: it waits for a mutex that nobody unlocks, for a breakpoint at its end
would be a mistake too.

    keeping = Keeping(machine)
    keeper = keeping.keeper()
    thread = keeping.spawn(("illegal",))
    machine.run()
    assert keeper.question.code == ExceptionCode.ILLEGAL_INSTRUCTION
    keeper.resume(pc=keeper.question.pc + 4)
    assert keeping.done(thread)
"""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from fluke_async.abi.codes import WORD_SIZE, ExceptionCode, ExceptionReply
from fluke_async.abi.layouts import EXCEPTION_MESSAGE, EXCEPTION_REPLY, THREAD_STATE
from fluke_async.abi.registers import NUMBER_OF
from fluke_async.kernel import message
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.objects.mutex import Mutex
from fluke_async.kernel.objects.port import Port
from fluke_async.kernel.objects.portset import Portset
from fluke_async.kernel.objects.space import Space
from fluke_async.kernel.objects.thread import Thread
from tests.kernel.machine import Machine, Part

ALIAS = 78
RESUME, STOP = int(ExceptionReply.RESUME), int(ExceptionReply.STOP)
QUESTION_WORDS, REPLY_WORDS = EXCEPTION_MESSAGE.size // WORD_SIZE, EXCEPTION_REPLY.size // WORD_SIZE
REPLY_OFFSET = EXCEPTION_MESSAGE.offset_of("thread_hash")  # from there on, a message has the form of a reply


class Question(NamedTuple):
    """What a keeper has received."""

    code: int
    subcode: int
    thread_hash: int
    pc: int
    x: tuple[int, ...]
    alias: int
    kind: int
    words: int

    def register(self, name: str) -> int:
        return self.x[NUMBER_OF[name]]


class Keeping:
    """A space whose keeper is `port`, of `portset`, or a device's port."""

    def __init__(self, machine: Machine, *, device: bool = False, space: Space | None = None) -> None:
        self.machine = machine
        self.space = machine.new(Space) if space is None else space
        if space is None:
            machine.map(self.space, machine.region, 0x10_0000, 8 << 20, offset=0x10_0000)
        self.portset, self.port = machine.new(Portset), machine.new(Port)
        machine.load(self.port, {"alias": ALIAS}, portset=None if device else self.portset)
        if device:
            self.port.receiver = machine.requests.append
        machine.load(self.space, keeper=self.port)
        self.rest = machine.new(Mutex)
        machine.load(self.rest, {"locked": 1})

    def spawn(self, *parts: Part, **options: Any) -> Thread:
        """A thread in the space, which rests at its end."""
        options = {"space": self.space} | options
        return self.machine.spawn(*parts, "rest", self.machine.call("mutex_lock", mutex=self.rest), **options)

    def done(self, *threads: Thread) -> bool:
        return all(thread.waiting_for is self.rest for thread in threads)

    def keeper(self, **options: Any) -> Keeper:
        """A thread that serves, and asks the test for its answers."""
        return Keeper(self, **options)

    def server(self, *work: Part, words: int = REPLY_WORDS, **options: Any) -> Thread:
        """
        A thread that serves for ever: it does `work`, then it replies the message from the thread's hash on.

        s2 is the message's address. Without work, the thread goes on behind the instruction that was its mistake.
        """
        machine = self.machine
        inbox = machine.buffer(QUESTION_WORDS)
        receive = {"receive_buffer": inbox, "receive_words": QUESTION_WORDS}
        skip: tuple[Part, ...] = (("load", "s3", "s2", 24), ("add", "s3", "s3", 4), ("store", "s3", "s2", 24))
        return machine.spawn(
            ("li", "s2", inbox),
            machine.call("ipc_setup_wait_receive", portset=self.portset, **receive),
            "serve",
            ("add", "s11", "s11", 1),
            ("store", "zero", "s2", REPLY_OFFSET),
            *(work or skip),
            machine.call("ipc_reply_wait_receive", send_buffer=inbox + REPLY_OFFSET, send_words=words, **receive),
            ("jump", "serve"),
            **options,
        )

    # -- what a device was asked, where the keeper is one ------------------------------------------------------------

    @property
    def requests(self) -> list[DeviceRequest]:
        """What the device has been asked and has not answered."""
        return [each for each in self.machine.requests if each.port is self.port and each.is_open]

    def reply(self, *words: int) -> None:
        """Let the device answer the first of its open questions, and run."""
        message.answer(self.machine.core, self.requests[0], words)
        self.machine.run()


class Keeper:
    """A thread that notes each question, and then waits until the test has it answer; `room` in words."""

    def __init__(self, keeping: Keeping, *, room: int = QUESTION_WORDS, **options: Any) -> None:
        machine = self.machine = keeping.machine
        self._inbox, self._reply = machine.buffer([0] * (QUESTION_WORDS + 4)), machine.buffer([0] * 64)
        self._desk = machine.new(Port)
        self._desk.receiver = machine.requests.append
        receive = {"receive_buffer": self._inbox, "receive_words": room}
        ask: dict[str, Any] = {
            "destination_ref": machine.reference(self._desk),
            "receive_buffer": self._reply,
            "receive_words": 64,
        }
        results = self._inbox + QUESTION_WORDS * WORD_SIZE
        reply = machine.call("ipc_reply_wait_receive", send_buffer=self._reply, **receive)
        self.thread = machine.spawn(
            machine.call("ipc_setup_wait_receive", portset=keeping.portset, **receive),
            "serve",
            *(machine.keep(name, results + 8 * number) for number, name in enumerate(("a1", "a2", "t6"))),
            ("add", "s11", "s11", 1),
            machine.keep("s11", results + 24),
            machine.call("ipc_call", **ask),
            ("add", "s4", "t6", 0),
            [*reply[:-2], ("add", "a2", "s4", 0), *reply[-2:]],
            ("jump", "serve"),
            **options,
        )

    @property
    def question(self) -> Question:
        """The last that it has received."""
        code, subcode, hash_, pc, *rest = self.machine.read(self._inbox, QUESTION_WORDS + 3)
        return Question(code, subcode, hash_, pc, tuple(rest[:32]), *rest[32:])

    @property
    def asked(self) -> int:
        """How often it was asked."""
        return self.machine.word(self._inbox + (QUESTION_WORDS + 3) * WORD_SIZE)

    @property
    def is_asked(self) -> bool:
        """Whether it has a question that the test has not let it answer."""
        return any(request.port is self._desk and request.is_open for request in self.machine.requests)

    def answer(self, *words: int) -> None:
        """Let it answer, and run."""
        request = next(each for each in self.machine.requests if each.port is self._desk and each.is_open)
        message.answer(self.machine.core, request, words)
        self.machine.run()

    def resume(self, *, pc: int | None = None, **registers: int) -> None:
        """Let the thread go on, with some registers changed."""
        question = self.question
        x = list(question.x)
        for name, word in registers.items():
            x[NUMBER_OF[name]] = word
        self.answer(RESUME, question.pc if pc is None else pc, *x)


SKIP = 4
FOREIGN = (("li", "a7", 64), ("li", "a0", 5), ("ecall",), ("add", "s3", "a0", 0))
EXCEPTION = (ExceptionCode.FOREIGN_SYSTEM_CALL, 64)
STATE_WORDS = THREAD_STATE.size // 8
taken_or_not = pytest.mark.parametrize("taken", [False, True], ids=["in line", "taken"])


def asking(machine: Machine, taken: bool, **options: Any) -> tuple[Keeping, Thread, Keeper]:
    """A thread that asks about a foreign call; the keeper has its question, or only begins to serve later."""
    keeping = Keeping(machine)
    keeper = keeping.keeper(start=taken)
    thread = keeping.spawn(*FOREIGN, **options)
    machine.run()
    assert thread.waiting_for is (keeper.thread if taken else keeping.port)
    return keeping, thread, keeper


def serve(keeping: Keeping, keeper: Keeper, thread: Thread) -> None:
    """Let the keeper begin, if it has not, and answer; the thread then is done."""
    if keeper.thread.stopped:
        keeping.machine.core.start(keeper.thread)
    keeping.machine.run()
    assert keeper.question.thread_hash == thread.hash
    keeper.resume(pc=keeper.question.pc + SKIP, a0=1000)
    assert keeping.done(thread)
    assert keeping.machine.register(thread, "s3") == 1000
