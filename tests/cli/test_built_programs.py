"""`fluke list` and `fluke cc`."""

from __future__ import annotations

from pathlib import Path

import pytest

from fluke_async.programs import list_programs
from tests.cli.conftest import Fluke


def test_one_line_for_each_program(fluke: Fluke) -> None:
    lines = fluke("list").output.splitlines()
    assert [line.split()[0] for line in lines] == [name for name, _ in list_programs()]
    assert "hello" in {line.split()[0] for line in lines}


@pytest.mark.sdk
def test_a_compiled_program_runs(fluke: Fluke, tmp_path: Path) -> None:
    source, program = tmp_path / "seven.c", tmp_path / "seven.elf"
    source.write_text('#include <ulib.h>\nint main(void) { printf("%d\\n", 3 + 4); return 7; }\n')
    assert fluke("cc", source, "-o", program).status == 0
    finished = fluke("run", program)
    assert (finished.status, finished.output) == (7, "7\n")


@pytest.mark.sdk
def test_the_compiler_s_words_are_passed_on(fluke: Fluke, tmp_path: Path) -> None:
    source = tmp_path / "wrong.c"
    source.write_text("int main(void) { return undeclared; }\n")
    finished = fluke("cc", source, "-o", tmp_path / "wrong.elf")
    assert finished.status == 1
    assert "undeclared" in finished.errors
