"""Kernels with several harts: programs run as ever, and runs can be repeated; seeds decide whose turn it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluke_async.kernel.params import HARTS_MAX
from tests.embedding import traces
from tests.embedding.conftest import MakeKernel

OUTPUT = b"produced: 40 items, sum 820\nconsumed: 40 items, sum 820\n"


@pytest.mark.parametrize("seed", [0, 7])
@pytest.mark.parametrize("cpus", [2, 4, HARTS_MAX])
async def test_program_does_what_it_does_on_one(make_kernel: MakeKernel, cpus: int, seed: int) -> None:
    async with make_kernel(cpus=cpus, seed=seed) as kernel:
        process = await kernel.spawn("bounded_buffer", args=["4", "3", "10", "2"])
        assert b"".join([chunk async for chunk in process.stdout]) == OUTPUT
        assert (await process.wait()).status == 0


@pytest.mark.parametrize("seed", [0, 7])
async def test_same_seed_same_trace(tmp_path: Path, model: str, seed: int) -> None:
    one, other = [await traces.write(tmp_path / name, model=model, cpus=2, seed=seed) for name in ("one", "other")]
    assert one == other


async def test_models_do_the_same(tmp_path: Path) -> None:
    both = [await traces.write(tmp_path / model, model=model, cpus=2, seed=3) for model in ("interrupt", "process")]
    assert traces.of_both_models(both[0]) == traces.of_both_models(both[1])


async def test_another_number_of_harts_or_another_seed_is_another_interleaving(tmp_path: Path) -> None:
    found = {
        await traces.write(tmp_path / "trace", cpus=cpus, seed=seed) for cpus, seed in ((1, 0), (2, 0), (2, 1), (2, 2))
    }
    assert len(found) == 4


async def test_without_several_harts_a_seed_changes_nothing(tmp_path: Path) -> None:
    assert len({await traces.write(tmp_path / "trace", seed=seed) for seed in (0, 1)}) == 1
