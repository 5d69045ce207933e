"""A process that is restored finds its devices again: the same, or others that have taken over their states."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import pytest

import fluke_async as fluke
from fluke_async.abi.devices import DISK_SECTOR_BYTES, DiskOperation, EntropyOperation, StoreOperation
from fluke_async.device import Device, DevicePort
from fluke_async.image.builder import ImageBuilder
from fluke_async.image.manifest import Device as DeviceRecord
from fluke_devices.disk import Disk
from fluke_devices.entropy import Entropy
from fluke_devices.medium import Medium
from fluke_devices.shelf import MemoryShelf
from fluke_devices.store import Store
from tests.embedding.conftest import MakeKernel

DONE = fluke.Exit("exited", 0)
TURNS = 12
BUDGET = 1_000_000
EVERY = 3_000  # instructions: several images of each of these runs
SECTOR = ["1"] * (DISK_SECTOR_BYTES // 8)


class Tally:
    """Adds up what it is told, once for each number of a question: `number word` -> `sum`."""

    def __init__(self, total: int = 0) -> None:
        self.total = total
        self.asked = 0

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            number, word = request.words
            if number == self.asked:
                self.asked += 1
                self.total += word
            request.reply(self.total)

    @property
    def state(self) -> Mapping[str, Any]:
        return {"total": self.total, "asked": self.asked}

    def load_state(self, state: dict[str, Any]) -> None:
        self.total, self.asked = int(state["total"]), int(state["asked"])


class Mute:
    """Has a state that is none."""

    def __init__(self, state: Any) -> None:
        self.state = state

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            request.reply(0)

    def load_state(self, state: dict[str, Any]) -> None:
        """Take anything."""


SHELF = MemoryShelf()
DEVICES: dict[str, tuple[Any, list[Any]]] = {
    "entropy": (lambda: Entropy(b"seed"), [int(EntropyOperation.READ), "n", 8]),
    "tally": (Tally, ["n", 3]),
    "store": (lambda: Store(SHELF), [int(StoreOperation.READ), "n", 8, 0x656D616E, *[0] * 7]),
    "disk": (lambda: Disk(Medium(TURNS)), [int(DiskOperation.WRITE), "n", 1, *SECTOR]),
}
SHELF.put(b"name", bytes(range(100)))


async def stopped(
    kernel: fluke.Kernel, name: str, device: Device | DevicePort, turns: int = TURNS, budget: int = 8_000
) -> fluke.Process:
    """A program that its budget has stopped when it has asked its device some of the times."""
    words = [str(word) for word in DEVICES.get(name, (None, ["n", 1]))[1]]
    port = device if isinstance(device, DevicePort) else kernel.plug_in(device)
    process = await kernel.spawn("ask", args=[name, str(turns), *words], services={name: port}, budget=budget)
    assert (await process.wait()).reason == "budget"
    return process


async def finish(process: fluke.Process) -> bytes:
    if process.state == "budget":
        process.add_budget(BUDGET)
    output = await process.stdout.read_all()
    assert await process.wait() == DONE
    return output


async def undisturbed(kernel: fluke.Kernel, name: str) -> bytes:
    return await finish(await stopped(kernel, name, DEVICES[name][0]()))


async def images_of(kernel: fluke.Kernel, name: str, device: Device) -> list[fluke.Image]:
    """Images of a program in the middle of asking a device."""
    process = await stopped(kernel, name, device, budget=1)
    process.add_budget(BUDGET)
    images = [image async for image in process.checkpoints(EVERY)]
    await finish(process)
    assert len(images) > 2
    return images


async def image_of_hello(kernel: fluke.Kernel) -> fluke.Image:
    process = await kernel.spawn("hello", budget=100)
    await process.wait()
    return await process.checkpoint()


def written(image: fluke.Image) -> int:
    count: int = image.manifest.devices["console"].state["written"]
    return count


def changed(image: fluke.Image, **devices: DeviceRecord) -> fluke.Image:
    """The same image, with other devices."""
    names = {name.replace("_", ":"): record for name, record in devices.items()}
    builder = ImageBuilder(msgspec.structs.replace(image.manifest, devices={**image.manifest.devices, **names}))
    builder.add(image.pages())
    return builder.finish()


@pytest.mark.parametrize("name", DEVICES)
async def test_program_goes_on_with_a_new_device_of_the_class(make_kernel: MakeKernel, name: str) -> None:
    make = DEVICES[name][0]
    async with make_kernel() as kernel:
        expected = await undisturbed(kernel, name)
        images = await images_of(kernel, name, make())
    async with make_kernel() as kernel:
        for image in images:
            device = Entropy() if name == "entropy" else make()
            process = await kernel.restore(image, services={name: kernel.plug_in(device)})
            assert await finish(process) == expected[written(image) :]


@pytest.mark.parametrize("name", ["entropy", "store", "disk"])
async def test_program_goes_on_with_the_same_device(make_kernel: MakeKernel, name: str) -> None:
    async with make_kernel() as kernel:
        expected = await undisturbed(kernel, name)
        device = kernel.plug_in(DEVICES[name][0]())
        process = await stopped(kernel, name, device)
        image = await process.checkpoint()
        again = await kernel.restore(image, services={name: device}, budget=BUDGET)  # while the other one has it
        assert await finish(again) == expected[written(image) :]
        assert await finish(process) == expected


async def test_image_names_the_devices_and_has_their_states() -> None:
    async with fluke.Kernel() as kernel, kernel.host_thread() as me:
        given: dict[str, Any] = {
            "entropy": kernel.plug_in(Entropy(b"\xab")),
            "store": kernel.plug_in(Store()),
            "tally": kernel.plug_in(Tally(7)),
            "task": await me.port(),
        }
        process = await kernel.spawn("echo", services=given, budget=1)
        await process.wait()
        image = await process.checkpoint()
    devices = {name: (record.device, record.state) for name, record in image.manifest.devices.items()}
    assert devices.pop("console")[0] == "fluke_devices.console.Console"
    assert devices == {
        "service:entropy": ("fluke_devices.entropy.Entropy", {"seed": "ab"}),
        "service:store": ("fluke_devices.store.Store", {}),
        "service:tally": (f"{__name__}.Tally", {"total": 7, "asked": 0}),
    }


async def test_state_in_an_image_is_that_of_its_moment(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        images = await images_of(kernel, "tally", Tally())
    totals = [image.manifest.devices["service:tally"].state["total"] for image in images]
    assert totals == sorted(totals)
    assert len(set(totals)) > 2


async def test_branches_share_their_devices(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        expected = await undisturbed(kernel, "entropy")
        process = await stopped(kernel, "entropy", Entropy(b"seed"))
        image = await process.checkpoint()
        branches = await process.fork(2)
        outputs = [await finish(each) for each in (process, *branches)]
    assert outputs[0] == expected
    assert outputs[1:] == [expected[written(image) :]] * 2
    assert 0 < written(image) < len(expected)


@pytest.mark.parametrize("other", [Store(), Mute({})])
async def test_another_class_is_refused_unless_it_is_meant(other: Device) -> None:
    async with fluke.Kernel() as kernel:
        process = await stopped(kernel, "entropy", Entropy(b"seed"))
        image = await process.checkpoint()
        port = kernel.plug_in(other)
        with pytest.raises(fluke.FlukeError, match=r"was a fluke_devices.entropy.Entropy, and is .*entropy"):
            await kernel.restore(image, services={"entropy": port})
        await kernel.restore(image, services={"entropy": port}, substitutes=["entropy"])


async def test_a_task_in_place_of_a_device_is_refused_unless_it_is_meant() -> None:
    async with fluke.Kernel() as kernel, kernel.host_thread() as me:
        process = await stopped(kernel, "tally", Tally(), turns=1, budget=1)
        image = await process.checkpoint()
        await finish(process)
        port = await me.port()
        with pytest.raises(fluke.FlukeError, match=r"was a .*Tally, and is no device"):
            await kernel.restore(image, services={"tally": port})
        again = await kernel.restore(image, services={"tally": port}, substitutes=["tally"], budget=BUDGET)
        async for request in me.serve(port):
            await request.reply([42])
            break
        assert await finish(again) == b"42\n"


async def test_substitute_keeps_its_own_state(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await stopped(kernel, "entropy", Entropy(b"seed"))
        image = await process.checkpoint()
        device = Entropy(b"other")
        given = {"entropy": kernel.plug_in(device)}
        again = await kernel.restore(image, services=given, substitutes=["entropy"], budget=BUDGET)
        assert await finish(again) != await finish(process)
    assert device.seed == b"other"


async def test_device_of_another_process_is_not_changed() -> None:
    tally = Tally()
    async with fluke.Kernel() as kernel:
        port = kernel.plug_in(tally)
        process = await stopped(kernel, "tally", port, turns=1, budget=1)
        image = await process.checkpoint()
        await finish(process)
        assert tally.total == 3
        reader = await kernel.spawn("ask", args=["tally", "0", "0"], services={"tally": port}, budget=1)
        await reader.wait()
        with pytest.raises(fluke.FlukeError, match="another process uses the device 'tally'"):
            await kernel.restore(image, services={"tally": port})
        assert tally.total == 3
        await reader.kill()
        again = await kernel.restore(image, services={"tally": port}, budget=BUDGET)
        assert tally.total == 0
        assert await finish(again) == b"3\n"


async def test_missing_device_is_named_with_its_class() -> None:
    async with fluke.Kernel() as kernel:
        image = await (await stopped(kernel, "entropy", Entropy())).checkpoint()
        with pytest.raises(fluke.FlukeError, match=r"the services entropy \(a fluke_devices.entropy.Entropy\): pass"):
            await kernel.restore(image)


@pytest.mark.parametrize("state", [{"seed": 1}, {"seed": "0"}, {"seed": "zz"}, {"seed": "00" * 65}, {}, {"a": "00"}])
async def test_state_that_a_device_does_not_take(state: dict[str, Any]) -> None:
    async with fluke.Kernel() as kernel:
        process = await stopped(kernel, "entropy", Entropy())
        image = await process.checkpoint()
        await finish(process)
        bad = changed(image, service_entropy=DeviceRecord("fluke_devices.entropy.Entropy", state))
        used = kernel.statistics().memory_used_bytes
        with pytest.raises(fluke.FlukeError, match=r"'entropy' does not take the state .*: a seed"):
            await kernel.restore(bad, services={"entropy": kernel.plug_in(Entropy())})
        assert kernel.statistics().memory_used_bytes == used


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"written": -1, "input_start": 0, "input": ""},
        {"written": 0, "input_start": 0, "input": "0"},
        {"written": 0, "input_start": "0", "input": ""},
        {"written": 0, "input_start": 0, "input": "", "more": 1},
    ],
)
async def test_state_that_no_console_has_is_refused(state: dict[str, Any]) -> None:
    async with fluke.Kernel() as kernel:
        image = await image_of_hello(kernel)
        bad = changed(image, console=DeviceRecord("fluke_devices.console.Console", state))
        with pytest.raises(fluke.FlukeError, match="this image has no console that can be continued"):
            await kernel.restore(bad)
        assert (await finish(await kernel.spawn("hello"))) == b"Hello, world!\n"


@pytest.mark.parametrize("state", [None, 7, {"bytes": b""}, {"deep": (1, 2)}, {1: 2}])
async def test_state_that_is_not_plain_makes_no_image_and_harms_nobody(state: Any) -> None:
    async with fluke.Kernel() as kernel:
        process = await stopped(kernel, "mute", Mute(state), budget=1)
        with pytest.raises(fluke.FlukeError, match="mute"):
            await process.checkpoint()
        assert await finish(process) == b"0\n" * TURNS


async def test_substitutes_are_names_of_services() -> None:
    async with fluke.Kernel() as kernel:
        image = await image_of_hello(kernel)
        with pytest.raises(fluke.FlukeError, match="'board' among the substitutes is no service"):
            await kernel.restore(image, substitutes=["board"])
        with pytest.raises(fluke.FlukeError, match="substitutes 'board' is no list"):
            await kernel.restore(image, substitutes="board")
