"""
Damaged images in a kernel: `python -m fluke_async.verify_images.hostile_restores`.

What `Image.load` takes is restored beside another process. Either the kernel refuses it with a `FlukeError` of one
line, and nothing has been created; or there is a process, which runs for a while, whatever it does, and is ended.
Either way nothing is left, a sound image can be restored in the same kernel, and the other process writes what it would
have written.
"""

from __future__ import annotations

import atexit
import sys
import tempfile
from collections import Counter
from functools import cache, partial
from pathlib import Path
from random import Random
from shutil import rmtree

import anyio

from fluke_async.embedding.kernel import Kernel
from fluke_async.embedding.process import Process
from fluke_async.errors import FlukeError, ImageError
from fluke_async.image.image import Image
from fluke_async.verify import hostile
from fluke_async.verify.damaged_images import damaged_image
from fluke_async.verify.programs import program

MOMENTS = (
    *(
        ("philosophers", 3_000),
        ("bounded_buffer", 20_000),
        ("pager", 900_000),
        ("pipeline", 30_000),
        ("foreign", 9_000),
    ),
    *(("rpc_server", 60_000), ("fairshare", 60_000), ("inversion", 5_000_000), ("foreign", 9_000)),
    ("checkpoint", 1_300_000),
)
"""Programs, and counts at which they are written down."""

MEMORY = "16M"
PAGES_MAX_BYTES = 4 << 20
BUDGET = 50_000  # of a process of which nobody knows what it does
LINE_MAX = 300
BYSTANDER = ("philosophers", ("3", "4"))
DRAWS_MAX = 200  # damaged images, until one is not refused by its file alone


@cache
def _samples() -> tuple[Path, tuple[tuple[bytes, Image], ...], bytes]:
    """A folder; sound images as files and as they are; and what the bystander writes."""
    folder = Path(tempfile.mkdtemp(prefix="fluke-images-"))
    atexit.register(rmtree, folder)
    found = []
    for name, count in MOMENTS:
        image = anyio.run(_image_at, name, count)
        image.save(folder / name)
        found.append(((folder / name).read_bytes(), image))
    return folder, tuple(found), anyio.run(_bystander_alone)


async def _image_at(name: str, count: int) -> Image:
    async with Kernel(memory=MEMORY) as kernel:
        chosen = program(name)
        process = await kernel.spawn(chosen.elf, chosen.arguments, stdin=chosen.stdin)
        return await process.checkpointer.capture(process, None, count)


async def _bystander_alone() -> bytes:
    async with Kernel(memory=MEMORY) as kernel:
        return await (await kernel.spawn(BYSTANDER[0], BYSTANDER[1])).stdout.read_all()


def restore_case(seed: int, number: int) -> Counter[str]:
    """One damaged image of which the file is in order."""
    random = Random(f"{seed}:{number}")
    folder, samples, expected = _samples()
    for _ in range(DRAWS_MAX):
        data, sound = random.choice(samples)
        file = folder / "case"
        file.write_bytes(damaged_image(data, random))
        try:
            image = Image.load(file, pages_max_bytes=PAGES_MAX_BYTES)
        except ImageError:
            continue
        if image != sound:
            return Counter({anyio.run(partial(_restored, image, sound, expected)): 1})
    return Counter({"nothing that was not refused": 1})


async def _restored(image: Image, sound: Image, expected: bytes) -> str:
    """Restore an image beside another process; what came of it."""
    async with Kernel(memory=MEMORY) as kernel:
        other = await kernel.spawn(BYSTANDER[0], BYSTANDER[1])
        await other.suspend()
        await _end(await kernel.restore(sound))  # the manager is there now
        before = _left(kernel)
        outcome = await _outcome(kernel, image)
        await _end(await kernel.restore(sound))
        after = _left(kernel)
        assert after == before, f"{outcome}, and it left {after} where {before} was"
        await other.resume()
        output = await other.stdout.read_all()
        assert output == expected, f"{outcome}, and the other process has noticed: {output!r}"
    return outcome


async def _outcome(kernel: Kernel, image: Image) -> str:
    before = _left(kernel)
    try:
        process = await kernel.restore(image, budget=BUDGET)
    except FlukeError as refusal:
        text = str(refusal)
        assert 0 < len(text) <= LINE_MAX, f"a refusal of {len(text)} characters"
        assert text.isprintable(), f"a refusal of more than a line: {text!r}"
        assert _left(kernel)[:1] <= before[:1], "it has created something"
        return "refused: " + " ".join([word for word in text.split() if word.isalpha()][:6])
    with anyio.move_on_after(0.2):
        await process.wait()
    await _end(process)
    return "restored"


async def _end(process: Process) -> None:
    await process.kill()
    await process.wait()


def _left(kernel: Kernel) -> tuple[int, int]:
    """How many objects and frames there are."""
    core = kernel._running_driver().core  # noqa: SLF001  (a campaign may look inside)
    return len(core.objects), core.frames.in_use


if __name__ == "__main__":
    sys.exit(hostile.main("fluke_async.verify_images.hostile_restores", restore_case, "restores", sys.argv[1:]))
