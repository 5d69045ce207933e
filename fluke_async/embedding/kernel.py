"""The kernel as an application uses it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio

from fluke_async.device import Device, DevicePort
from fluke_async.embedding.clock import RealClock, VirtualClock
from fluke_async.embedding.control import serve_control
from fluke_async.embedding.driver import Driver
from fluke_async.embedding.exception_group import unwrapped
from fluke_async.embedding.exit import Exit
from fluke_async.embedding.host_context import HostContext
from fluke_async.embedding.host_objects import Named, resolve
from fluke_async.embedding.host_thread import HostThread
from fluke_async.embedding.loader import load_program
from fluke_async.embedding.options import check, check_spawn
from fluke_async.embedding.process import Process
from fluke_async.embedding.snapshot import KernelStatistics, kernel_statistics
from fluke_async.embedding.trace_writer import TraceWriter
from fluke_async.errors import FlukeError, ProgramError
from fluke_async.execution.configuration import MODELS
from fluke_async.execution.dispatcher import Dispatcher
from fluke_async.execution.hart import Hart
from fluke_async.kernel.core import Core
from fluke_async.kernel.turns import turns_of
from fluke_async.programs import find_program

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

T = TypeVar("T")


NOT_STARTED = "the kernel has not been started: use `async with fluke.Kernel() as kernel`"

# Devices plug in by name, from above this package; these two every program expects.
CONSOLE = "fluke_devices.console:Console"
TIMER = "fluke_devices.timer:Timer"


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
        self._devices: TaskGroup | None = None
        self._outputs: TaskGroup | None = None
        self._stack = AsyncExitStack()
        self._spawned = 0

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
            async with anyio.create_task_group() as devices:
                self._devices = devices
                self._timer = self._plug_in(driver, _device(TIMER)())
                devices.start_soon(driver.run)
                try:
                    async with anyio.create_task_group() as self._outputs:  # waited for: what was written arrives
                        try:
                            yield driver
                        except BaseException as error:
                            of_the_body = error
                            raise
                        finally:
                            with anyio.CancelScope(shield=True):
                                await driver.close()
                finally:
                    devices.cancel_scope.cancel()
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
        driver = self._running_driver()
        assert self._outputs is not None
        check_spawn(program, args, env, stdin, stdout, budget, services)
        name = "program" if isinstance(program, bytes) else Path(program).stem
        data = program if isinstance(program, bytes) else find_program(str(program))
        started: list[Process] = []

        def start() -> Process:
            try:
                given = {service: resolve(driver, target) for service, target in (services or {}).items()}
                loaded = load_program(driver.core, data, [name, *args], dict(env or {}), given)
            except ProgramError as error:
                shown = name if isinstance(program, bytes) else str(program)
                raise ProgramError(f"{shown!r} is refused: {error}") from None
            loaded.account.instructions_left = budget
            self._spawned += 1
            process = Process(driver, self._spawned, name, loaded)
            console = self._plug_in(driver, _device(CONSOLE)(process.stdout, stdin))
            process.on_gone = lambda: self._unplug(driver, console)
            loaded.console.receiver = console.hand_in
            loaded.timer.receiver = self._timer.hand_in
            driver.adopt(process)
            started.append(process)
            return process

        try:
            process = await driver.call(start)
        except anyio.get_cancelled_exc_class():  # nobody will have a handle
            driver.post(lambda: driver.end_all(started, Exit("killed", 1, "spawn was cancelled")))
            raise
        if stdout is not None:
            self._outputs.start_soon(process.stdout.send_on, stdout)
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
        return self._plug_in(self._running_driver(), device)

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
        Answer `fluke ps`, `fluke suspend` and `fluke resume` on a Unix socket, as long as the block lasts.

        Args:
            path: where the socket is to be, at most 107 bytes long. Only its owner can use it. A socket that nobody
                listens on any more is replaced.

        Raises:
            FlukeError: something else is at the path, it cannot be used, or the kernel does not run.
        """
        self._running_driver()
        assert self._devices is not None
        return serve_control(self, Path(path), self._devices)

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

    def _plug_in(self, driver: Driver, device: Device) -> DevicePort:
        assert self._devices is not None
        port = DevicePort(driver)
        driver.ports.append(port)
        self._devices.start_soon(_serve, device, port)
        return port

    def _unplug(self, driver: Driver, port: DevicePort) -> None:
        driver.ports.remove(port)
        port.scope.cancel()


def _device(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


async def _serve(device: Device, port: DevicePort) -> None:
    with port.scope:
        await device.run(port)
