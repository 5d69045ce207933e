"""Starting programs: where they come from and what they are given."""

from __future__ import annotations

from pathlib import Path

import pytest

import fluke_async as fluke
from fluke_async.programs import find_program
from tests.embedding.conftest import MakeKernel


@pytest.mark.parametrize("form", ["name", "text path", "path", "bytes"])
async def test_a_program_is_a_name_a_path_or_bytes(make_kernel: MakeKernel, form: str, tmp_path: Path) -> None:
    data = find_program("hello")
    path = tmp_path / "greeter.elf"
    path.write_bytes(data)
    programs: dict[str, str | Path | bytes] = {"name": "hello", "text path": str(path), "path": path, "bytes": data}
    async with make_kernel() as kernel:
        process = await kernel.spawn(programs[form])
        assert await process.stdout.read_all() == b"Hello, world!\n"
        assert await process.wait() == fluke.Exit("exited", 0)
    assert process.name == {"name": "hello", "bytes": "program"}.get(form, "greeter")


@pytest.mark.parametrize(
    "args", [[], ["world"], ["a", "", "b c", "ü€𝄞", "-x=1"], ["x" * 100_000], [str(i) for i in range(5000)]]
)
async def test_arguments_reach_the_program(make_kernel: MakeKernel, args: list[str]) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("hello", args=args)
        expected = "".join(f"Hello, {arg}!\n" for arg in args or ["world"])
        assert (await process.stdout.read_all()).decode() == expected


async def test_bytes_of_file_names_reach_the_program(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("echo", args=[b"caf\xe9".decode("utf-8", "surrogateescape")])
        assert await process.stdout.read_all() == b"caf\xe9\n"


async def test_the_environment_reaches_the_program(make_kernel: MakeKernel) -> None:
    # With no port set of that address to be found, the program dies of using what it was told.
    async with make_kernel() as kernel:
        without = await kernel.spawn("pingpong_bench", args=["server"])
        assert await without.stdout.read_all() == b"FLUKE_PORTSET is not set\n"
        assert (await without.wait()).status == 2
        environment = {"FLUKE_PORT": "1", "FLUKE_PORTSET": str(0x7000_0000), "FLUKE_PORTSETS": "2"}
        told = await kernel.spawn("pingpong_bench", args=["server"], env=environment)
        end = await told.wait()
    assert end.reason == "exception"
    assert "0x70000000" in end.message


async def test_processes_are_numbered(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        processes = [await kernel.spawn("hello") for _ in range(3)]
        assert [process.number for process in processes] == [1, 2, 3]
        assert [(await process.wait()).reason for process in processes] == ["exited"] * 3


async def test_processes_run_side_by_side(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        endless = await kernel.spawn("spin")
        counting = await kernel.spawn("primes", args=["500", "3"])
        assert (await counting.stdout.read_all()).endswith(b"95 primes below 500\n")
        assert not endless.has_ended


async def test_a_snapshot_shows_the_threads(make_kernel: MakeKernel) -> None:
    async with make_kernel() as kernel:
        process = await kernel.spawn("spin", budget=5000)
        await process.wait()
        (thread,) = process.threads()
    assert thread.condition == "out of budget"
    assert len(thread.registers) == 32
    assert process.threads() == (thread,)  # also when the engine is gone
