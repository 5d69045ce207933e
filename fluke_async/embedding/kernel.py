"""The kernel as an application uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio

from fluke_async.device import Device, DevicePort
from fluke_async.embedding.clock import RealClock, VirtualClock
from fluke_async.embedding.control import serve_control
from fluke_async.embedding.devices import Devices, new_timer
from fluke_async.embedding.driver import Driver
from fluke_async.embedding.exception_group import unwrapped
from fluke_async.embedding.host_context import HostContext
from fluke_async.embedding.host_objects import Named
from fluke_async.embedding.host_thread import HostThread
from fluke_async.embedding.options import check, check_spawn, check_substitutes
from fluke_async.embedding.process import Process
from fluke_async.embedding.processes import Processes
from fluke_async.embedding.snapshot import KernelStatistics, kernel_statistics
from fluke_async.embedding.trace_writer import TraceWriter
from fluke_async.errors import FlukeError
from fluke_async.execution.configuration import MODELS
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.execution.hart import Hart
from fluke_async.image.image import Image
from fluke_async.kernel.core import Core
from fluke_async.kernel.turns import turns_of

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

T = TypeVar("T")


NOT_STARTED = "the kernel has not been started: use `async with fluke.Kernel() as kernel`"


class Kernel:
    """
    A kernel, for as long as its `async with` block lasts.

    Args:
        model: "interrupt" keeps a continuation record of a blocked call, "process" keeps its stack.
        preemption: "none"; "partial": also on the copy path of long messages; "full", of the process model: after each
            page copied and each object visited.
        cpus: harts, up to 16: so many threads run at a time, in turns that end at exact counts of instructions.
        memory: RAM, and the quota of all that programs make the kernel allocate; bytes or a text such as "64M".
        clock: "virtual" counts instructions and jumps over idle time; "real" is the host's.
        seed: with several harts, draws who has which turn, and makes turns short, which costs time: each seed is
            another interleaving; 0 draws nothing. Equal seeds and inputs give equal runs.
        trace: file for the trace, as JSON lines.
        logger: a structlog logger to take the trace instead.

    Raises:
        FlukeError: an argument is not one of those that exist.
    """

    def __init__(
        self,
        *,
        model: str = "interrupt",
        preemption: str = "partial",
        cpus: int = 1,
        memory: str | int = "64M",
        clock: str = "virtual",
        seed: int = 0,
        trace: str | Path | None = None,
        logger: Any | None = None,
    ) -> None:
        self._options = check(model=model, preemption=preemption, cpus=cpus, memory=memory, clock=clock, seed=seed)
        self._trace_path = trace
        self._logger = logger
        self._driver: Driver | None = None
        self._tasks: TaskGroup | None = None
        self._devices: Devices | None = None
        self._processes: Processes | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        if self._driver is not None:
            raise FlukeError("this kernel has been used: make a new one")
        async with AsyncExitStack() as stack:
            self._driver = await stack.enter_async_context(self._running())
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._stack.__aexit__(kind, error, traceback)

    @asynccontextmanager
    async def _running(self) -> AsyncIterator[Driver]:
        """Engine, devices and driver, stopped in reverse order, whatever happens."""
        from fluke_async.cpu.unicorn_cpu import UnicornCpu  # noqa: PLC0415  # slow to import

        options = self._options
        writer = None
        if self._trace_path is not None or self._logger is not None:
            writer = TraceWriter(self._trace_path, self._logger)
        cpu = UnicornCpu(options.memory_bytes)
        turns = turns_of(options.cpus, options.seed) if options.cpus > 1 else None
        core = Core(cpu, options.memory_bytes, None if writer is None else writer.take, turns)
        hart = Hart(core, cpu, Dispatcher(core, MODELS[options.model](), options.preemption))
        clock = RealClock() if options.clock == "real" else VirtualClock(core)
        driver = Driver(core, hart, clock)
        driver.on_breath = None if writer is None else writer.drain
        of_the_body: BaseException | None = None
        try:
            async with anyio.create_task_group() as tasks:
                self._tasks = tasks
                self._devices = Devices(driver, tasks)
                self._timer = self._devices.plug_in(new_timer())
                tasks.start_soon(driver.run)
                try:
                    async with anyio.create_task_group() as outputs:  # waited for: what was written arrives
                        self._processes = Processes(driver, self._devices, outputs)
                        try:
                            yield driver
                        except BaseException as error:
                            of_the_body = error
                            raise
                        finally:
                            with anyio.CancelScope(shield=True):
                                await driver.close()
                finally:
                    tasks.cancel_scope.cancel()
        except BaseExceptionGroup as group:
            only = unwrapped(group, of_the_body)
            raise only from only.__cause__
        finally:
            driver.abandon()
            cpu.close()
            if writer is not None:
                writer.close()

    async def spawn(
        self,
        program: str | Path | bytes,
        args: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        stdin: bytes | Any | None = b"",
        stdout: Any | None = None,
        budget: int | None = None,
        services: Mapping[str, Named] | None = None,
    ) -> Process:
        """
        Start a program.

        Args:
            program: a built-in name, a path, or the bytes of an RV64 ELF file.
            args: arguments after the program's name.
            env: its environment.
            stdin: its input: bytes, or an async stream whose `receive` gives bytes; None is empty.
            stdout: where its output goes: an async byte stream with `send`; by default `process.stdout`.
            budget: instructions after which it is stopped, exactly.
            services: what it is given by name: ports of host threads, references that they hold, and devices. (In C,
                `fluke_service(name)` is the reference.)

        Raises:
            ProgramError: the file is not one that can be run.
            FlukeError: an argument is not one that can be passed on, or the kernel has stopped.
        """
        driver, processes = self._running_driver(), self._processes
        assert processes is not None
        check_spawn(program, args, env, stdin, stdout, budget, services)
        started: list[Process] = []

        def start() -> Process:
            started.append(processes.start(program, list(args), dict(env or {}), stdin, services or {}, budget))
            return started[0]

        try:
            process = await driver.call(start)
        except anyio.get_cancelled_exc_class():
            for each in started:
                processes.abandon(each, "spawn was cancelled")
            raise
        processes.redirect(process, stdout)
        return process

    async def restore(
        self,
        image: Image,
        *,
        stdin: bytes | Any | None = b"",
        stdout: Any | None = None,
        services: Mapping[str, Named] | None = None,
        budget: int | None = None,
        substitutes: Collection[str] = (),
    ) -> Process:
        """
        Let a process go on from an image, in this kernel or any other, as often as one likes.

        Args:
            image: what `Process.checkpoint` or `Image.load` gave.
            stdin: input that comes after what the process had not read of its own, as for `spawn`.
            stdout: where its output from here on goes, as for `spawn`.
            services: what the process refers to by name outside; it needs those that it had. Devices must be of the
                classes that the image names, and are given the states that they have in it.
            budget: instructions after which it is stopped; by default what it had left.
            substitutes: names of services that may be anything else than they were; their states are left as they are.

        Raises:
            FlukeError: a service is missing or another than it was, a device does not take its state or another process
                uses it in another state, there is no memory, or the kernel has stopped.
        """
        driver, processes = self._running_driver(), self._processes
        assert processes is not None
        check_spawn("image", (), None, stdin, stdout, budget, services)
        if not isinstance(image, Image):
            raise FlukeError(f"{image!r} is no image: give one that Process.checkpoint or Image.load returned")
        driver.check_open()
        process = await processes.checkpointer.restore(
            image, stdin, services or {}, budget, check_substitutes(substitutes)
        )
        processes.redirect(process, stdout)
        return process

    @asynccontextmanager
    async def host_thread(self) -> AsyncIterator[HostThread]:
        """
        A thread of the kernel for the calling task, as long as the block lasts; see `HostThread`.

        At the end it is destroyed with its memory. A mutex that it owns in memory of others stays locked, with the flag
        OWNER_DEAD.

        Raises:
            FlukeError: the kernel's memory does not suffice, or the kernel does not run.
        """
        driver = self._running_driver()
        made: list[HostContext] = []

        def make() -> None:
            made.append(HostContext(driver))
            driver.host_threads.extend(made)

        def end() -> None:
            for host_thread in made:
                driver.end_host_thread(host_thread)

        try:
            await driver.call(make)
            yield HostThread(made[0], self._timer)
        finally:
            await driver.ensure(end)

    def plug_in(self, device: Device) -> DevicePort:
        """
        Run a device of one's own until the kernel ends; see `fluke_async.device`.

        What is returned can be given to programs (`spawn` with `services`) and called by host threads.

        Raises:
            FlukeError: it is no device, or the kernel does not run.
        """
        if not callable(getattr(device, "run", None)):
            raise FlukeError(f"{device!r} is no device: give an object with `async def run(self, port)`")
        self._running_driver()
        assert self._devices is not None
        return self._devices.plug_in(device)

    async def inspect(self, look: Callable[[Core], T]) -> T:
        """
        Look at the kernel's own state between two steps: `look` is called with the core, and its result returned.

        For tools and tests; what `look` changes is its own responsibility.
        """
        driver = self._running_driver()

        def safely() -> tuple[list[T], Exception | None]:
            try:
                return [look(driver.core)], None
            except Exception as error:  # noqa: BLE001  # it is the caller's own, and not the kernel's
                return [], error

        result, error = await driver.call(safely)
        if error is not None:
            raise error
        return result[0]

    def processes(self) -> tuple[Process, ...]:
        """Every process that runs, is suspended, or was stopped by its budget, in order of their numbers."""
        return tuple(self._running_driver().present.values())

    def control(self, path: str | Path) -> AbstractAsyncContextManager[None]:
        """
        Answer `fluke ps`, `checkpoint`, `suspend` and `resume` on a Unix socket, as long as the block lasts.

        Args:
            path: where the socket is to be, at most 107 bytes long. Only its owner can use it. A socket that nobody
                listens on any more is replaced.

        Raises:
            FlukeError: something else is at the path, it cannot be used, or the kernel does not run.
        """
        self._running_driver()
        assert self._tasks is not None
        return serve_control(self, Path(path), self._tasks)

    def statistics(self) -> KernelStatistics:
        """What has happened and what is in use; stops nothing."""
        if self._driver is None:
            raise FlukeError(NOT_STARTED)
        return kernel_statistics(self._driver.core, len(self._driver.processes))

    def _running_driver(self) -> Driver:
        if self._driver is None:
            raise FlukeError(NOT_STARTED)
        self._driver.check_open()
        return self._driver
