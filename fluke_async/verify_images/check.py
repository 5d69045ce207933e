"""
One check: a program in one configuration, written down at many moments, each image restored in a kernel of its own.

An image goes through its file, with all checks. What then comes of the restored process, and of the one that was
written down and goes on, is compared with the undisturbed run: output, exit, and each call with its time. Three forms:
the process goes on; it is ended, and only the restored one goes on; many images of one run, each building on the last.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from fluke_async.embedding.process import Process
from fluke_async.errors import FlukeError
from fluke_async.image.image import Image
from fluke_async.verify.closed_run import Program
from fluke_async.verify_images.moments import Moment, chosen
from fluke_async.verify_images.rows import rows, rows_in
from fluke_async.verify_images.stores import NotedStore
from fluke_async.verify_images.watched_run import Seen, WatchedRun, difference, watched_run

GOES_ON, ENDED, IN_A_ROW = "goes on", "ended", "in a row"
CHAIN = 8  # images in a row
FAILURES_MAX = 5  # a check that has found so many divergences has found enough
PATIENCE_S = 120
POINTS_MAX = 16  # at most so many times as many points for rows as moments that are spread


@dataclass(frozen=True, slots=True)
class ImageFailure:
    """An image of which something differs, and when it was asked for."""

    moment: Moment
    form: str
    what: str

    def __str__(self) -> str:
        return f"image at {self.moment} ({self.form}): {self.what}"


@dataclass(slots=True)
class ImageResult:
    """
    What a check has found; `refused` are the images that were not made.

    Of the rows, `passed` are those that the program came to at all, `lasting` those that were to be seen at a point,
    and `covered` those that images have shown.
    """

    program: str
    model: str
    preemption: str
    harts: int = 1
    seed: int = 0
    is_exact: bool = True
    images: int = 0
    restored: int = 0
    went_on: int = 0
    in_a_row: int = 0
    divergences: list[ImageFailure] = field(default_factory=list)
    refused: list[ImageFailure] = field(default_factory=list)
    passed: set[str] = field(default_factory=set)
    lasting: set[str] = field(default_factory=set)
    covered: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class ImageTask:
    """
    One check to be carried out: `points` moments that are evenly spread, and points at which rows are to be seen, other
    rows in each `phase` of so many; or one single moment.
    """

    program: Program
    model: str
    preemption: str
    points: int
    phase: int = 0
    phases: int = 1
    only: Moment | None = None


def carry_out(task: ImageTask) -> ImageResult:
    """Carry out one check."""
    with tempfile.TemporaryDirectory(prefix="fluke-images-") as folder:
        check = ImageCheck(task, Path(folder))
        anyio.run(check.run)
        return check.result


class ImageCheck:
    """A check under way; files are in `folder`."""

    def __init__(self, task: ImageTask, folder: Path) -> None:
        self.task = task
        self.folder = folder
        program = task.program
        # Turns of several harts follow from the kernel's clock, which is another where something else runs there too.
        is_exact = program.harts == 1
        self.result = ImageResult(program.name, task.model, task.preemption, program.harts, program.seed, is_exact)
        self.wanted = set(rows())
        self.compares_output = is_exact or program.indifferent

    async def run(self) -> None:
        """All moments, one after the other."""
        await self._run_undisturbed()
        only = self.task.only
        for number, moment in enumerate(self._moments() if only is None else [only]):
            if len(self.result.divergences) >= FAILURES_MAX:
                return
            form = ENDED if number % 2 and only is None else GOES_ON
            await self._guarded(moment, form)
        if only is None and len(self.result.divergences) < FAILURES_MAX:
            await self._guarded(Moment(max(1, self.end // CHAIN)), IN_A_ROW)

    async def _run_undisturbed(self) -> None:
        task = self.task
        async with watched_run(task.program, task.model, task.preemption) as run:
            run.watch()
            self.undisturbed = await run.to_the_end(await run.start())
            self.end = run.end
            self.sights = run.sights
        self.result.passed = run.passed & self.wanted
        self.result.lasting = set().union(*(sight.rows for sight in self.sights)) & self.wanted

    def _moments(self) -> list[Moment]:
        task = self.task
        spread = [Moment((2 * index + 1) * self.end // (2 * task.points)) for index in range(task.points)]
        wanted = {row for index, row in enumerate(rows()) if index % task.phases == task.phase}
        points = chosen(self.sights, wanted)[: POINTS_MAX * task.points]
        return [*dict.fromkeys(spread), *(Moment(point, is_point=True) for point in points)]

    async def _guarded(self, moment: Moment, form: str) -> None:
        """One moment; nothing takes for ever."""
        try:
            with anyio.fail_after(PATIENCE_S):
                await (self._take_in_a_row(moment) if form == IN_A_ROW else self._take(moment, form))
        except TimeoutError:
            self._differs(moment, form, f"nothing came of it in {PATIENCE_S} seconds")

    async def _take(self, moment: Moment, form: str) -> None:
        """An image at a moment, if that comes at all, and what comes of it."""
        task = self.task
        if moment.is_point and not 0 <= moment.number < len(self.sights):
            return
        async with watched_run(task.program, task.model, task.preemption) as run:
            if moment.is_point:
                run.stop_at(moment.number)
            process = await run.start()
            image = await self._image(run, process, moment, form)
            if image is None:
                return
            if form == GOES_ON:
                seen = await run.to_the_end(process)
                self.result.went_on += 1
                self._compare(seen, moment, f"{form}, the process itself", 0, 0)
            else:
                await process.kill()
            store = None if run.store is None else run.store.at(image.manifest.clock_ns)
        if moment.is_point:
            self._compare_rows(image, moment, form)
        await self._restore(image, store, moment, form)

    async def _take_in_a_row(self, moment: Moment) -> None:
        """Images of one run, each as soon as the one before is ready, and what comes of each."""
        task = self.task
        images: list[Image] = []
        async with watched_run(task.program, task.model, task.preemption) as run:
            process = await run.start()
            try:
                async for image in process.checkpoints(moment.number, incremental=True):
                    images.append(image)  # noqa: PERF401  (those before an error count)
            except FlukeError as error:
                self.result.refused.append(ImageFailure(moment, IN_A_ROW, str(error)))
            seen = await run.to_the_end(process)
            store = run.store
        self._compare(seen, moment, f"{IN_A_ROW}, the process itself", 0, 0)
        for image in images:
            self.result.in_a_row += 1
            clock_ns = image.manifest.clock_ns
            await self._restore(image, None if store is None else store.at(clock_ns), moment, IN_A_ROW)

    async def _image(self, run: WatchedRun, process: Process, moment: Moment, form: str) -> Image | None:
        capture = process.checkpointer.capture
        try:
            if moment.is_point:
                stop = await run.standing_still(process)
                image = await capture(process)
                await run.driver.call(stop.go_on)
                return image
            is_past = process.stillness.count >= moment.number  # it runs from the moment when it is there
            return await capture(process, None, None if is_past else moment.number)
        except FlukeError as error:
            if not process.has_ended:  # else it came to its end before that moment
                self.result.refused.append(ImageFailure(moment, form, str(error)))
            return None

    async def _restore(self, image: Image, store: NotedStore | None, moment: Moment, form: str) -> None:
        task = self.task
        path = self.folder / f"{self.result.images}.fluke"
        image.save(path)
        self.result.images += 1
        self.result.covered |= rows_in(image)
        loaded = Image.load(path)
        written = loaded.manifest.devices["console"].state["written"]
        async with watched_run(task.program, task.model, task.preemption) as run:
            try:
                seen = await run.to_the_end(await run.restore(loaded, store))
            except FlukeError as error:
                self._differs(moment, form, f"the image is refused: {error}")
                return
        self.result.restored += 1
        self._compare(seen, moment, f"{form}, restored", written, image.manifest.clock_ns)

    def _compare(self, seen: Seen, moment: Moment, form: str, written: int, clock_ns: int) -> None:
        result, expected = self.result, self.undisturbed
        if not self.compares_output:
            seen.output = expected.output[written:]
        what = difference(expected, seen, written=written, clock_ns=clock_ns, exact=result.is_exact)
        if what:
            self._differs(moment, form, what)

    def _compare_rows(self, image: Image, moment: Moment, form: str) -> None:
        """What was to be seen at a point is what the image says of the threads."""
        missing = sorted((self.sights[moment.number].rows & self.wanted) - rows_in(image))
        if missing:
            self._differs(moment, form, f"the image does not show {', '.join(missing)}")

    def _differs(self, moment: Moment, form: str, what: str) -> None:
        self.result.divergences.append(ImageFailure(moment, form, what))
