"""A kernel is looked at and held through a Unix socket, and no client disturbs it."""

from __future__ import annotations

import os
from dataclasses import asdict
from pathlib import Path

import anyio
import pytest
from anyio.abc import SocketAttribute

import fluke_async as fluke
from fluke_async.embedding.control import CONNECTIONS_MAX, LINE_MAX_BYTES
from tests.embedding.conftest import MakeKernel
from tests.embedding.control_client import Client, connected
from tests.embedding.guest import LOOP, Feed, idle, pass_time


async def test_ps_tells_what_the_kernel_knows(make_kernel: MakeKernel, path: Path) -> None:
    feed = Feed()
    async with make_kernel() as kernel, kernel.control(path), connected(path) as client:
        process = await kernel.spawn("echo", stdin=feed)
        await feed.wanted.wait()
        reply = await client.ask("ps")
        assert reply["ok"] is True
        assert reply["statistics"] == asdict(kernel.statistics())
        (shown,) = reply["processes"]
        (thread,), (info,) = shown.pop("threads"), process.threads()
        assert shown == {"number": 1, "name": "echo", "state": "running"}
        assert thread == {
            "hash": info.hash,
            "condition": "waiting",
            "priority": info.priority,
            "effective_priority": info.effective_priority,
            "call": "ipc_call",
            "waiting_for": f"{info.waiting_for} (console)",
            "restarts": 0,
            "pc": info.pc,
            "exception": None,
        }


@pytest.mark.usefixtures("small_slices")
async def test_ps_stops_nothing(make_kernel: MakeKernel, path: Path) -> None:
    outcomes, asked = [], 0
    for asks in (False, True):
        async with make_kernel() as kernel, kernel.control(path), connected(path) as client:
            process = await kernel.spawn("primes", args=["10000", "3"])
            while asks and not process.has_ended:
                assert (await client.ask("ps"))["ok"]
                asked += 1
            outcomes.append((await process.wait(), kernel.statistics()))
    assert outcomes[0] == outcomes[1]
    assert asked > 10


async def test_a_process_is_held_and_let_go(make_kernel: MakeKernel, path: Path) -> None:
    async with make_kernel() as kernel, kernel.control(path), connected(path) as client:
        process = await kernel.spawn(LOOP)
        reply = await client.ask("suspend", process=1)
        assert reply == {"ok": True, "process": {"number": 1, "name": "program", "state": "suspended"}}
        before = process.threads()
        await pass_time(kernel)
        (shown,) = (await client.ask("ps"))["processes"]
        assert (shown["state"], shown["threads"][0]["condition"]) == ("suspended", "suspended")
        assert process.threads() == before
        reply = await client.ask("resume")
        assert reply["process"]["state"] == "running"
        await pass_time(kernel)
        assert process.threads() != before


@pytest.mark.usefixtures("small_slices")
async def test_ps_shows_no_process_as_it_is_read_out(make_kernel: MakeKernel, path: Path) -> None:
    async with (
        make_kernel() as kernel,
        kernel.control(path),
        connected(path) as client,
        anyio.create_task_group() as tasks,
    ):
        process = await kernel.spawn("philosophers", args=["3", "1000000"])

        async def read_out() -> None:
            while True:
                await process.checkpoint()

        tasks.start_soon(read_out)
        seen, looks = set[str](), 0
        while looks < 50:
            (shown,) = (await client.ask("ps"))["processes"]
            assert (shown["name"], shown["state"]) == ("philosophers", "running")
            seen |= {thread["condition"] for thread in shown["threads"]}
            looks += 1
        tasks.cancel_scope.cancel()
    assert seen == {"ready", "waiting"}


async def test_an_image_is_written_whole_or_not_at_all(make_kernel: MakeKernel, path: Path, tmp_path: Path) -> None:
    async with make_kernel() as kernel, kernel.control(path), connected(path) as client:
        await kernel.spawn("philosophers", args=["3", "1000000"])
        reply = await client.ask("checkpoint", path=str(tmp_path / "image"))
        image = fluke.Image.load(tmp_path / "image")
        assert reply["image"] == {"identity": image.identity, "written": 0}
        assert reply["process"] == {"number": 1, "name": "philosophers", "state": "running"}
        wrong: object
        for wrong in (None, 3, "image", "", "/a\0b", ["/image"]):
            reply = await client.ask("checkpoint", path=wrong)
            assert "absolute path" in reply["error"]
        for place in (tmp_path, tmp_path / "nosuch" / "image"):
            reply = await client.ask("checkpoint", path=str(place))
            assert reply["error"].startswith("cannot write")
        assert os.listdir(tmp_path) == ["image"]  # noqa: PTH208
        async with connected(path) as second:
            for each in (client, second):
                await each.send(b'{"command": "checkpoint", "path": "%s"}' % str(tmp_path / "image").encode())
            assert [(await each.receive())["ok"] for each in (client, second)] == [True, True]


async def test_which_process_is_meant(make_kernel: MakeKernel, path: Path) -> None:
    async with make_kernel() as kernel, kernel.control(path), connected(path) as client:
        assert "there is none at all" in (await client.ask("suspend"))["error"]
        first, second = await kernel.spawn(LOOP), await kernel.spawn(LOOP)
        assert (await client.ask("suspend"))["error"].endswith("give one of 1, 2")
        wrong: object
        for wrong in (3, -1, True, "1", [[]]):
            reply = await client.ask("suspend", process=wrong)
            assert reply["ok"] is False
            assert reply["error"].endswith("give one of 1, 2")
        assert (await client.ask("suspend", process=2))["ok"]
        assert (first.state, second.state) == ("running", "suspended")


MALFORMED = [
    b"",
    b"ps",
    b"null",
    b"[]",
    b'"ps"',
    b"{}",
    b'{"command": "nosuch"}',
    b'{"command": ["ps"]}',
    b'{"command": "ps", "process": 1}',
    b'{"command": "suspend", "proces": 1}',
    b'{"command": "suspend", "process": -1}',
    b'{"command": "\\ud800"}',
    b"\xff\xfe\x00",
    b"[" * 60_000,
    b'{"command": ' * 5_000,
    b"9" * 60_000,
    b'{"command": "' + b"x" * 60_000 + b'"}',
]


@pytest.mark.parametrize("line", MALFORMED, ids=range(len(MALFORMED)))
async def test_a_malformed_line_gets_an_error_and_the_next_one_its_reply(path: Path, line: bytes) -> None:
    async with fluke.Kernel() as kernel, kernel.control(path), connected(path) as client:
        await kernel.spawn(LOOP)
        await client.send(line)
        reply = await client.receive()
        assert reply.keys() == {"ok", "error"}
        assert reply["ok"] is False
        assert 0 < len(reply["error"]) < 200
        assert (await client.ask("ps"))["ok"]


async def test_commands_may_be_sent_ahead(path: Path) -> None:
    async with fluke.Kernel() as kernel, kernel.control(path), connected(path) as client:
        await kernel.spawn(LOOP)
        await client.send(b'{"command": "suspend"}\n{"command": "nosuch"}\n{"command": "resume"}')
        assert (await client.receive())["process"]["state"] == "suspended"
        assert not (await client.receive())["ok"]
        assert (await client.receive())["process"]["state"] == "running"


async def test_a_line_without_end_ends_the_connection(path: Path) -> None:
    async with fluke.Kernel() as kernel, kernel.control(path), connected(path) as client:
        await client.stream.send(b"x" * (LINE_MAX_BYTES + 1))
        assert "more than 65536 bytes" in (await client.receive())["error"]
        assert await client.has_been_hung_up()
        async with connected(path) as another:
            assert (await another.ask("ps"))["ok"]


async def test_there_is_a_bound_on_connections(path: Path) -> None:
    async with fluke.Kernel() as kernel, kernel.control(path):
        async with anyio.create_task_group() as tasks:
            clients = [Client(await anyio.connect_unix(path)) for _ in range(CONNECTIONS_MAX)]
            for client in clients:
                assert (await client.ask("ps"))["ok"]
            async with connected(path) as one_more:
                assert "clients are connected already" in (await one_more.receive())["error"]
                assert await one_more.has_been_hung_up()
            for client in clients:
                tasks.start_soon(client.stream.aclose)
        await idle()
        async with connected(path) as after:
            assert (await after.ask("ps"))["ok"]


async def test_clients_that_are_silent_or_hang_up_disturb_nobody(make_kernel: MakeKernel, path: Path) -> None:
    async with make_kernel() as kernel, kernel.control(path), connected(path), connected(path) as client:
        async with connected(path):
            pass
        async with connected(path) as leaves:
            await leaves.stream.send(b'{"command": ')
        async with connected(path) as deaf:
            for _ in range(100):
                await deaf.send(b'{"command": "ps"}')
        process = await kernel.spawn("primes", args=["300", "3"])
        assert await process.wait() == fluke.Exit("exited", 0)
        assert (await client.ask("ps"))["processes"] == []


async def test_a_client_that_reads_nothing_waits_alone(path: Path) -> None:
    async with fluke.Kernel() as kernel, kernel.control(path), connected(path) as deaf, connected(path) as client:
        process = await kernel.spawn("primes", args=["300", "3"])
        refused = 0
        while refused < 3:  # the host's buffers are full in both directions, and stay so
            try:
                deaf.stream.extra(SocketAttribute.raw_socket).send(b'{"command": "ps"}\n' * 100)
            except BlockingIOError:
                refused += 1
                await idle()
        assert await process.wait() == fluke.Exit("exited", 0)
        assert (await client.ask("ps"))["ok"]
