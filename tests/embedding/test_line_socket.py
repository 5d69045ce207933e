"""A control socket is made for its owner, takes nobody else's place, and is gone afterwards."""

# ruff: noqa: ASYNC240  (files in a folder of the test's own)

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import anyio
import pytest

import fluke_async as fluke
from tests.embedding.control_client import connected


async def test_only_the_owner_can_use_the_socket(path: Path) -> None:
    before = os.umask(0)
    try:
        async with fluke.Kernel() as kernel, kernel.control(path):
            mode = path.stat().st_mode
            assert (stat.S_ISSOCK(mode), stat.S_IMODE(mode)) == (True, 0o600)
    finally:
        os.umask(before)


async def test_the_socket_is_gone_afterwards(path: Path) -> None:
    async with fluke.Kernel() as kernel:
        async with kernel.control(path), connected(path) as client:
            assert (await client.ask("ps"))["ok"]
        assert not path.exists()
        async with kernel.control(str(path)), connected(path) as client:
            assert (await client.ask("ps"))["ok"]
    assert not path.exists()


async def test_the_socket_is_gone_after_an_exception_which_passes_through(path: Path) -> None:
    with pytest.raises(LookupError, match="mine"):
        async with fluke.Kernel() as kernel, kernel.control(path), connected(path):
            raise LookupError("mine")
    assert not path.exists()


async def test_the_socket_is_gone_after_cancellation(path: Path) -> None:
    with anyio.CancelScope() as scope:
        async with fluke.Kernel() as kernel, kernel.control(path):
            scope.cancel()
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert not path.exists()


async def test_a_socket_that_answers_is_left_alone(path: Path) -> None:
    async with fluke.Kernel() as kernel, kernel.control(path):
        with pytest.raises(fluke.FlukeError, match="another program answers there"):
            async with kernel.control(path):
                pass
        async with connected(path) as client:
            assert (await client.ask("ps"))["ok"]


async def test_a_socket_that_was_left_behind_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    async with fluke.Kernel() as kernel, kernel.control(path), connected(path) as client:
        assert (await client.ask("ps"))["ok"]
    assert not path.exists()


async def test_another_s_socket_is_not_removed(path: Path) -> None:
    async with fluke.Kernel() as kernel:
        async with kernel.control(path):
            path.unlink()
            path.touch()
        assert path.is_file()


async def test_paths_that_cannot_be(path: Path) -> None:
    path.write_text("precious")
    wrong = {
        path: "what is there is no socket",
        path.parent / "nosuch" / "s": "No such file",
        path.parent / ("s" * 108): "too long",
        path / "s": "Not a directory",
        Path("nul\0character"): "null",
    }
    async with fluke.Kernel() as kernel:
        for each, message in wrong.items():
            with pytest.raises(fluke.FlukeError, match=message):
                async with kernel.control(each):
                    pass
    assert path.read_text() == "precious"
    assert list(path.parent.iterdir()) == [path]


async def test_only_a_kernel_that_runs_can_be_controlled(path: Path) -> None:
    kernel = fluke.Kernel()
    with pytest.raises(fluke.FlukeError, match="has not been started"):
        async with kernel.control(path):
            pass
    async with kernel:
        pass
    with pytest.raises(fluke.FlukeError, match="has stopped"):
        async with kernel.control(path):
            pass
    assert not path.exists()
