"""
Damaged ELF files are loaded or refused, and leave nothing: `python -m fluke_async.verify.hostile_files`.

Each file is handed to the loader of a kernel with little memory. Either it becomes a process, or it is refused with a
`ProgramError` of one line, within a second, and the kernel is as before. One in five of those that were loaded is run
for some instructions on the real engine, where the invariants hold afterwards, and ended, which leaves nothing either.
While one in ten is read and loaded, the memory that this takes on the host is measured: at most a sixteenth of the
kernel's quota, twice the file, and a quarter of a megabyte; what the program itself has, in frames, lies within the
quota.
"""

from __future__ import annotations

import faulthandler
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from random import Random

from fluke_async.cpu.elf import ElfImage, load_elf
from fluke_async.cpu.protocol import EXECUTE
from fluke_async.cpu.scripted_cpu import ScriptedCpu
from fluke_async.embedding.loader import Loaded, load_program
from fluke_async.errors import ProgramError
from fluke_async.kernel.core import Core
from fluke_async.verify import hostile
from fluke_async.verify.closed_run import ClosedRun, Program
from fluke_async.verify.damaged_files import damaged_file
from fluke_async.verify.invariants import check
from fluke_async.verify.small_files import LOAD, PROGRAM_HEADER, small_file

QUOTA_BYTES = 2 << 20
RUN_ONE_IN = 5
MEASURE_ONE_IN = 10
INSTRUCTIONS = 20_000
SLICE = 5_000
MODELS = ("interrupt", "process")
LINE_MAX = 400  # characters of a refusal


@cache
def _loader() -> Core:
    """The kernel that everything is loaded into; only what is run needs an engine."""
    load_elf(small_file(Random(0)))  # the first takes memory for the parser
    return Core(ScriptedCpu(QUOTA_BYTES, {}), QUOTA_BYTES)


def _left(core: Core) -> tuple[int, int, int, int]:
    """What a kernel holds."""
    return len(core.objects), core.frames.in_use, core.quota.used_bytes, sum(1 for _ in core.root.frames())


def file_case(seed: int, number: int) -> Counter[str]:
    """One damaged file."""
    random = Random(f"{seed}:{number}")
    data = damaged_file(random)
    core = _loader()
    before = _left(core)
    with _measured(len(data)) if number % MEASURE_ONE_IN == 0 else nullcontext():
        image, loaded, outcome = None, None, "loaded"
        try:
            image = load_elf(data, QUOTA_BYTES)
            _check_symbols(image, len(data))
            loaded = load_program(core, data, ["file"], {})
        except ProgramError as refusal:
            _check_line(refusal)
            outcome = "refused: no program" if image is None else "refused: no room for it"
    if image is not None:
        _check_image(image, data)
    if loaded is not None:
        check(core)
        _end(core, loaded)
        if random.randrange(RUN_ONE_IN) == 0:
            outcome = f"run: {_run(data, random)}"
    after = _left(core)
    assert after == before, f"{outcome}, and left {after} where {before} was"
    return Counter({outcome: 1})


def _check_line(refusal: ProgramError) -> None:
    text = str(refusal)
    assert 0 < len(text) <= LINE_MAX, f"a refusal of {len(text)} characters"
    assert text.isprintable(), f"a refusal of more than a line: {text!r}"


def _check_symbols(image: ElfImage, file_bytes: int) -> None:
    """The symbol table can be read, and is no longer than the file, or is damaged."""
    try:
        names = image.symbols()
    except ProgramError as refusal:
        _check_line(refusal)
    else:
        assert sum(map(len, names)) <= file_bytes


def _check_image(image: ElfImage, data: bytes) -> None:
    """Segments in order and apart, with what the file has of them, and with the entry."""
    table, count = int.from_bytes(data[32:40], "little"), int.from_bytes(data[56:58], "little")
    headers = PROGRAM_HEADER.iter_unpack(data[table : table + count * PROGRAM_HEADER.size])
    sizes = {header[3] + image.load_base: header[5:7] for header in headers if header[0] == LOAD and header[6]}
    end = 0
    for segment in image.segments:
        assert end <= segment.address < segment.end
        assert (len(segment.data), segment.memory_size) == sizes[segment.address]
        end = segment.end
    assert sum(segment.memory_size for segment in image.segments) <= QUOTA_BYTES
    assert any(each.address <= image.entry < each.end and each.permissions & EXECUTE for each in image.segments)


@contextmanager
def _measured(file_bytes: int) -> Iterator[None]:
    """What is done inside takes no more of the host's memory than is due for a file of this size."""
    tracemalloc.start()
    try:
        yield
        used = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    most = QUOTA_BYTES // 16 + 2 * file_bytes + (256 << 10)
    assert used <= most, f"{used} bytes of the host for a file of {file_bytes}"


def _run(data: bytes, random: Random) -> str:
    """Run a file that can be loaded, for a while; how it ended."""
    run = ClosedRun(Program("file", data), random.choice(MODELS), "partial", QUOTA_BYTES)
    try:
        run.loaded.account.instructions_left = INSTRUCTIONS
        for _ in range(2 * INSTRUCTIONS):
            if not run.step(SLICE) or run.loaded.account.is_spent:
                break
        else:
            raise AssertionError("it goes on for nothing")
        run.hart.park_resident()
        run.core.current = None
        check(run.core, forged=True)
        _end(run.core, run.loaded)
        assert _left(run.core) == (0, 0, 0, 0), f"it ended, and left {_left(run.core)}"
        return "budget" if run.exit is None else run.exit[0]
    finally:
        run.close()


def _end(core: Core, loaded: Loaded) -> None:
    """End a process, as its kernel does."""
    for thread in tuple(loaded.account.threads):
        core.destroy(thread)
    loaded.slab.free()


if __name__ == "__main__":
    faulthandler.enable()
    sys.exit(hostile.main("fluke_async.verify.hostile_files", file_case, "files", sys.argv[1:]))
