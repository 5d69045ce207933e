"""
The file that has the newest image of a run.

Images are made while the program runs, and written one after the other, whole or not at all, in a worker thread. An
image says how many bytes the program had written: these have reached standard output before it is in the file. So
whoever kills the run has lost nothing: what it has printed up to there, and what a restored process prints, is the
output of a run that nobody has disturbed.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread

from fluke_async.cli.options import Period
from fluke_async.cli.printed_output import PrintedOutput
from fluke_async.errors import FlukeError, ImageError

if TYPE_CHECKING:
    from fluke_async.embedding.process import Process
    from fluke_async.image.image import Image


class ImageKeeper:
    """Keeps the newest image of a process in a file, until the process has ended."""

    def __init__(self, path: Path, period: Period, output: PrintedOutput) -> None:
        self._path = path
        self._period = period
        self._output = output
        self._kept: Image | None = None
        self._complaint = ""

    async def run(self, process: Process) -> None:
        """Make images and write them; the last one is in the file when this returns."""
        while True:
            try:
                async for image in images(process, self._period):
                    if image != self._kept:
                        await self._keep(image)
            except FlukeError as error:
                self._complain(f"no image can be made: {error}; the program goes on, and this is tried again")
            if process.has_ended:
                return

    async def _keep(self, image: Image) -> None:
        await self._output.reach(image.manifest.devices["console"].state["written"])
        try:
            await anyio.to_thread.run_sync(image.save, self._path)
        except ImageError as error:
            self._complain(f"{error}; the program goes on, and this is tried again")
        else:
            self._kept, self._complaint = image, ""

    def _complain(self, complaint: str) -> None:
        """Say what is wrong, once until it is something else."""
        if complaint != self._complaint:
            self._complaint = complaint
            print(f"fluke: {complaint}", file=sys.stderr, flush=True)


async def images(process: Process, period: Period) -> AsyncIterator[Image]:
    """An image after each period, and one of the moment when its budget has stopped the process."""
    if period.instructions is not None:
        async for image in process.checkpoints(period.instructions):
            yield image
    else:
        async for image in timed_images(process, period.seconds):
            yield image
    if process.state == "budget":
        yield await process.checkpoint()


async def timed_images(process: Process, seconds: float) -> AsyncIterator[Image]:
    """An image each time that so much of the host's time has passed, until the process has ended."""
    while True:
        with anyio.move_on_after(seconds):
            await process.wait()
            return
        try:
            image = await process.checkpoint()
        except FlukeError:
            if process.has_ended:
                return
            raise
        yield image
