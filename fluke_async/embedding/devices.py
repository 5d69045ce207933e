"""The devices of one kernel: each an async task with its port, as long as it is plugged in."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from fluke_async.device import Device, DevicePort

if TYPE_CHECKING:
    from anyio.abc import TaskGroup

    from fluke_async.embedding.driver import Driver

# Devices plug in by name, from above this package; these two every program expects.
CONSOLE = "fluke_devices.console:Console"
TIMER = "fluke_devices.timer:Timer"


class Devices:
    """Plugs devices in and out; their tasks are in `tasks`."""

    def __init__(self, driver: Driver, tasks: TaskGroup) -> None:
        self._driver = driver
        self._tasks = tasks

    def plug_in(self, device: Device) -> DevicePort:
        """Run a device."""
        port = DevicePort(self._driver, device)
        self._driver.ports.append(port)
        self._tasks.start_soon(_serve, device, port)
        return port

    def unplug(self, port: DevicePort) -> None:
        """End it."""
        self._driver.ports.remove(port)
        port.scope.cancel()


def new_console(*arguments: Any) -> Any:
    """A console, not plugged in yet."""
    return _device_class(CONSOLE)(*arguments)


def is_console_state(state: object) -> bool:
    """Whether a console can be the continuation of one in this state."""
    return bool(_device_class(CONSOLE).is_state(state))


def new_timer() -> Any:
    """A timer, likewise."""
    return _device_class(TIMER)()


@cache
def _device_class(name: str) -> Any:
    module, _, attribute = name.partition(":")
    return getattr(import_module(module), attribute)


async def _serve(device: Device, port: DevicePort) -> None:
    with port.scope:
        await device.run(port)
