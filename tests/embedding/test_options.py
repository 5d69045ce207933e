"""The embedder's mistakes: each is a FlukeError of one line that names the value and the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import fluke_async as fluke
from tests.embedding.guest import Sink

OPTIONS = [
    ({"model": "procss"}, "'procss'", '"interrupt" or "process"'),
    ({"model": None}, "None", '"interrupt" or "process"'),
    ({"preemption": "most"}, "'most'", '"none", "partial" or "full"'),
    ({"preemption": "full"}, '"full"', 'model="process"'),
    ({"preemption": "full", "model": "interrupt"}, '"full"', 'or preemption="partial"'),
    ({"clock": "wall"}, "'wall'", '"virtual" or "real"'),
    ({"cpus": 0}, "cpus=0", "cpus=1"),
    ({"cpus": 17}, "cpus=17", "from 1 to 16"),
    ({"cpus": True}, "cpus=True", "cpus=1"),
    ({"cpus": "2"}, "cpus='2'", "cpus=1"),
    ({"seed": -1}, "seed=-1", "seed=0"),
    ({"seed": "x"}, "seed='x'", "seed=0"),
    ({"memory": "lots"}, "'lots'", '"64M"'),
    ({"memory": "-1M"}, "'-1M'", '"64M"'),
    ({"memory": ""}, "''", '"64M"'),
    ({"memory": 4096}, "'4096'", "between 1M and 64G"),
    ({"memory": "65G"}, "'65G'", "between 1M and 64G"),
    ({"memory": None}, "'None'", '"64M"'),
]

SPAWN = [
    ("nobody", {}, "'nobody'", "give the path"),
    ("", {}, "''", "give the path"),
    ("a\0b", {}, "'a\\x00b'", "give the path"),
    (7, {}, "7", "give a name, a path, or the bytes"),
    (bytearray(b"\x7fELF"), {}, "bytearray", "give a name, a path, or the bytes"),
    (b"#!/bin/sh", {}, "not an ELF file", "fluke cc"),
    ("hello", {"args": "world"}, "'world'", "args=['world']"),
    ("hello", {"args": [1]}, "1", "give a str"),
    ("hello", {"args": [b"x"]}, "b'x'", "give a str"),
    ("hello", {"args": ["a\0b"]}, "'a\\x00b'", "remove the null character"),
    ("hello", {"args": ["\ud800"]}, "'\\ud800'", "remove"),
    ("hello", {"args": ["x" * 200_000]}, "200", "through standard input"),
    ("hello", {"args": ["x"] * 20_000}, "arguments", "through standard input"),
    ("hello", {"env": {"LONG": "x" * 200_000}}, "200", "through standard input"),
    ("hello", {"env": {"": "x"}}, "''", "use one without"),
    ("hello", {"env": {"A=B": "x"}}, "'A=B'", "use one without '='"),
    ("hello", {"env": {"A\0": "x"}}, "A\\x00", "remove the null character"),
    ("hello", {"env": {"A": None}}, "None", "give a str"),
    ("hello", {"env": {1: "x"}}, "1", "give a str"),
    ("hello", {"stdin": "text"}, "a str", "give bytes"),
    ("hello", {"stdin": Sink()}, "Sink", "give bytes"),
    ("hello", {"stdout": b""}, "a bytes", "`send`"),
    ("hello", {"budget": 0}, "0", "give one, or None"),
    ("hello", {"budget": -3}, "-3", "give one, or None"),
    ("hello", {"budget": 1.5}, "1.5", "give one, or None"),
    ("hello", {"budget": "9"}, "'9'", "give one, or None"),
]


def check_message(error: fluke.FlukeError, value: str, remedy: str) -> None:
    message = str(error)
    assert "\n" not in message
    assert value in message
    assert remedy in message


@pytest.mark.parametrize(("options", "value", "remedy"), OPTIONS)
def test_wrong_options_of_a_kernel(options: dict[str, Any], value: str, remedy: str) -> None:
    with pytest.raises(fluke.FlukeError) as caught:
        fluke.Kernel(**options)
    check_message(caught.value, value, remedy)


@pytest.mark.parametrize("memory", ["1M", "1m", "1MiB", "2048K", "0.5G", 1 << 20, "1073741824", " 8 M "])
async def test_sizes_of_memory(memory: str | int) -> None:
    if memory in {"0.5G", " 8 M "}:
        with pytest.raises(fluke.FlukeError, match="is not a size"):
            fluke.Kernel(memory=memory)
        return
    async with fluke.Kernel(memory=memory) as kernel:
        assert (await (await kernel.spawn("hello")).wait()).reason == "exited"


@pytest.mark.parametrize(("program", "options", "value", "remedy"), SPAWN)
async def test_wrong_arguments_of_spawn(program: Any, options: dict[str, Any], value: str, remedy: str) -> None:
    async with fluke.Kernel() as kernel:
        with pytest.raises(fluke.FlukeError) as caught:
            await kernel.spawn(program, **options)
        check_message(caught.value, value, remedy)
        assert kernel.statistics().memory_used_bytes == 0
        after = await kernel.spawn("hello")
        assert await after.wait() == fluke.Exit("exited", 0)


async def test_a_directory_is_no_program(tmp_path: Path) -> None:
    async with fluke.Kernel() as kernel:
        with pytest.raises(fluke.ProgramError, match="is no built-in program and cannot be read"):
            await kernel.spawn(tmp_path)


@pytest.mark.parametrize(
    ("options", "value", "remedy"),
    [
        ({"trace": "no/such/folder/trace"}, "no/such/folder/trace", "cannot be written"),
        ({"trace": 5}, "'5'", "cannot be written"),
        ({"logger": 5}, "5", "give a structlog logger"),
    ],
)
async def test_wrong_places_for_the_trace(options: dict[str, Any], value: str, remedy: str) -> None:
    with pytest.raises(fluke.FlukeError) as caught:
        async with fluke.Kernel(**options):
            pass
    check_message(caught.value, value, remedy)


async def test_a_kernel_is_used_inside_its_block_once() -> None:
    kernel = fluke.Kernel()
    with pytest.raises(fluke.FlukeError, match="has not been started: use `async with"):
        await kernel.spawn("hello")
    with pytest.raises(fluke.FlukeError, match="has not been started: use `async with"):
        kernel.statistics()
    async with kernel:
        process = await kernel.spawn("spin")
        with pytest.raises(fluke.FlukeError, match="make a new one"):
            async with kernel:
                pass
    with pytest.raises(fluke.FlukeError, match="kernel has stopped"):
        await kernel.spawn("hello")
    with pytest.raises(fluke.FlukeError, match="make a new one"):
        async with kernel:
            pass
    await process.kill()
    assert (await process.wait()).reason == "killed"
    assert kernel.statistics().objects == 0
