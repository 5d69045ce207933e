"""
The calls of a host thread: from the task to the kernel and back.

The thread is stopped while its task is in no call. A call enters at the driver's fixed point: the registers are filled
and the thread is started; it takes its turn, waits and is completed like any other, and is stopped again at the end. A
cancelled await interrupts the call, unless it is complete by then: so either nothing of it remains to be done, or
nothing of it counts but what its registers say.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

import anyio

from fluke_async.abi.codes import ExceptionCode
from fluke_async.abi.entry_point import EntryPoint
from fluke_async.abi.registers import ENTRY_POINT
from fluke_async.embedding.cancellation import PutOff
from fluke_async.embedding.system_call import SystemCallError
from fluke_async.errors import FlukeError
from fluke_async.kernel.connection import leave_capture
from fluke_async.kernel.objects.thread import Thread

if TYPE_CHECKING:
    from fluke_async.embedding.driver import Driver

T = TypeVar("T")
Finishing = Callable[[Thread], bool]
"""Asked about a cancelled call that is not complete: whether it comes to its end before the cancellation is raised."""


def always(_: Thread) -> bool:
    """For a call that is made whatever comes."""
    return True


@dataclass(eq=False)
class _Call:
    """One call, from the task's side."""

    entry: EntryPoint
    arguments: Mapping[int, int]
    finishing: Finishing | None
    ended: anyio.Event = field(default_factory=anyio.Event)
    pc: int = 0
    begun: bool = False
    withdrawn: bool = False  # cancelled before the kernel knew of it
    interrupted: bool = False
    late: bool = False  # cancelled, and comes to its end all the same
    registers: tuple[int, ...] = ()
    error: FlukeError | None = None


class HostCaller:
    """Makes the calls of one host thread, one at a time; what the kernel sees of it is `HostCalls`."""

    def __init__(self, driver: Driver, thread: Thread) -> None:
        self.driver = driver
        self.thread = thread
        self.issued = False
        self._call: _Call | None = None
        self._doing = ""
        self._cancellations = PutOff()
        self._gone = ""
        thread.host = self

    # -- the task's side ------------------------------------------------------------------------------------------

    def check_free(self) -> None:
        """
        See that a call can be made.

        Raises:
            FlukeError: the thread or the kernel has ended, or a call is under way.
        """
        self._check_alive()
        if self._doing:
            raise FlukeError(
                f"this host thread is in {self._doing} already: it makes one call at a time; "
                "use another host thread for another task"
            )

    def _check_alive(self) -> None:
        if self._gone:
            raise FlukeError(self._gone)
        self.driver.check_open()

    async def at_fixed_point(self, action: Callable[[], T]) -> T:
        """
        Do something that is no call, as `HostQueue.call` does, but not beside a call.

        Raises:
            FlukeError: it raised one, the thread or the kernel has ended, or a call is under way.
        """
        self.check_free()
        self._doing = "a call"
        try:
            return await self.driver.call(action)
        finally:
            self._doing = ""

    async def call(
        self, entry: EntryPoint, arguments: Mapping[int, int], finishing: Finishing | None = None
    ) -> tuple[int, ...]:
        """
        Make a call with these registers; returns all registers as they are at its end.

        Raises:
            SystemCallError: it was a mistake.
            FlukeError: the thread or the kernel has ended, or a call is under way.
        """
        self.check_free()
        self._doing = entry.name
        try:
            if finishing is not always:
                await self._cancellations.checkpoint()
                self._check_alive()
            return await self._carry_out(_Call(entry, arguments, finishing))
        finally:
            self._call, self._doing = None, ""

    async def _carry_out(self, call: _Call) -> tuple[int, ...]:
        self._call = call
        self.driver.post(lambda: self._begin(call))
        try:
            await call.ended.wait()
        except anyio.get_cancelled_exc_class() as cancellation:
            if not await self._is_complete(call):
                raise
            self._cancellations.put_off(cancellation)
        if call.error is not None:
            raise call.error
        return call.registers

    async def _is_complete(self, call: _Call) -> bool:
        """The await of `call` was cancelled: whether its result counts; else it has been interrupted."""
        if not call.begun and call.finishing is None:
            call.withdrawn = True
        elif not call.ended.is_set():
            with suppress(anyio.get_cancelled_exc_class()):  # one is raised anyway
                await self.driver.ensure(lambda: self._interrupt(call))
            if call.late:
                with suppress(anyio.get_cancelled_exc_class()):
                    await self.driver.outlast(call.ended)
        return call.ended.is_set() and not call.interrupted and not call.late

    # -- what is done at the fixed point --------------------------------------------------------------------------

    def _begin(self, call: _Call) -> None:
        if call.withdrawn or call.ended.is_set():
            return
        thread = self.thread
        for register, word in call.arguments.items():
            thread.registers[register] = word
        thread.registers[ENTRY_POINT] = call.entry.number
        thread.run_order = thread.wait_order = 0
        call.pc = thread.pc
        call.begun = self.issued = True
        self.driver.core.start(thread)

    def _interrupt(self, call: _Call) -> None:
        if call.ended.is_set():
            return
        core, thread = self.driver.core, self.thread
        if thread.pc != call.pc:  # complete: only its turn to be told so has not come
            core.stop(thread)
            self._end(None)
        elif call.finishing is not None and call.finishing(thread):
            call.late = True
        else:
            core.stop(thread)
            core.unpark(thread)
            leave_capture(core, thread)
            thread.drop_call(core)
            thread.wait_order = 0
            self.issued = False
            call.interrupted = True
            call.ended.set()

    def end(self, reason: str) -> None:
        """Destroy the thread; a call under way is interrupted, and raises a FlukeError with the reason."""
        self._gone = reason
        if self.thread.active:
            self.driver.core.destroy(self.thread)
        else:
            self._fail()

    def abandon(self) -> None:
        """The kernel has stopped by an error."""
        self._gone = self._gone or "the kernel has stopped: see the error that its `async with` block raised"
        self._fail()

    # -- the kernel's side: HostCalls -----------------------------------------------------------------------------

    def on_return(self) -> None:
        self._end(None)

    def on_exception(self, code: ExceptionCode, subcode: int) -> None:
        name = "the call" if self._call is None else self._call.entry.name
        self._end(SystemCallError.of_mistake(name, code, subcode))

    def on_destroyed(self) -> None:
        self._gone = self._gone or "this host thread has been destroyed by a program: give nobody its memory to write"
        self._fail()

    def _fail(self) -> None:
        self.issued = False
        if self._call is not None and not self._call.ended.is_set():
            self._end(FlukeError(self._gone))

    def _end(self, error: FlukeError | None) -> None:
        call = self._call
        assert call is not None
        call.registers = tuple(self.thread.registers)
        call.error = error
        self.driver.tell(call.ended)

    @property
    def has_ended(self) -> bool:
        """Whether no call can be made any more."""
        return bool(self._gone) or self.driver.closing

    # -- what the driver asks when nothing is ready ---------------------------------------------------------------

    @property
    def may_act(self) -> bool:
        """Whether the task is in no call, so that it may still do something."""
        return self.thread.active and (self._call is None or self._call.ended.is_set())

    @property
    def holds_time(self) -> bool:
        """Whether somebody inside depends on what the task does next: its client, or who needs its mutex."""
        thread = self.thread
        return self.may_act and (bool(thread.owned) or _is_awaited_by(thread.client, thread))


def _is_awaited_by(client: Thread | None, server: Thread) -> bool:
    """Whether a client waits for a reply, and could go on with it."""
    if client is None or client.waiting_for is not server or client.stopped or client.space is None:
        return False
    return not client.space.account.is_halted
