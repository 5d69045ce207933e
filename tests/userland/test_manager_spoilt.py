"""A manager lives through whatever it finds in a store: programs and images of which parts have been changed."""

from __future__ import annotations

import random

import pytest

from fluke_async.programs import find_program
from fluke_async.verify.closed_run import ClosedRun, Program
from tests.userland.test_manager_refuses import HEADER_WORDS, image_of, sealed

NUMBERS = (0, 1, 2, 3, 5, 8, 10, 0xFFF, 0x1000, 0x10000, 2**31, 2**32 - 1, 2**38, 2**63, 2**64 - 4096, 2**64 - 1)
CASES = 40
STEPS, EFFORT, MEMORY = 400, 2_000_000, 64 << 20


def end_of(file: bytes, *arguments: str) -> str:
    """How a manager ends that has this file; a child may do whatever it likes."""
    files = {"file": file, "echo": find_program("echo")}
    run = ClosedRun(Program("manager", find_program("manager"), arguments, files=files), "interrupt", "none", MEMORY)
    try:
        for _ in range(STEPS):
            if not run.step(EFFORT):
                break
        output = bytes(run.output.data)
        if b" cannot be " in output:
            assert output.count(b"\n") == 1
        return "goes on" if run.exit is None else run.exit[0]
    finally:
        run.close()


@pytest.mark.parametrize("seed", range(4))
def test_spoilt_program_is_run_or_refused(seed: int) -> None:
    draw = random.Random(seed)
    for _ in range(CASES):
        data = bytearray(find_program(draw.choice(("hello", "manager"))))
        for _ in range(draw.randint(1, 3)):
            at, size = 16 + 4 * draw.randrange(68), draw.choice((2, 4, 8))
            data[at : at + size] = (draw.choice(NUMBERS) % (1 << 8 * size)).to_bytes(size, "little")
        assert end_of(bytes(data), "file") != "exception"


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_spoilt_image_is_resumed_or_refused(seed: int) -> None:
    draw = random.Random(seed)
    words = await image_of("echo")
    records = words[1] // 8
    for _ in range(CASES):
        spoilt = list(words)
        for _ in range(draw.randint(1, 2)):
            at = draw.randrange(HEADER_WORDS + records)
            spoilt[at] = draw.choice((draw.choice(NUMBERS), (spoilt[at] + 16) % 2**64, spoilt[at] ^ 1))
        assert end_of(sealed(spoilt), "-r", "file") != "exception"
