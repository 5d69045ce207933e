"""Devices of one's own, and services that programs are given by name."""

from __future__ import annotations

import anyio
import pytest

import fluke_async as fluke
from fluke_async.device import DevicePort
from fluke_async.embedding.host_objects import Named
from tests.embedding.conftest import MakeKernel
from tests.embedding.host_tasks import (
    clean,
    echo,
    serving,
    thread_of,
    until,
)


class Adder:
    """A device: answers the sum of two words, or nothing for ever."""

    async def run(self, port: DevicePort) -> None:
        async for request in port:
            if request.words:
                request.reply(sum(request.words))
            else:
                request.defer()


async def test_a_device_of_ones_own_is_called(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as me:
        adder = kernel.plug_in(Adder())
        assert (await me.exchange(adder, [3, 4])).words == (7,)
        await me.send(adder, [3, 4])
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(me.call, adder)
            await until(lambda: adder.has_open_requests)
            tasks.cancel_scope.cancel()
        assert not adder.has_open_requests
        assert (await me.exchange(adder, [3, 5])).words == (8,)


async def test_only_a_device_can_be_plugged_in() -> None:
    kernel = fluke.Kernel()
    with pytest.raises(fluke.FlukeError, match="has not been started"):
        kernel.plug_in(Adder())
    async with kernel:
        with pytest.raises(fluke.FlukeError, match=r"is no device: give an object with `async def run\(self, port\)`"):
            kernel.plug_in("adder")  # type: ignore[arg-type]
    with pytest.raises(fluke.FlukeError, match="kernel has stopped"):
        kernel.plug_in(Adder())


async def test_programs_get_ports_and_devices_by_name(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as server:
        adder = kernel.plug_in(Adder())
        async with serving(echo, server) as port:
            services: dict[str, Named] = {"echo": port, "adder": adder, "space": server.space, "again": port}
            process = await kernel.spawn(
                "service_client",
                args=["names", "echo", "echo2", "ech", "adder", "space", "again", ""],
                services=services,
            )
            assert await process.stdout.read_all() == (
                b"echo: yes\necho2: no\nech: no\nadder: yes\nspace: yes\nagain: yes\n: no\n"
            )
            for name, reply in (("echo", b"status 0: hello\n"), ("space", b"status 4: hello\n")):
                process = await kernel.spawn("service_client", args=["call", name, "hello"], services=services)
                assert await process.stdout.read_all() == reply
            process = await kernel.spawn("service_client", args=["send", "echo", "hello"], services=services)
            assert await process.stdout.read_all() == b"status 0\n"
            process = await kernel.spawn("service_client", args=["names", "echo"])
            assert await process.stdout.read_all() == b"echo: no\n"


async def test_services_that_cannot_be_passed_are_refused() -> None:
    async with fluke.Kernel() as kernel, kernel.host_thread() as me:
        port = await me.port()
        for services, message in (
            ([port], "is no mapping: give one"),
            ({"name": me}, "cannot be referred to: give a port or reference"),
            ({"na\0me": port}, "remove the null character"),
            ({5: port}, "give a str"),
            ({str(number): port for number in range(251)}, "251 services are too many: pass at most 250"),
            ({"x" * 200_000: port}, "pass at most"),
        ):
            async with clean(kernel):
                with pytest.raises(fluke.FlukeError, match=message):
                    await kernel.spawn("hello", services=services)  # type: ignore[arg-type]
        every = {str(number): port for number in range(250)}
        process = await kernel.spawn("service_client", args=["names", "0", "249", "250"], services=every)
        assert await process.stdout.read_all() == b"0: yes\n249: yes\n250: no\n"


async def test_a_program_that_ends_is_no_client_any_more(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel, clean(kernel), kernel.host_thread() as server:
        port = await server.port()
        process = await kernel.spawn("service_client", args=["call", "port", "hello"], services={"port": port})
        request = await anext(server.serve(port))
        assert thread_of(server).client is not None
        await process.kill()
        assert thread_of(server).client is None
        await request.reply(b"too late")  # nothing happens
