"""
Damaged images are loaded or refused: `python -m fluke_async.verify.hostile_images`.

Each file is loaded by `Image.load`, beside the images that it may build on. Either it is refused with an `ImageError`
of one line, within a second; or it is an image: its objects can be created and loaded in a kernel that refuses nothing
of them, with all invariants, and saved and loaded again it is the same. While one in ten is loaded, the memory that
this takes on the host is measured: at most what the limits of the format add up to.
"""

from __future__ import annotations

import atexit
import faulthandler
import sys
import tempfile
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from pathlib import Path
from random import Random
from shutil import rmtree

from fluke_async.abi.codes import PAGE_SIZE
from fluke_async.cpu.scripted_cpu import ScriptedCpu
from fluke_async.embedding.slab import OutOfMemory
from fluke_async.errors import ImageError
from fluke_async.image.container import MANIFEST_MAX
from fluke_async.image.image import Image
from fluke_async.kernel.core import Core
from fluke_async.verify import hostile
from fluke_async.verify.captured_images import captured_image
from fluke_async.verify.closed_run import ClosedRun
from fluke_async.verify.damaged_images import damaged_image
from fluke_async.verify.image_draft import digest
from fluke_async.verify.loaded_images import load_into
from fluke_async.verify.programs import program

MOMENTS = (
    *(("philosophers", 150), ("bounded_buffer", 120), ("pager", 200), ("cow", 100), ("pipeline", 400)),
    *(("rpc_server", 60), ("foreign", 300), ("fairshare", 200), ("inversion", 100), ("checkpoint", 90)),
)
"""Programs, and how many steps they have made."""

KERNEL_BYTES = 2 << 20
PAGES_MAX_BYTES = 4 << 20
MEASURE_ONE_IN = 10
LINE_MAX = 300
BASE = "base"


@cache
def _samples() -> tuple[Path, tuple[tuple[Path, Image], ...]]:
    """A folder with images of programs at a moment, each as a full one and as one that builds on an earlier moment."""
    folder = Path(tempfile.mkdtemp(prefix="fluke-images-"))
    atexit.register(rmtree, folder)
    found = []
    for name, steps in MOMENTS:
        earlier = _image_after(name, steps // 2, None)
        for parent in (None, earlier):
            image = _image_after(name, steps, parent)
            place = folder / f"{name}{'' if parent is None else '-later'}"
            earlier.save(folder / f"{BASE}-{name}")
            image.save(place)
            found.append((place, image))
    return folder, tuple(found)


def _image_after(name: str, steps: int, parent: Image | None) -> Image:
    run = ClosedRun(program(name), "process", "full")
    try:
        random = Random(name)
        for _ in range(steps):
            run.step(random.choice((1, 1, 500, 5000)))
        return captured_image(run, parent)
    finally:
        run.close()


@cache
def _kernel() -> Core:
    """The kernel that images are made real in; nothing runs there."""
    return Core(ScriptedCpu(KERNEL_BYTES, {}), KERNEL_BYTES)


def image_case(seed: int, number: int) -> Counter[str]:
    """One damaged image."""
    random = Random(f"{seed}:{number}")
    folder, samples = _samples()
    place, sound = random.choice(samples)
    data = damaged_image(place.read_bytes(), random)
    file = folder / "case"
    file.write_bytes(data)
    try:
        with _measured(len(data)) if number % MEASURE_ONE_IN == 0 else nullcontext():
            image = Image.load(file, pages_max_bytes=PAGES_MAX_BYTES)
    except ImageError as refusal:
        _check_line(refusal)
        return Counter({f"refused: {_reason(refusal)}": 1})
    saved = folder / "again"
    image.save(saved)
    again = Image.load(saved, [] if image.parent is None else [image.parent])
    assert again == image, "saved and loaded, it is another"
    assert again.manifest == image.manifest
    assert dict(again.pages()) == dict(image.pages())
    for offset, page in image.pages():
        assert offset + PAGE_SIZE <= image.manifest.memory_size, f"a page at {offset:#x}, outside of the memory"
        assert digest(page) == image.digest_at(offset), f"the page at {offset:#x} is not what its digest says"
    return Counter({"the same" if image == sound else _made_real(image): 1})


def _made_real(image: Image) -> str:
    """Create and load what an image has, and free it again."""
    core = _kernel()
    before = _left(core)
    try:
        load_into(core, image).free()
    except OutOfMemory:
        outcome = "another, and no room for it"
    else:
        outcome = "another, made real"
    assert _left(core) == before, f"it left {_left(core)} where {before} was"
    return outcome


def _left(core: Core) -> tuple[int, int, int, int]:
    """What a kernel holds."""
    return len(core.objects), core.frames.in_use, core.quota.used_bytes, sum(1 for _ in core.root.frames())


def _check_line(refusal: ImageError) -> None:
    text = str(refusal)
    assert 0 < len(text) <= LINE_MAX, f"a refusal of {len(text)} characters"
    assert text.isprintable(), f"a refusal of more than a line: {text!r}"


def _reason(refusal: ImageError) -> str:
    """What a refusal says, without names, numbers and texts of its own."""
    _, _, text = str(refusal).partition(": ")
    words = [word for word in text.split() if word.isalpha()]
    return " ".join(words[:4])


@contextmanager
def _measured(file_bytes: int) -> Iterator[None]:
    """What is done inside takes no more of the host's memory than a file of this size may have."""
    tracemalloc.start()
    try:
        yield
    finally:
        used = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    most = 8 * MANIFEST_MAX + 2 * PAGES_MAX_BYTES + 4 * file_bytes
    assert used <= most, f"{used} bytes of the host for a file of {file_bytes}"


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(hostile.main("fluke_async.verify.hostile_images", image_case, "images", sys.argv[1:]))
