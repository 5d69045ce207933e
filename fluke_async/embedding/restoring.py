"""Images that come into a kernel: whether they can, and the memory of their processes."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING

from fluke_async.embedding.devices import is_console_state
from fluke_async.embedding.slab import PROGRAM_END, Slab
from fluke_async.errors import FlukeError
from fluke_async.image.image import Image
from fluke_async.image.manifest import OUTSIDE_TYPES, Manifest

if TYPE_CHECKING:
    from fluke_async.embedding.host_queue import HostQueue

STORED_AT_A_TIME = 512  # put into memory at one fixed point: some 1 ms


def check_fits(manifest: Manifest) -> None:
    """
    See that a process can be made here of what an image says.

    Raises:
        FlukeError: it is of another kind of kernel.
    """
    if manifest.memory_size != PROGRAM_END or not OUTSIDE_TYPES.keys() <= manifest.outside.keys():
        raise FlukeError("this image is not of a process of such a kernel: its memory or its ports are others")
    console = manifest.devices.get("console")
    if console is None or not is_console_state(console.state):
        raise FlukeError("this image has no console that can be continued: its state is not one")


async def fill(queue: HostQueue, slab: Slab, image: Image) -> None:
    """
    Put an image's pages into a slab, and let those that are zero have memory, as they had.

    Raises:
        FlukeError: the image is damaged, or the kernel's memory does not suffice, or the kernel has stopped.
    """
    pages, zeros = image.pages(), iter(image.zeros())
    while await queue.call(lambda: _store(slab, pages)):
        pass
    while await queue.call(lambda: _touch(slab, zeros)):
        pass


def _store(slab: Slab, pages: Iterator[tuple[int, bytes]]) -> bool:
    """Put the next pages into memory; whether there are any."""
    some = list(islice(pages, STORED_AT_A_TIME))
    for offset, content in some:
        slab.store(offset, content)
    return bool(some)


def _touch(slab: Slab, zeros: Iterator[int]) -> bool:
    """Let the next pages that are zero have memory; whether there are any."""
    some = list(islice(zeros, STORED_AT_A_TIME))
    for offset in some:
        slab.frame(offset)
    return bool(some)
