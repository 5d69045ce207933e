"""
Devices in images: each that a process was given by name is named by its class, and has its state there if it has one.

A restored process gets devices of the same classes, which take over these states before anything of it runs. A device
that was given to others too is not changed behind their backs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from copy import deepcopy
from typing import Any, TypeGuard, TypeVar

from fluke_async.device import Device, DevicePort, StatefulDevice
from fluke_async.embedding.outside import Outside, Service
from fluke_async.errors import FlukeError
from fluke_async.image.manifest import SERVICE_PREFIX, Manifest
from fluke_async.image.manifest import Device as DeviceRecord

T = TypeVar("T")

SUBSTITUTE = "give one of these, or say that it is meant to be another: substitutes=[{!r}]"


def describe_devices(console: Any, services: Mapping[str, Service]) -> dict[str, DeviceRecord]:
    """
    What is to be in an image of a process with this console and these services; what devices change later is not in it.

    Raises:
        FlukeError: a device does not give its state.
    """
    found = {"console": DeviceRecord(class_name(console), dict(console.state))}
    for name, target in services.items():
        if isinstance(target, DevicePort) and target.device is not None:
            device = target.device
            state = _taken(device, name) if has_state(device) else {}
            found[SERVICE_PREFIX + name] = DeviceRecord(class_name(device), state)
    return found


def take_over(
    manifest: Manifest, services: Mapping[str, Service], substitutes: Collection[str], others: Iterable[Outside]
) -> None:
    """
    See that a process finds services and devices as it had, and let devices take over the states in its image.

    Args:
        manifest: the image's.
        services: what it is given now.
        substitutes: names of services that may be anything.
        others: the processes that there are.

    Raises:
        FlukeError: a service is missing, unknown, or of another class than it was; a device would change that another
            process uses, or it does not take its state; a substitute is for nothing.
    """
    _check(manifest, services, substitutes)
    in_use = [target for outside in others for target in outside.services.values()]
    for name, record, target in _recorded(manifest, services, substitutes):
        assert isinstance(target, DevicePort)
        device = target.device
        if device is None or not has_state(device) or _taken(device, name) == record.state:
            continue
        if any(target is each for each in in_use):
            raise FlukeError(
                f"another process uses the device {name!r}, which is in another state than in the image: "
                f"plug in one for this process, or let it be as it is: substitutes=[{name!r}]"
            )
        _asked(name, "does not take the state that it has in the image", device.load_state, deepcopy(record.state))


def _check(manifest: Manifest, services: Mapping[str, Service], substitutes: Collection[str]) -> None:
    wanted = [name.removeprefix(SERVICE_PREFIX) for name in manifest.outside if name.startswith(SERVICE_PREFIX)]
    missing = [_shown(manifest, name) for name in wanted if name not in services]
    if missing:
        raise FlukeError(f"the process in this image uses the services {', '.join(missing)}: pass them in services")
    unknown = [name for name in services if name not in wanted]
    if unknown:
        raise FlukeError(f"the process in this image has no service {', '.join(unknown)}: leave it out")
    for name in substitutes:
        if name not in services:
            raise FlukeError(f"{name!r} among the substitutes is no service that was given: name those that were")
    for name, record, target in _recorded(manifest, services, substitutes):
        given = class_name(target.device) if isinstance(target, DevicePort) and target.device else "no device"
        if given != record.device:
            raise FlukeError(f"the service {name!r} was a {record.device}, and is {given}: {SUBSTITUTE.format(name)}")


def has_state(device: Device) -> TypeGuard[StatefulDevice]:
    """Whether it has one that goes into images."""
    return callable(getattr(device, "load_state", None))


def class_name(device: Device) -> str:
    """The dotted name of a device's class."""
    kind = type(device)
    return f"{kind.__module__}.{kind.__qualname__}".replace(".<locals>", "")


def _recorded(
    manifest: Manifest, services: Mapping[str, Service], substitutes: Collection[str]
) -> Iterable[tuple[str, DeviceRecord, Service]]:
    """The services that were devices and are to be so again, with what the image says of them."""
    for key, record in manifest.devices.items():
        name = key.removeprefix(SERVICE_PREFIX)
        if name != key and name in services and name not in substitutes:
            yield name, record, services[name]


def _shown(manifest: Manifest, name: str) -> str:
    """A service's name, with the class of the device that it was."""
    record = manifest.devices.get(SERVICE_PREFIX + name)
    return name if record is None else f"{name} (a {record.device})"


def _taken(device: StatefulDevice, name: str) -> dict[str, Any]:
    return _asked(name, "does not give its state", lambda: deepcopy(dict(device.state)))


def _asked(name: str, complaint: str, ask: Callable[..., T], *arguments: Any) -> T:
    """What a device answers, which may be anybody's: that it fails is not the kernel's affair."""
    try:
        return ask(*arguments)
    except Exception as error:
        raise FlukeError(f"the device {name!r} {complaint}: {error}") from error
