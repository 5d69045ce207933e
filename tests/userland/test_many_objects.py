"""A checkpoint of many objects takes as many steps as there are objects, not as there are pairs of them."""

from __future__ import annotations

from pathlib import Path

import pytest

import fluke_async as fluke
from fluke_async.programs import userland_directory
from fluke_async.toolchain import compile_program

MANY = 5_000
CHANGES = (
    ("child.c", "HEAP_SIZE = 512 * 1024", "HEAP_SIZE = 1024 * 1024"),
    ("main.c", "MOST_OBJECTS = 400", f"MOST_OBJECTS = {2 * MANY + 400}"),
    (
        "work.c",
        "    uint64_t hashes = sum_of_hashes();",
        f"""
    struct {{ fluke_mutex_t mutex; fluke_ref_t ref; }} *many = malloc({MANY} * sizeof *many);
    for (int i = 0; i < {MANY}; i++) {{
        fluke_mutex_create(&many[i].mutex);
        fluke_ref_create(&many[i].ref);
    }}
    for (int i = 0; i < {MANY}; i++)
        fluke_mutex_reference(&many[{MANY} - 1 - i].mutex, &many[i].ref);
    fluke_sleep_us(10000000);
    for (int i = 0; i < {MANY}; i++) {{
        fluke_mutex_lock(&many[i].mutex);
        right &= fluke_ref_compare(&many[i].ref, &many[0].ref) == (i == 0);
    }}
    for (int i = 0; i < {MANY}; i++) {{
        fluke_mutex_reference(&many[{MANY} - 1 - i].mutex, fluke_start_block->timer_ref);
        right &= fluke_ref_compare(&many[i].ref, fluke_start_block->timer_ref);
    }}
    return right ? 0 : 3;
    uint64_t hashes = sum_of_hashes();""",
    ),
)
BUDGET = 60000000  # instructions; a search of all for each would take more than twice as many


@pytest.fixture
def spoiled(tmp_path: Path) -> str:
    """The program, with a child that makes many objects, waits, and looks at them."""
    for source in (userland_directory() / "programs/checkpoint").iterdir():
        text = source.read_text("utf-8")
        for name, right, wrong in CHANGES:
            if name == source.name:
                assert text.count(right) == 1
                text = text.replace(right, wrong)
        (tmp_path / source.name).write_text(text)
    compile_program(sorted(tmp_path.glob("*.c")), tmp_path / "many.elf")
    return str(tmp_path / "many.elf")


@pytest.mark.sdk
@pytest.mark.asyncio(loop_factories=["asyncio"])
async def test_child_with_many_objects_is_created_again(spoiled: str) -> None:
    async with fluke.Kernel() as kernel:
        process = await kernel.spawn(spoiled, args=["-n", "1", "-e", "1000000", "1"], budget=BUDGET)
        output = (await process.stdout.read_all()).decode()
        assert await process.wait() == fluke.Exit("exited", 0), output
    assert output.startswith(f"the child exited with 0\ntaken down and created again 1 times: {2 * MANY + 11} objects")
