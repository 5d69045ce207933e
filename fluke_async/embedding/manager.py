"""
The resident manager: a program in user mode that reads processes out and makes them again.

There is one in each kernel, from the first time that it is needed. It takes one order after the other, through a device
port that is answered here: `fluke_async/abi/orders.py` has the requests. All that it does with a process are system
calls that every program has; what it cannot do, because the memory is not its own, is done here when it says so.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import anyio

from fluke_async.abi.codes import PRIORITY_MAX, WORD_SIZE, ExceptionCode, ObjectType
from fluke_async.abi.devices import DeviceStatus
from fluke_async.abi.orders import ORDER_PUT_MAX_BYTES, OrderKind, OrderOperation
from fluke_async.embedding.host_queue import HostQueue
from fluke_async.embedding.loader import load_program
from fluke_async.embedding.outside import Outside
from fluke_async.embedding.snapshot import describe_exception
from fluke_async.errors import FlukeError, ProgramError
from fluke_async.kernel import message
from fluke_async.kernel.account import Account
from fluke_async.kernel.core import Core
from fluke_async.kernel.device_request import DeviceRequest
from fluke_async.kernel.objects.thread import Thread
from fluke_async.kernel.objects.thread_condition import Condition
from fluke_async.programs import find_program

PROGRAM = "manager"
NO_ORDER = 0
OK, BAD_REQUEST = DeviceStatus.OK, DeviceStatus.BAD_REQUEST

# What an order can come to, `enum fluke_checkpoint_error` of userland/include/checkpoint.h.
DONE, _, UNNAMED, _, MEMORY, _ = range(6)
NO_MEMORY = "the kernel's memory does not suffice for the objects of this process: give it more"
NO_MANAGER = "the kernel's memory does not suffice for the program that reads others out: give it more"
DAMAGED = "the kernel cannot make a process of these records"


def _nothing() -> None:
    pass


@dataclass(slots=True, eq=False)
class Order:
    """
    What is to be done with the process in `outside`.

    Called at the fixed point: `on_hold` while a process that is read out stands still; `on_made` when all objects are
    there of one that is made, if spaces are among them, and none of its threads runs; `on_running` when the manager has
    come to rest, so that the process's time goes on without what the manager has used, but not for a process that could
    not be made. What is to be done `then`, of the records that the manager has by that, is not begun if this fails.
    """

    kind: OrderKind
    outside: Outside
    records: bytearray = field(default_factory=bytearray)
    on_hold: Callable[[Order], None] = lambda _: None
    on_made: Callable[[], None] = _nothing
    on_running: Callable[[], None] = _nothing
    then: Order | None = None
    running: Sequence[Thread] = ()  # who ran before it was begun
    error: FlukeError | None = None
    done: anyio.Event = field(default_factory=anyio.Event)


class Manager:
    """
    The manager of one kernel; made at the fixed point, and started.

    Raises:
        FlukeError: there is no memory for it.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._number = NO_ORDER
        self._order: Order | None = None
        self._request: DeviceRequest | None = None  # for an order, of a manager that has none
        self._queue: HostQueue
        try:
            loaded = load_program(core, find_program(PROGRAM), [PROGRAM], {}, {"orders": self._receive})
        except ProgramError:
            raise FlukeError(NO_MANAGER) from None
        self.outside = loaded.outside
        self._thread = loaded.thread
        core.reorder(self._thread, PRIORITY_MAX, 0)
        self.outside.console.receiver = self._ignore
        self.outside.parent.receiver = self._on_exit
        self.is_alive = True

    @property
    def account(self) -> Account:
        """Of its threads."""
        return self.outside.account

    @property
    def hashes(self) -> frozenset[int]:
        """Of its threads."""
        return frozenset(thread.hash for thread in self.account.threads)

    @property
    def has_order(self) -> bool:
        """Whether it is at work."""
        return self._order is not None

    def is_at(self, outside: Outside) -> bool:
        """Whether it is at work at this process."""
        return self._order is not None and self._order.outside is outside

    def start(self, queue: HostQueue) -> None:
        """Let it run; what it asks for goes through the kernel's queue."""
        self._queue = queue
        self._core.start(self._thread)

    def take(self, order: Order) -> None:
        """
        Begin an order; there is none in work.

        Raises:
            OutOfMemory: there is no memory for it; it has not been begun.
        """
        assert self._order is None
        order.outside.open_window()
        self._begin(order)

    def _begin(self, order: Order) -> None:
        self._order = order
        self._number += 1
        self._hand_over()

    def end(self, reason: str) -> None:
        """It is gone, and so is its order."""
        self.is_alive = False
        for thread in tuple(self.account.threads):
            self._core.destroy(thread)
        self.outside.slab.free()
        self._finish(FlukeError(reason))

    def look(self) -> None:
        """End it if its thread has been stopped by an exception."""
        threads = self.account.threads
        if all(thread.condition is Condition.EXCEPTION for thread in threads):
            if any(thread.exception and thread.exception[0] is ExceptionCode.OUT_OF_MEMORY for thread in threads):
                self.end(NO_MEMORY)
                return
            reasons = "; ".join(describe_exception(thread) for thread in threads)
            self.end(f"{DAMAGED}: the manager has failed ({reasons})")

    # -- requests -----------------------------------------------------------------------------------------------------

    def _receive(self, request: DeviceRequest) -> None:
        self._queue.post(lambda: self._decide(request))

    def _ignore(self, request: DeviceRequest) -> None:
        """Nobody reads what it prints, and it goes on."""
        words = request.words
        end = words[1] + words[2] if len(words) >= 3 else 0
        self._queue.post(lambda: message.answer(self._core, request, (OK, end)))

    def _on_exit(self, request: DeviceRequest) -> None:
        self._queue.post(lambda: self.end("the manager has ended") if self.is_alive else None)

    def _decide(self, request: DeviceRequest) -> None:
        order, words = self._order, request.words
        if not request.is_open:
            return
        match words:
            case [OrderOperation.NEXT, done, error, offset, type_, *link]:
                self._request = request
                if order is not None and done == self._number:
                    self._finish(_failure(error, offset, type_, link))
                else:
                    self._hand_over()
                return
            case [operation, number, *rest] if order is not None and number == self._number:
                answer = self._answer(order, operation, rest)
            case _:
                answer = (BAD_REQUEST,)
        message.answer(self._core, request, answer)

    def _answer(self, order: Order, operation: int, rest: list[int]) -> tuple[int, ...]:
        records = order.records
        match operation, rest:
            case OrderOperation.HOLD, _:
                try:
                    order.on_hold(order)
                except FlukeError as error:
                    order.error = error
            case OrderOperation.MADE, _:
                order.on_made()
            case OrderOperation.PUT, [offset, count, *data] if offset <= len(records) and count <= len(data) * 8:
                records[offset : offset + count] = array("Q", data).tobytes()[:count]
                return (OK, len(records))
            case OrderOperation.GET, [offset]:
                part = bytes(records[offset : offset + ORDER_PUT_MAX_BYTES])
                return (OK, len(part), *memoryview(part + bytes(-len(part) % WORD_SIZE)).cast("Q"))
            case _:
                return (BAD_REQUEST,)
        return (OK,)

    def _hand_over(self) -> None:
        """Give the order to the manager, if both are there."""
        order, request = self._order, self._request
        if order is None or request is None or not request.is_open:
            return
        self._request = None
        outside = order.outside
        order.running = [thread for thread in outside.account.threads if not thread.stopped]
        words = (
            *(OK, self._number, int(order.kind), outside.window_size),
            *(outside.region_offset, outside.references_offset, len(outside.named)),
            len(order.records) if order.kind is OrderKind.CREATE else 0,
        )
        message.answer(self._core, request, words, (outside.open_window(),))

    def _finish(self, error: FlukeError | None) -> None:
        order, self._order = self._order, None
        while order is not None:
            order.error = error = order.error or error
            reads_out = order.kind in (OrderKind.CAPTURE, OrderKind.FORK)
            if reads_out and error is not None:
                order.outside.put_back(order.running)
            if reads_out or error is None:
                order.on_running()
            self._queue.tell(order.done)
            order = order.then
            if order is not None and error is None:
                self._begin(order)
                return


def _failure(error: int, offset: int, type_: int, link: list[int]) -> FlukeError | None:
    """How an order has failed, in words; None if it has not."""
    text = b"".join(word.to_bytes(WORD_SIZE, "little") for word in link).partition(b"\0")[0].decode("utf-8", "replace")
    if error == DONE:
        return None
    if error == UNNAMED:
        kind = ObjectType(type_).name.lower()
        return FlukeError(
            f"the link {text!r} of the {kind} at {offset:#x} leads outside, to what has no name: "
            "a process can be checkpointed when it refers only to itself, its devices and its services"
        )
    if error == MEMORY:
        return FlukeError(NO_MEMORY)
    return FlukeError(f"{DAMAGED} (error {error})")
