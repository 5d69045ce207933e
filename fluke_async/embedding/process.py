"""A process: a program that runs in a kernel, as the application sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anyio

from fluke_async.embedding.exit import Exit
from fluke_async.embedding.options import check_inputs
from fluke_async.embedding.output import OutputStream
from fluke_async.embedding.outside import Outside
from fluke_async.embedding.snapshot import ThreadInfo, describe_thread
from fluke_async.embedding.stillness import Stillness
from fluke_async.errors import FlukeError

if TYPE_CHECKING:
    from fluke_async.device import DevicePort
    from fluke_async.embedding.checkpointer import Checkpointer
    from fluke_async.embedding.driver import Driver
    from fluke_async.image.image import Image
    from fluke_async.kernel.hold import Hold


@dataclass(slots=True)
class Attached:
    """The devices of one process: its console, and its timer with its port."""

    console: Any
    timer: Any
    timer_port: DevicePort

    def go_on(self, offset_ns: int) -> None:
        """Let the process's time go on, so far from the kernel's."""
        self.timer.go_on(self.timer_port, offset_ns)


class Process:
    """
    A handle; made by `Kernel.spawn`.

    `stdout` is what the program writes to its console, an async byte stream. A program whose output nobody reads waits
    when a megabyte has piled up. `on_thread_exception`, if set, is called with a line for each thread that is stopped
    by its own mistake while others of the program go on.
    """

    def __init__(self, driver: Driver, number: int, name: str, arguments: tuple[str, ...], loaded: Outside) -> None:
        self.number = number
        self.name = name
        self.arguments = arguments
        self.stdout = OutputStream()
        self.on_gone: Callable[[], None] | None = None
        self.on_thread_exception: Callable[[str], None] | None = None
        self.attached: Attached
        self.checkpointer: Checkpointer
        self.on_end: list[Callable[[], None]] = []  # called when it is about to be gone
        self.stillness = Stillness(driver, self)
        self.latest: tuple[Image, Hold] | None = None  # the last image, and its pages as they were
        self._driver = driver
        self._loaded: Outside | None = loaded
        self._exit: Exit | None = None
        self._ended = anyio.Event()

    async def wait(self) -> Exit:
        """
        How the process ended, as soon as it has.

        Cancelling this does not disturb the process. After the reason "budget" the process is only stopped:
        `add_budget` lets it go on, and the next `wait` waits for its next end.
        """
        while self._exit is None:
            await self._ended.wait()
        return self._exit

    async def kill(self) -> None:
        """End the process at once, with the reason "killed"; nothing happens if it has ended already."""
        if self._loaded is not None:
            await self._driver.call(lambda: self._driver.end(self, Exit("killed", 1, "killed by the host")))

    def add_budget(self, instructions: int) -> None:
        """
        Allow `instructions` more; a process that its budget stopped goes on.

        Raises:
            FlukeError: the number is not positive, the process has no budget or is gone, or the kernel has stopped.
        """
        if instructions <= 0:
            raise FlukeError(f"a budget of {instructions} more instructions is none: give a positive number")
        if self._loaded is None:
            raise FlukeError(f"process {self.name!r} has ended: a budget cannot be added to it")
        if self._loaded.account.instructions_left is None:
            raise FlukeError(f"process {self.name!r} has no budget: give one to spawn")
        if self._driver.closing:
            raise FlukeError("the kernel has stopped: use it inside its `async with` block")
        if self._exit is not None:  # stopped by its budget: from now on `wait` waits for the next end
            self._exit = None
            self._ended = anyio.Event()
            self.stdout.reopen()
        self._driver.post(lambda: self._driver.add_budget(self, instructions))

    async def suspend(self) -> None:
        """
        Let no thread of the process run until `resume`; the process cannot tell, and `wait` goes on waiting.

        What its threads wait for still comes to them. Nothing happens if the process is suspended or has ended already.
        A process that its budget has stopped needs both to go on, `resume` and `add_budget`. While a process is
        suspended, the kernel takes no other for deadlocked.

        Raises:
            FlukeError: the kernel has stopped.
        """
        if self._loaded is not None:
            await self._driver.call(lambda: self._driver.set_suspended(self, True))

    async def resume(self) -> None:
        """
        Let a suspended process go on where it was; nothing happens if it is not suspended.

        Raises:
            FlukeError: the kernel has stopped.
        """
        if self._loaded is not None:
            await self._driver.call(lambda: self._driver.set_suspended(self, False))

    async def checkpoint(self, parent: Image | None = None) -> Image:
        """
        All that the process is, at this moment, whatever its threads are in the middle of; it goes on at once.

        Args:
            parent: an image of this process that was made before: the new one has only what has changed since then,
                and needs that one.

        Raises:
            FlukeError: the process has ended, the parent is no image of it, or it holds on to something outside that
                has no name: a port of another program, a connection with a host thread.
        """
        return await self.checkpointer.capture(self, parent)

    async def checkpoints(self, every: int, *, incremental: bool = False) -> AsyncIterator[Image]:
        """
        An image each time that the kernel has executed so many instructions more, at that exact count, until the end.

        What it executes for the images does not count, nor does time over which its clock jumps. Where the last one has
        not been taken by then, the next time is waited for. With `incremental`, each has only what has changed since
        the one before, and needs that one.

        Raises:
            FlukeError: as for `checkpoint`; or the number is not positive.
        """
        if type(every) is not int or every < 1:
            raise FlukeError(f"{every!r} is no number of instructions between two images: give one from 1 up")
        image: Image | None = None
        while not self.has_ended:
            parent = image if incremental else None
            try:
                image = await self.checkpointer.capture(self, parent, every)
            except FlukeError:
                if self.has_ended:
                    return
                raise
            yield image

    async def fork(self, count: int, *, stdin: Sequence[bytes | Any | None] | None = None) -> list[Process]:
        """
        Copies of the process as it is at this moment, which run on, each for itself.

        They share its memory until somebody writes to it, and have its services; each has a budget of what the process
        has left of its own, a stream for its output from here on, and of the input what was there and not read.

        Args:
            count: how many.
            stdin: for each copy the input that comes after that, as for `Kernel.spawn`; by default none, so that a copy
                which reads on is at the end.

        Raises:
            FlukeError: as for `checkpoint`; or the count is not positive, the inputs are not as many or are none, or
                there is no memory. Then there are no copies.
        """
        if type(count) is not int or count < 1:
            raise FlukeError(f"{count!r} is no number of copies: give one from 1 up")
        return await self.checkpointer.fork(self, check_inputs(stdin, count))

    def threads(self) -> tuple[ThreadInfo, ...]:
        """A snapshot of every thread, in order of creation; stops nothing."""
        if self._loaded is None:
            return ()
        threads = sorted(self._loaded.account.threads, key=lambda thread: thread.hash)
        return tuple(describe_thread(thread) for thread in threads)

    @property
    def loaded(self) -> Outside | None:
        """What the kernel has of the process; None once it is gone."""
        return self._loaded

    @property
    def is_suspended(self) -> bool:
        """Whether the process has been suspended."""
        return self._loaded is not None and self._loaded.account.is_suspended

    @property
    def is_held(self) -> bool:
        """Whether it stands still to be read out."""
        return self._loaded is not None and self._loaded.account.is_held

    @property
    def state(self) -> str:
        """In one word: "running", "suspended", or the reason for which it has ended."""
        if self._exit is not None:
            return self._exit.reason
        return "suspended" if self.is_suspended else "running"

    @property
    def has_ended(self) -> bool:
        """Whether `wait` would return at once."""
        return self._exit is not None

    def leaving(self) -> None:
        """It is about to be gone, and everything is still there. For the driver."""
        for action in tuple(self.on_end):
            action()

    def ended(self, exit_: Exit, *, gone: bool) -> None:
        """Note the end; `gone` when nothing of the process is left. For the driver."""
        if gone:
            self._loaded = None
            if self.on_gone is not None:
                self.on_gone()
        self._exit = exit_
        self.stillness.end(is_gone=gone)
        self.stdout.end()
        self._ended.set()

    def __repr__(self) -> str:
        return f"<Process {self.number} {self.name!r} {self.state}>"
