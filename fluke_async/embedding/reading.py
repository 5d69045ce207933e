"""Reading the memory of a process as it was at one moment, while the process goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from anyio.lowlevel import checkpoint

from fluke_async.embedding.host_queue import STOPPED
from fluke_async.embedding.slab import PROGRAM_END
from fluke_async.errors import FlukeError

if TYPE_CHECKING:
    from fluke_async.embedding.process import Process
    from fluke_async.image.image import Image
    from fluke_async.kernel.core import Core

PAGES_AT_A_TIME = 64  # between two turns of the event loop: to read and hash them takes some 0.5 ms
ALL_PAGES = 1 << 40
NO_PARENT = "the parent is no image of this process: give one that was made of it before, or none"

Pages = list[tuple[int, bytes]]


class Reading:
    """
    The memory from the moment at which this is made, at the fixed point.

    With the `parent` that was made last of the process, only those pages that have changed since then.
    """

    def __init__(self, core: Core, process: Process, parent: Image | None) -> None:
        assert process.loaded is not None
        self._core = core
        self._process = process
        self._rest: Pages = []
        self._missing: set[int] = set()  # of the parent's pages, those that have not been seen
        self.hold = core.root.hold(core, process.loaded.slab.start, PROGRAM_END)
        process.on_end.append(self._take_rest)
        if parent is not None and process.latest is not None and process.latest[0] == parent:
            changed = self.hold.changed_since(process.latest[1])
            if changed is not None:
                self.hold.narrow(changed)
                return
        if parent is not None:
            self._missing = {*parent.offsets(), *parent.zeros()}

    async def pages(self) -> AsyncIterator[Pages]:
        """
        Some pages after the other, with their offsets; all that are left where the process comes to its end.

        Raises:
            FlukeError: the parent has pages that the process never had; or the kernel has stopped.
        """
        while not self.hold.is_done:
            if self._process.stillness.driver.closing:  # and nobody has taken the rest: it was closed by an error
                raise FlukeError(STOPPED)
            yield self._seen(self.hold.take(self._core, PAGES_AT_A_TIME))
            await checkpoint()
        rest, self._rest = self._rest, []
        yield self._seen(rest)
        if self._missing:
            raise FlukeError(NO_PARENT)

    def _seen(self, pages: Pages) -> Pages:
        if self._missing:
            self._missing.difference_update(offset for offset, _ in pages)
        return pages

    def end(self, image: Image | None) -> None:
        """The memory is not needed any more; but what is written from here on is, for who builds on an image of it."""
        process = self._process
        process.on_end.remove(self._take_rest)
        if image is None or process.loaded is None:
            self.hold.end(self._core)
            return
        if process.latest is not None:
            process.latest[1].end(self._core)
        process.latest = (image, self.hold)

    def _take_rest(self) -> None:
        self._rest = self.hold.take(self._core, ALL_PAGES)
