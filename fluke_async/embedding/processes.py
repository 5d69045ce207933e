"""Making the processes of one kernel: each a program in memory, with its console, its timer and its streams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fluke_async.embedding.checkpointer import Checkpointer
from fluke_async.embedding.devices import Devices, new_console, new_timer
from fluke_async.embedding.exit import Exit
from fluke_async.embedding.host_objects import Named, resolve
from fluke_async.embedding.loader import load_program
from fluke_async.embedding.outside import Outside
from fluke_async.embedding.process import Attached, Process
from fluke_async.errors import ProgramError
from fluke_async.kernel.trace import Event
from fluke_async.programs import find_program

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from fluke_async.embedding.driver import Driver


class Processes:
    """Makes processes at the kernel's fixed point, and numbers them. `outputs` has the tasks that send output on."""

    def __init__(self, driver: Driver, devices: Devices, outputs: TaskGroup) -> None:
        self._driver = driver
        self._devices = devices
        self._outputs = outputs
        self._made = 0
        self.checkpointer = Checkpointer(driver, self)

    def start(
        self,
        program: str | Path | bytes,
        arguments: list[str],
        environment: dict[str, str],
        stdin: Any,
        services: Mapping[str, Named],
        budget: int | None,
    ) -> Process:
        """
        Load a program and start it.

        Raises:
            ProgramError: it is refused.
        """
        driver = self._driver
        name = "program" if isinstance(program, bytes) else Path(program).stem
        data = program if isinstance(program, bytes) else find_program(str(program))
        try:
            given = {service: resolve(driver, target) for service, target in services.items()}
            loaded = load_program(driver.core, data, [name, *arguments], environment, given)
        except ProgramError as error:
            shown = name if isinstance(program, bytes) else str(program)
            raise ProgramError(f"{shown!r} is refused: {error}") from None
        loaded.account.instructions_left = budget
        process = self.adopt(name, tuple(arguments), loaded.outside, stdin)
        if driver.core.trace is not None:
            driver.core.trace((driver.core.time, Event.SPAWN, loaded.thread.hash, process.number, name))
        driver.core.start(loaded.thread)
        return process

    def adopt(
        self, name: str, arguments: tuple[str, ...], outside: Outside, stdin: Any, console_state: Any = None
    ) -> Process:
        """Give what is in memory a console and a timer, and a handle. Nothing of it runs by that."""
        self._made += 1
        process = Process(self._driver, self._made, name, arguments, outside)
        states = () if console_state is None else (console_state,)
        console, timer = new_console(process.stdout, stdin, *states), new_timer()
        console_port, timer_port = self._devices.plug_in(console), self._devices.plug_in(timer)
        outside.console.receiver, outside.timer.receiver = console_port.hand_in, timer_port.hand_in
        process.attached = Attached(console, timer, timer_port)
        process.checkpointer = self.checkpointer

        def unplug() -> None:
            self._devices.unplug(console_port)
            self._devices.unplug(timer_port)

        process.on_gone = unplug
        self._driver.adopt(process)
        return process

    def redirect(self, process: Process, stdout: Any | None) -> None:
        """Send a process's output on, if it is to go anywhere."""
        if stdout is not None:
            self._outputs.start_soon(process.stdout.send_on, stdout)

    def abandon(self, process: Process | None, reason: str) -> None:
        """End a process of which nobody has a handle."""
        if process is not None:
            self._driver.post(lambda: self._driver.end(process, Exit("killed", 1, reason)))
