"""
Runs that are killed at any moment, and go on from the image that they have kept.

A run with `--checkpoint-every` and `--image` is killed, without a warning, at a random moment or while it writes an
image; `fluke restore` goes on from the file, is killed too, some times over, and at last may end. All that was printed
up to each image's place, with what the last one has printed, has to be the output of a run that nobody has disturbed,
byte for byte, and the status too. The file is a whole image at any moment or not there; of the drafts of killed writers
at most one is left. `make kills` does two hundred of them.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from fluke_async.image.image import Image

FLUKE = (sys.executable, "-m", "fluke_async")
ONE_S = 60.0  # bound of a run that may end
CHAIN_MAX = 4
LINES = b"".join(b"line %d of the input, which is copied\n" % number for number in range(6000))


@dataclass(frozen=True)
class Course:
    """A program with its arguments and input, and the options that it may be run with."""

    program: str
    arguments: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    stdin: bytes = field(default=b"", repr=False)


COURSES = (
    Course("primes", ("200000", "3")),
    Course("primes", ("150000", "4"), ("--cpus", "2", "--seed", "5")),
    Course("clock", ("1500", "5")),
    Course("philosophers", ("5", "400")),
    Course("philosophers", ("5", "100"), ("--clock", "real")),
    Course("echo", (), (), LINES),
    Course("echo", (), ("--model", "process"), LINES),
    Course("bounded_buffer", ("3", "3", "3000")),
    Course("pipeline", ("3", "300"), ("--model", "process", "--preemption", "full")),
    Course("shared_memory", ("2000",)),
    Course("pager", ("200",)),
    Course("memtest", ("256",)),
    Course("pingpong", ("2000",)),
    Course("rpc_server", ("4", "600")),
)
PERIODS = ("1000", "30000", "1000000", "1ms", "20ms", "100ms")


class Wrong(AssertionError):
    """Something does not hold."""


@dataclass
class Figures:
    """What was done."""

    kills: int = 0
    kills_while_written: int = 0
    restored: int = 0
    started_anew: int = 0  # killed before there was an image
    chains: Counter[int] = field(default_factory=Counter)  # courses by their number of kills
    programs: Counter[str] = field(default_factory=Counter)
    drafts_left: int = 0

    def add(self, other: Figures) -> None:
        self.kills += other.kills
        self.kills_while_written += other.kills_while_written
        self.restored += other.restored
        self.started_anew += other.started_anew
        self.drafts_left += other.drafts_left
        self.chains += other.chains
        self.programs += other.programs


def drafts(folder: Path) -> list[Path]:
    return list(folder.glob(".fluke-*"))


class Trial:
    """One course in a folder of its own, which is killed up to `kills` times."""

    def __init__(self, course: Course, folder: Path, chance: random.Random) -> None:
        self.course = course
        self.folder = folder
        self.image = folder / "image"
        self.chance = chance
        self.figures = Figures()
        self._known = b""  # what was printed up to the place of the image

    def run(self, expected: tuple[bytes, int], length_s: float, kills: int) -> Figures:
        """Kill it so many times, let it end, and look."""
        done = 0
        while done < kills and self._is_killed(length_s):
            done += 1
        self.figures.chains[done] += 1
        self.figures.programs[self.course.program] += done
        output, status = self._end()
        if (self._known + output, status) != expected:
            wrong, right = self._known + output, expected[0]
            place = next((at for at, pair in enumerate(zip(wrong, right, strict=False)) if pair[0] != pair[1]), -1)
            raise Wrong(
                f"{self.course}, killed {done} times, kept in {self.folder}: {len(wrong)} bytes for {len(right)}, "
                f"status {status} for {expected[1]}; they differ at byte {place}"
            )
        return self.figures

    def _command(self, period: str | None) -> list[str]:
        keeping = [] if period is None else ["--checkpoint-every", period, "--image", str(self.image)]
        if self.image.exists():
            return [*FLUKE, "restore", *self.course.options, *keeping, str(self.image)]
        return [*FLUKE, "run", *self.course.options, *keeping, self.course.program, *self.course.arguments]

    def _input(self) -> Path:
        path = self.folder / "input"
        path.write_bytes(b"" if self.image.exists() else self.course.stdin)
        return path

    def _is_killed(self, length_s: float) -> bool:
        """Start it, or let it go on, and kill it; whether that came in time."""
        printed = self.folder / "printed"
        restores = self.image.exists()
        start = self._place()
        with printed.open("wb") as output, self._input().open("rb") as given:
            process = subprocess.Popen(self._command(self.chance.choice(PERIODS)), stdin=given, stdout=output)
            try:
                was_written = self._wait_for_the_moment(process, length_s)
            finally:
                process.kill()
                process.wait()
        left = drafts(self.folder)
        if len(left) > 1:
            raise Wrong(f"{self.course}: {len(left)} drafts are left in {self.folder}")
        self._take_over(printed.read_bytes(), start)
        if process.wait() >= 0:
            return False  # it had ended; it ends once more, from the last image
        self.figures.kills += 1
        self.figures.kills_while_written += was_written
        self.figures.restored += restores
        self.figures.started_anew += not restores
        self.figures.drafts_left += len(left)
        return True

    def _wait_for_the_moment(self, process: subprocess.Popen[bytes], length_s: float) -> bool:
        """Until a random moment, or until an image is being written; whether it was that."""
        before = self._stamp()
        if self.chance.random() < 0.9:  # else it may be before the first image
            while process.poll() is None and self._stamp() == before:
                time.sleep(0.001)
        if self.chance.random() < 0.3:
            bound = time.monotonic() + length_s
            while process.poll() is None and time.monotonic() < bound:
                if drafts(self.folder):
                    return True
            return False
        time.sleep(self.chance.random() * length_s)
        return False

    def _stamp(self) -> int:
        return self.image.stat().st_mtime_ns if self.image.exists() else 0

    def _place(self) -> int:
        """How much had been printed at the moment of the image, which is whole."""
        if not self.image.exists():
            return 0
        written = Image.load(self.image).manifest.devices["console"].state["written"]
        assert isinstance(written, int)
        return written

    def _take_over(self, printed: bytes, start: int) -> None:
        """Cut what was printed from `start` on at the image's place."""
        place = self._place()
        if not start <= place <= start + len(printed):
            raise Wrong(
                f"{self.course}, in {self.folder}: the image says {place}, and bytes {start} to "
                f"{start + len(printed)} had been printed"
            )
        self._known += printed[: place - start]

    def _end(self) -> tuple[bytes, int]:
        """Let it come to its end; the output from the image's place on, and the status."""
        with self._input().open("rb") as given:
            ended = subprocess.run(self._command(None), stdin=given, stdout=subprocess.PIPE, check=False, timeout=ONE_S)
        return ended.stdout, ended.returncode


def undisturbed(course: Course) -> tuple[tuple[bytes, int], float]:
    """Output and status of a run without images, and how long it takes."""
    begun = time.monotonic()
    command = [*FLUKE, "run", *course.options, course.program, *course.arguments]
    ended = subprocess.run(command, input=course.stdin, stdout=subprocess.PIPE, check=False, timeout=ONE_S)
    return (ended.stdout, ended.returncode), time.monotonic() - begun


def plans(kills: int, chance: random.Random) -> Iterator[int]:
    """How often each trial is to be killed, so many times in all."""
    while kills > 0:
        count = min(kills, chance.randint(1, CHAIN_MAX))
        kills -= count
        yield count


def campaign(courses: Sequence[Course], kills: int, seed: int, workers: int) -> Figures:
    """
    Kill runs of the courses in turn, `kills` times.

    Raises:
        Wrong: something did not hold; the folder with all files is kept.
    """
    chance = random.Random(seed)
    known = {course: undisturbed(course) for course in courses}
    total = Figures()

    def trial(course: Course, count: int, seed: int) -> Figures:
        folder = Path(tempfile.mkdtemp(prefix="fluke-kills-"))
        figures = Trial(course, folder, random.Random(seed)).run(*known[course], count)
        for path in (*folder.iterdir(), folder):
            path.rmdir() if path.is_dir() else path.unlink()
        return figures

    number = 0
    with ThreadPoolExecutor(workers) as pool:
        while total.kills < kills:  # runs that had ended before are made up for
            counts = list(plans(kills - total.kills, chance))
            chosen = [courses[(number + at) % len(courses)] for at in range(len(counts))]
            number += len(counts)
            for figures in pool.map(trial, chosen, counts, [chance.getrandbits(32) for _ in counts]):
                total.add(figures)
    return total


def main() -> None:
    """Run a campaign and print its figures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").strip().split("\n\n")[0])
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    begun = time.monotonic()
    figures = campaign(COURSES, given.kills, given.seed, given.workers)
    sys.stdout.write(
        f"{figures.kills} kills in {time.monotonic() - begun:.0f} s: {figures.started_anew} of runs, "
        f"{figures.restored} of restored ones, {figures.kills_while_written} while an image was written, "
        f"{figures.drafts_left} drafts were left\n"
        f"courses by their number of kills: {dict(sorted(figures.chains.items()))}\n"
        f"kills by program: {dict(sorted(figures.programs.items()))}\n"
        "every output was, with what had been printed before, that of an undisturbed run\n"
    )


if __name__ == "__main__":
    main()
