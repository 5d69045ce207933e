"""Much work on data is done in a worker thread, and little where it is asked for; what comes of it is the same."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import pytest

import fluke_async as fluke
from fluke_async.embedding import apart, checkpointer, still
from fluke_async.image.builder import ImageBuilder
from tests.embedding.conftest import MakeKernel
from tests.embedding.guest import LOOP, cut_off
from tests.userland.running import in_use

Work = Callable[..., object]


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """In which thread each of the long steps was done last."""
    found: dict[str, int] = {}

    def noted(name: str, work: Work) -> Work:
        def run(*arguments: object) -> object:
            found[name] = threading.get_ident()
            return work(*arguments)

        return run

    for module, name in ((still, "from_records"), (checkpointer, "to_records")):
        monkeypatch.setattr(module, name, noted(name, getattr(module, name)))
    monkeypatch.setattr(ImageBuilder, "finish", noted("finish", ImageBuilder.finish))
    return found


async def read_out_and_restored(make_kernel: MakeKernel) -> tuple[fluke.Image, bytes]:
    """An image at one moment, and what came of it."""
    async with make_kernel() as kernel:
        process = await kernel.spawn("philosophers")
        image = await anext(aiter(process.checkpoints(20_000)))
        await process.kill()
        restored = await kernel.restore(image)
        return image, await restored.stdout.read_all()


async def test_little_is_done_at_once_and_much_apart(
    make_kernel: MakeKernel, threads: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = await read_out_and_restored(make_kernel)
    assert threads == dict.fromkeys(("from_records", "finish", "to_records"), threading.get_ident())
    monkeypatch.setattr(apart, "MUCH_BYTES", 0)
    assert await read_out_and_restored(make_kernel) == at_once
    assert len(threads) == 3
    assert threading.get_ident() not in threads.values()


async def test_restore_that_is_cut_off_leaves_nothing(make_kernel: MakeKernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "MUCH_BYTES", 0)
    async with make_kernel() as kernel:
        process = await kernel.spawn(LOOP)
        image = await process.checkpoint()
        await (await kernel.restore(image)).kill()
        before = in_use(kernel)
        for turns in range(0, 36, 6):
            await cut_off(turns, kernel, process, partial(kernel.restore, image))
            assert in_use(kernel) == before


async def test_what_goes_wrong_apart_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "MUCH_BYTES", 0)
    with pytest.raises(ZeroDivisionError):
        await apart.apart(1, lambda: 1 // 0)
